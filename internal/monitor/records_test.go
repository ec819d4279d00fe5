package monitor

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/internal/records"
)

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	m, c := newStubbed(t, &stub{}, func(o *Options) { o.Records, o.ServerURL = path, "https://github.com" })
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Memory != nil || len(o.Problems) != 0 {
		t.Errorf("without a file: %+v, %+v", o.Memory, o.Problems)
	}
	add := func(r records.Record) {
		t.Helper()
		r.Started, r.Finished = c.t.Add(-time.Minute), c.t
		if err := records.Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, mb := range []int64{100, 300, 200} {
		add(records.Record{Repository: "acme/coach", Workflow: "CI", Job: "build", RunID: 1, PeakMemory: ptr(mb << 20), CPUSeconds: ptr(float64(mb)), OOMKills: ptr(int64(0))})
	}
	add(records.Record{Repository: "acme/coach", Workflow: "CI", Job: "big", RunID: 2, PeakMemory: ptr(int64(4 << 30)), OOMKills: ptr(int64(2)), RunURL: "https://github.com/acme/coach/actions/runs/2"})
	add(records.Record{Repository: "acme/coach", Workflow: "CI", Job: "unknown", RunID: 3})
	add(records.Record{Job: "lost", RunID: 4, Result: "lost", Runner: "fleet-9", PeakMemory: ptr(int64(5 << 20))})
	add(records.Record{Job: "bad", RunID: 4, PeakMemory: ptr(int64(-5))})
	m.record(runLine{Run: 4, Repository: "acme/mcp", Workflow: "Deploy", Finished: c.t.Unix(), Jobs: []jobLine{{Name: "lost", Finished: c.t.Unix(), Started: c.t.Unix()}}})
	pass(t, m, c, 15*time.Second)
	memory := m.Overview().Memory
	if memory == nil || memory.Jobs != 5 || *memory.OOMKills != 2 || len(memory.Highest) != 3 {
		t.Fatalf("%+v", memory)
	}
	if j := memory.Highest[0]; j.Job != "big" || *j.Max != 4<<30 || *j.OOMKills != 2 || j.CPUSeconds != nil {
		t.Errorf("%+v", j)
	}
	if j := memory.Highest[1]; j.Job != "build" || j.Count != 3 || *j.P50 != 200<<20 || *j.Max != 300<<20 || *j.CPUSeconds != 200 {
		t.Errorf("%+v", j)
	}
	// A record that does not name its repository gets it from the run.
	if j := memory.Highest[2]; j.Job != "lost" || j.Repository != "acme/mcp" || j.Workflow != "Deploy" {
		t.Errorf("%+v", j)
	}
	kinds := map[string]Problem{}
	for _, p := range m.Overview().Problems {
		kinds[p.Kind] = p
	}
	if p := kinds["memory"]; !strings.Contains(p.What, "big of acme/coach") || !strings.HasSuffix(p.URL, "/runs/2") {
		t.Errorf("%+v", p)
	}
	if p := kinds["lost"]; !strings.Contains(p.What, "fleet-9") {
		t.Errorf("%+v", p)
	}
	// Nothing is read twice, and a file that was begun anew is read from its start.
	pass(t, m, c, time.Minute)
	if n := m.Overview().Memory.Jobs; n != 5 {
		t.Errorf("%d jobs", n)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add(records.Record{Repository: "acme/coach", Job: "build", PeakMemory: ptr(int64(1 << 20))})
	pass(t, m, c, time.Minute)
	if n := m.Overview().Memory.Jobs; n != 1 {
		t.Errorf("%d jobs", n)
	}
}

// recorded makes a monitor that reads a file of records, and what appends to it.
func recorded(t *testing.T) (m *Monitor, c *clock, path string, add func(records.Record)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jobs.jsonl")
	m, c = newStubbed(t, &stub{}, func(o *Options) { o.Records, o.ServerURL = path, "https://github.com" })
	return m, c, path, func(r records.Record) {
		t.Helper()
		r.Repository, r.Workflow, r.Started, r.Finished = "acme/coach", "CI", c.t.Add(-time.Minute), c.t
		if err := records.Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
}

// What a job puts in the file's place is a problem while it is there, and holds
// nobody up.
func TestRecordsReplaced(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":    func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"endless": func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder":  func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			m, c, path, add := recorded(t)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			pass(t, m, c, time.Minute)
			o := m.Overview()
			if len(o.Problems) != 1 || o.Problems[0].Kind != "store" || !o.Problems[0].Now || !strings.Contains(o.Problems[0].Remedy, "remove it") || o.Problems[0].Count != 1 {
				t.Fatalf("%+v", o.Problems)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			add(records.Record{Job: "build", PeakMemory: ptr(int64(1))})
			pass(t, m, c, time.Minute)
			if o := m.Overview(); len(o.Problems) != 1 || o.Problems[0].Now || o.Memory == nil {
				t.Errorf("after it: %+v, %+v", o.Problems, o.Memory)
			}
		})
	}
}

// However much a job writes: each step reads a portion, memory is bounded, and of a
// file that is too large only the end is read.
func TestRecordsAreManyBytes(t *testing.T) {
	m, c, path, add := recorded(t)
	at := c.t.Format(time.RFC3339)
	var lines bytes.Buffer
	for i := 0; lines.Len() < 3<<20; i++ {
		fmt.Fprintf(&lines, `{"job":"%d %s","finished":%q,"peak_memory_bytes":1}`+"\n", i, strings.Repeat("ü", 150), at)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(lines.Bytes(), 1<<40); err != nil {
		t.Fatal(err)
	}
	for last := int64(1<<40 - 100<<20); ; {
		m.readRecords(c.t)
		if read := m.records.offset - max(last, 1<<40+int64(lines.Len())-mostBytes); read > portion {
			t.Fatalf("a step has read %d bytes", read)
		}
		if last == m.records.offset {
			break
		}
		last = m.records.offset
		c.t = c.t.Add(portionsEvery)
	}
	want := bytes.Count(lines.Bytes(), []byte{'\n'}) - 1 // the first is the end of a long line
	if n := len(m.records.list); n != want || m.records.offset != 1<<40+int64(lines.Len()) {
		t.Errorf("%d records of %d, up to %d", n, want, m.records.offset)
	}
	// It is full: the next one begins it anew, and what is in the old one counts on.
	add(records.Record{Job: "build", PeakMemory: ptr(int64(5))})
	pass(t, m, c, time.Minute)
	if n := len(m.records.list); n != want+1 {
		t.Errorf("%d records after the file was begun anew, want %d", n, want+1)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	m, _, _, _ := recorded(t)
	none := unique.Make("")
	for _, name := range []string{strings.Repeat("\U0001F469", 190), "x"} {
		for i := range mostJobs + 10 {
			m.records.remember([]used{{repository: none, workflow: none, name: unique.Make(fmt.Sprint(i%50_000, name))}})
			if len(m.records.list) > mostJobs || m.records.names > mostNames {
				t.Fatalf("%d records with names of %d bytes", len(m.records.list), m.records.names)
			}
		}
		if len(m.records.list) < 10_000 {
			t.Errorf("%d records", len(m.records.list))
		}
	}
}

// What is in both files is read at a start.
func TestRecordsOfBothFiles(t *testing.T) {
	m, c, path, add := recorded(t)
	add(records.Record{Job: "old", PeakMemory: ptr(int64(1))})
	if err := os.Rename(path, records.Old(path)); err != nil {
		t.Fatal(err)
	}
	add(records.Record{Job: "new", PeakMemory: ptr(int64(1))})
	pass(t, m, c, time.Minute)
	if memory := m.Overview().Memory; memory == nil || memory.Jobs != 2 {
		t.Errorf("%+v", memory)
	}
}

// Numbers that cannot be are unknown, links lead to GitHub alone, and a job that
// was killed for memory is shown without a peak too.
func TestRecordsOfAJob(t *testing.T) {
	m, c, _, add := recorded(t)
	for range 3 {
		add(records.Record{Job: "wild", PeakMemory: ptr(int64(math.MaxInt64)), OOMKills: ptr(int64(math.MaxInt64)), CPUSeconds: ptr(1e300), RunURL: "https://example.com/acme", Result: "lost"})
	}
	add(records.Record{Job: "killed", OOMKills: ptr(int64(2)), CPUSeconds: ptr(3.0), RunURL: "https://github.com.example.com/acme"})
	for i := range int64(3) {
		add(records.Record{Job: "build", PeakMemory: ptr(1 + i), Disk: ptr(10 + i), Read: ptr(20 + i), Written: ptr(30 + i)})
	}
	pass(t, m, c, 15*time.Second)
	o := m.Overview()
	if o.Memory == nil || *o.Memory.OOMKills != 2 || o.Memory.Jobs != 3 || len(o.Memory.Highest) != 2 {
		t.Fatalf("%+v", o.Memory)
	}
	if j := o.Memory.Highest[0]; j.Job != "killed" || j.Max != nil || j.P50 != nil || *j.OOMKills != 2 || *j.CPUSeconds != 3 || j.Disk != nil {
		t.Errorf("%+v", j)
	}
	if j := o.Memory.Highest[1]; j.Job != "build" || *j.Max != 3 || *j.Disk != 11 || *j.Read != 21 || *j.Written != 31 || j.CPUSeconds != nil {
		t.Errorf("%+v", j)
	}
	for _, p := range o.Problems {
		if p.URL != "" {
			t.Errorf("a link to %s", p.URL)
		}
	}
}

// What no record tells is unknown, and not 0: without cgroup v2 that is whether a
// process was killed.
func TestKillsThatNobodyTells(t *testing.T) {
	m, c, _, add := recorded(t)
	add(records.Record{Job: "build", Disk: ptr(int64(5))})
	pass(t, m, c, 15*time.Second)
	memory := m.Overview().Memory
	if memory == nil || memory.OOMKills != nil || len(memory.Highest) != 1 || memory.Highest[0].OOMKills != nil {
		t.Fatalf("%+v", memory)
	}
	if data := m.current().json; strings.Contains(string(data), "oom_kills") {
		t.Errorf("%s", data)
	}
	add(records.Record{Job: "build", PeakMemory: ptr(int64(5)), OOMKills: ptr(int64(0))})
	pass(t, m, c, 15*time.Second)
	if memory := m.Overview().Memory; memory.OOMKills == nil || *memory.OOMKills != 0 || memory.Highest[0].OOMKills == nil {
		t.Errorf("%+v", memory)
	}
}
