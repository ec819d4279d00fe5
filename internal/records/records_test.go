package records_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

func record(job string) records.Record {
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	return records.Record{Job: job, Result: "Succeeded", Runner: "fleet-1", Started: at, Finished: at.Add(time.Minute)}
}

// read returns the names of the jobs from an offset on.
func read(t *testing.T, path string, offset int64) (jobs []string, next int64, torn int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next, torn, err = records.Read(f, offset, func(r records.Record) bool { jobs = append(jobs, r.Job); return true })
	if err != nil {
		t.Fatal(err)
	}
	return jobs, next, torn
}

func TestManyAppendAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 50 {
				if err := records.Append(path, record(fmt.Sprintf("%d-%d-%s", i, j, strings.Repeat("x", 1000)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	jobs, _, torn := read(t, path, 0)
	if len(jobs) != 1000 || torn != 0 {
		t.Errorf("%d records, %d torn lines; want 1000 and none", len(jobs), torn)
	}
}

// What a crash has torn costs its own line only, and what is no record at all is
// passed over.
func TestTornLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	text := `{"job":"torn","resu` // a crash; the next one ends the line
	if err := os.WriteFile(path, []byte("\n{}\nnot JSON\n"+strings.Repeat("long", 50_000)+"\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, job := range []string{"first", "second"} {
		if err := records.Append(path, record(job)); err != nil {
			t.Fatal(err)
		}
	}
	jobs, next, torn := read(t, path, 0)
	if fmt.Sprint(jobs) != "[first second]" || torn != 4 {
		t.Errorf("read %v, %d torn lines", jobs, torn)
	}

	// Reading goes on where it ended, and leaves a line that is still being written.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, `{"job":"third"`)
	if jobs, again, _ := read(t, path, next); len(jobs) > 0 || again != next {
		t.Errorf("read %v up to %d, want nothing and %d", jobs, again, next)
	}
	fmt.Fprintln(f, `,"finished":"2026-08-01T12:00:00Z"}`)
	if jobs, _, _ := read(t, path, next); fmt.Sprint(jobs) != "[third]" {
		t.Errorf("read %v, want the third", jobs)
	}
}

// Names that others chose are cut, and what is not known is absent.
func TestWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	r := record("\xff\x1b[31m" + strings.Repeat("ü", 50_000))
	r.Workflow, r.Actor, r.Repository = strings.Repeat("w", 70_000), strings.Repeat("a", 70_000), strings.Repeat("r", 70_000)
	if err := records.Append(path, r); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 4096 {
		t.Errorf("a record of %d bytes", len(data))
	}
	for _, absent := range []string{"cpu_seconds", "peak_memory_bytes", "oom_kills", "queued", "run_id", "attempt", "\x1b"} {
		if strings.Contains(string(data), absent) {
			t.Errorf("%q is in %s", absent, data)
		}
	}
	if jobs, _, torn := read(t, path, 0); len(jobs) != 1 || torn != 0 {
		t.Errorf("read %d records, %d torn", len(jobs), torn)
	}
}
