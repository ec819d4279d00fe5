//go:build linux

package runner

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

func TestLinesThatTellTheState(t *testing.T) {
	for text, want := range map[string]line{
		"2026-08-12 10:11:12Z: Listening for Jobs":                                                  {what: listening},
		"2026-08-12 10:11:12Z: Listening for Jobs\r":                                                {what: listening},
		"2026-08-12 10:11:12Z: Running job: build (1.26, x)":                                        {jobStarted, "build (1.26, x)"},
		"2026-08-12 10:11:12Z: Job build completed with result: Succeeded":                          {jobCompleted, "build completed with result: Succeeded"},
		"2026-08-12 10:11:12Z: Job a completed with result: b completed with result: Canceled":      {jobCompleted, "a completed with result: b completed with result: Canceled"},
		"2026-08-12 10:11:12Z: Runner connect error: no route to host. Retrying until reconnected.": {connectionLost, "no route to host. Retrying until reconnected."},
		"2026-08-12 10:11:12Z: Runner reconnected.":                                                 {what: connectionBack},
		"Runner listener exit with Session Conflict error, stop the service, no retry needed.":      {sessionConflict, ", stop the service, no retry needed."},
		"Runner listener exit with terminated error, stop the service, no retry needed.":            {terminated, ", stop the service, no retry needed."},
		"Exiting with unknown error code: 137":                                                      {unknownCode, "137"},
		"An error occurred: Could not find any self-hosted runner group named \"x\".":               {noSuchGroup, `"x".`},

		"Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently.": {deleted, ", please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently."},

		"Exiting with unknown error code: 137 completed with result: Failed": {}, // a job's name
		"2026-08-12 10:11:12Z: Job build completed with result: Fine":        {},

		// The diagnostic log and a job's display name say the same words elsewhere.
		"[RUNNER 2026-08-12 10:11:12Z INFO Terminal] WRITE LINE: 2026-08-12 10:11:12Z: Listening for Jobs": {},
		"2026-08-12 10:11:12Z: Listening for Jobs now":                                                     {},
		"2026-08-12 10:11:12: Listening for Jobs":                                                          {},
		"x026-08-12 10:11:12Z: Listening for Jobs":                                                         {},
		"Listening for Jobs":     {},
		"2026-08-12 10:11:12Z: ": {},
		"":                       {},
	} {
		if got := parseLine([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

// However the output is cut into reads, it passes unchanged and tells the same.
func TestScannerOverEveryCut(t *testing.T) {
	const output = "noise\n2026-08-12 10:11:12Z: Listening for Jobs\n\n2026-08-12 10:11:13Z: Running job: a\nno end"
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var out bytes.Buffer
		var seen []line
		var last lastLine
		s := &scanner{next: &out, found: func(l line) { seen = append(seen, l) }, last: &last}
		for rest := []byte(output); len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if written, err := s.Write(rest[:n]); written != n || err != nil {
				t.Fatalf("Write = %d, %v", written, err)
			}
			rest = rest[n:]
		}
		if out.String() != output {
			t.Fatalf("seed %d: passed on %q", seed, out.String())
		}
		if len(seen) != 2 || seen[0].what != listening || seen[1] != (line{jobStarted, "a"}) {
			t.Fatalf("seed %d: saw %+v", seed, seen)
		}
	}
}

func TestScannerSurvivesEndlessLines(t *testing.T) {
	var out bytes.Buffer
	var seen []line
	var last lastLine
	s := &scanner{next: &out, found: func(l line) { seen = append(seen, l) }, last: &last}
	chunk := bytes.Repeat([]byte("x"), 1000)
	for range 100 {
		_, _ = s.Write(chunk)
	}
	if cap(s.partial) > 4*longestLine {
		t.Errorf("%d bytes are kept of one line", cap(s.partial))
	}
	_, _ = s.Write([]byte("2026-08-12 10:11:12Z: Listening for Jobs\n2026-08-12 10:11:12Z: Listening for Jobs\n"))
	if len(seen) != 1 {
		t.Errorf("saw %d, want the second only: the first is the end of a longer line", len(seen))
	}
	if out.Len() != 100*1000+2*len("2026-08-12 10:11:12Z: Listening for Jobs\n") {
		t.Errorf("%d bytes were passed on", out.Len())
	}
}

// A job's name may be of any length: the lines in which it stands count all the
// same, however they are cut into reads.
func TestScannerKnowsLongLinesByTheirEnds(t *testing.T) {
	name := strings.Repeat("é", 40_000)
	output := "2026-08-12 10:11:12Z: Running job: " + name + "\n2026-08-12 10:11:13Z: Job " + name + " completed with result: Succeeded\n2026-08-12 10:11:14Z: Listening for Jobs\n"
	for _, size := range []int{1, 7, 255, 256, 257, 4096, 5000, 1 << 20} {
		var seen []line
		var last lastLine
		s := &scanner{next: discard{}, found: func(l line) { seen = append(seen, l) }, last: &last}
		for rest := []byte(output); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, _ = s.Write(rest[:min(size, len(rest))])
		}
		if len(seen) != 3 || seen[0].what != jobStarted || !strings.HasPrefix(seen[0].text, "éé") || len(seen[0].text) > longestLine+longestEnd ||
			seen[1].what != jobCompleted || !isEnd(seen[1].text) || !(work{name: seen[0].text}).fits(strings.TrimSuffix(seen[1].text, " completed with result: Succeeded")) || seen[2].what != listening {
			t.Errorf("reads of %d: %d sightings: %.200v", size, len(seen), seen)
		}
	}
}

// A grandchild that keeps the output open must not delay the end.
func TestPumpDoesNotWaitForGrandchildren(t *testing.T) {
	var out bytes.Buffer
	p, write, err := newPump(&out)
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", "sleep 600 & echo last words $!")
	shell.Stdout = write
	if err := shell.Run(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	p.finish() // the test's own time-out is the assertion
	words, pid, found := strings.Cut(strings.TrimSpace(out.String()), "words ")
	if !found {
		t.Fatalf("%q came through", out.String())
	}
	if words != "last " {
		t.Errorf("the last words are %q", out.String())
	}
	_ = exec.Command("kill", pid).Run()
}

func BenchmarkScanner(b *testing.B) {
	var last lastLine
	s := &scanner{next: discard{}, found: func(line) {}, last: &last}
	text := []byte("[WORKER 2026-08-12 10:11:12Z INFO ProcessInvokerWrapper] a line of a diagnostic log of common length, a hundred bytes\n")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(text)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestScannerAllocatesNothingForNoise(t *testing.T) {
	var last lastLine
	s := &scanner{next: discard{}, found: func(line) {}, last: &last}
	text := []byte("[WORKER 2026-08-12 10:11:12Z INFO x] noise\nand the begin")
	rest := []byte("ning of another line\n")
	_, _ = s.Write(text)
	_, _ = s.Write(rest)
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Write(text); _, _ = s.Write(rest) }); n != 0 {
		t.Errorf("%v allocations for two lines", n)
	}
}

// The diagnostic log, which the official image prints too, is never the cause of an
// end.
func TestLastWords(t *testing.T) {
	const cause = "Response status code does not indicate success: 404 (Not Found)."
	for _, after := range []string{
		"[RUNNER 2026-11-25 10:26:18Z INFO Listener] Runner execution has finished with return code 1",
		"[WORKER 2026-11-25 10:26:18Z INFO Worker] Job completed.",
		"Exiting runner...",
		"Restarting runner...",
		"Runner listener exit with terminated error, stop the service, no retry needed.",
		"",
	} {
		var last lastLine
		s := &scanner{next: discard{}, found: func(line) {}, last: &last}
		_, _ = s.Write([]byte(cause + "\n" + after + "\n"))
		if got := last.get(); got != cause {
			t.Errorf("after %q the last words are %q", after, got)
		}
	}
}
