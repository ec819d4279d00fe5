//go:build linux

package runner

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// What a job writes steers no terminal and passes for no line of ours.
func TestPassage(t *testing.T) {
	for in, want := range map[string]string{
		"2026-08-12 10:11:12Z: Listening for Jobs\n":                      "2026-08-12 10:11:12Z: Listening for Jobs\n",
		"√ Connected to GitHub\r\n\n\tindented\n":                         "√ Connected to GitHub\n\n\tindented\n",
		"2026-08-12 10:11:12Z: Running job: \x1b[2J\x1b]0;x\x07\u202eb\n": `2026-08-12 10:11:12Z: Running job: \x1b[2J\x1b]0;x\x07\u202eb` + "\n",
		"10%\r20%\r\n":                                           `10%\r20%` + "\n",
		"a\rorg-runner: stopped\n":                               `a\rorg-runner: stopped` + "\n",
		"\rorg-runner: stopped\n":                                `| \rorg-runner: stopped` + "\n",
		"a\u2028org-runner: stopped\x0b\n":                       `a\u2028org-runner: stopped\x0b` + "\n",
		"org-runner: GitHub refuses the credentials\n":           "| org-runner: GitHub refuses the credentials\n",
		"  Org-Runner: x\n":                                      "|   Org-Runner: x\n",
		"\u200dorg\u200d-runner: x\n":                            "| \u200dorg\u200d-runner: x\n",
		`{"level":"info","message":"idle"}` + "\n":               `| {"level":"info","message":"idle"}` + "\n",
		"\ufeff {\"time\":1}\n":                                  `| \ufeff {"time":1}` + "\n",
		"2026-08-12T10:11:12Z INF idle from=starting\n":          "| 2026-08-12T10:11:12Z INF idle from=starting\n",
		"2026-08-12T10:11:12+02:00 WRN x\n":                      "| 2026-08-12T10:11:12+02:00 WRN x\n",
		"2026-08-12 10:11:12Z INF x\n":                           "| 2026-08-12 10:11:12Z INF x\n",
		"[RUNNER 2026-08-12 10:11:12Z INFO Listener] x\n":        "[RUNNER 2026-08-12 10:11:12Z INFO Listener] x\n",
		"broken \xff\xc3(\n":                                     `broken \xff\xc3(` + "\n",
		"no end":                                                 "no end\n",
		strings.Repeat("x", longestPassed+5) + "\n":              strings.Repeat("x", longestPassed) + " … [5 more bytes]\n",
		strings.Repeat("x", longestPassed) + "\n":                strings.Repeat("x", longestPassed) + "\n",
		strings.Repeat("\x00", 2*longestPassed) + "\nnext\n":     strings.Repeat(`\x00`, longestPassed/4) + " … [65536 more bytes]\nnext\n",
		strings.Repeat("x", longestPassed-1) + "é and more\nb\n": strings.Repeat("x", longestPassed-1) + ` … [11 more bytes]` + "\nb\n",
	} {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 1))
			var out bytes.Buffer
			p := &passage{next: &out}
			for rest := []byte(in); len(rest) > 0; {
				n := len(rest)
				if seed > 0 {
					n = 1 + random.IntN(len(rest))
				}
				if written, err := p.Write(rest[:n]); written != n || err != nil {
					t.Fatal(written, err)
				}
				rest = rest[n:]
			}
			p.end()
			if got := out.String(); got != want {
				t.Fatalf("%.60q, seed %d:\n%.200q, want\n%.200q", in, seed, got, want)
			}
		}
	}
}

// However a child writes, little of it is kept: 500 MiB without a line end, and of
// lines that tell a state nobody has time to take.
func TestChildrenCannotFillMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	queue := newLineQueue()
	passed := &counting{}
	s := &scanner{next: &passage{next: passed}, found: queue.add, last: &queue.last}
	chunk := bytes.Repeat([]byte("x\x1b"), 8<<10)
	for range 500 << 20 / len(chunk) {
		_, _ = s.Write(chunk)
	}
	if passed.n > 1<<10 {
		t.Errorf("%d bytes of an endless line have been handed on", passed.n)
	}
	_, _ = s.Write([]byte("\n2026-08-12 10:11:12Z: Listening for Jobs\n"))
	if seen := queue.take(); len(seen) != 1 || seen[0].what != listening {
		t.Errorf("behind the endless line: %+v", seen)
	}
	if passed.n > 2*longestPassed {
		t.Errorf("%d bytes handed on", passed.n)
	}
	started := []byte("2026-08-12 10:11:12Z: Running job: " + strings.Repeat("j", 4000) + "\n")
	for range 100_000 {
		_, _ = s.Write(started)
	}
	_, _ = s.Write([]byte("2026-08-12 10:11:12Z: Job j completed with result: Failed\n"))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d MiB more are in use", grown>>20)
	}
	if seen := queue.take(); len(seen) > mostQueued || seen[len(seen)-1].what != jobCompleted {
		t.Errorf("%d lines are queued, the last is %+v", len(seen), seen[len(seen)-1])
	}
	runtime.KeepAlive(s)
}

type counting struct{ n int }

func (c *counting) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

func TestPassageAllocatesNothingForNoise(t *testing.T) {
	p := &passage{next: discard{}}
	line := []byte("[WORKER 2026-08-12 10:11:12Z INFO x] noise, é\nand the begin")
	if n := testing.AllocsPerRun(1000, func() { _, _ = p.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
