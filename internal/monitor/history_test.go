package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

var noon = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func line(run int64, ended time.Time, jobs ...string) runLine {
	l := runLine{Run: run, Attempt: 1, Repository: "acme/coach", Workflow: "CI", Finished: ended.Unix()}
	for _, j := range jobs {
		l.Jobs = append(l.Jobs, jobLine{Name: j, Result: "success", Queued: ended.Unix() - 70, Started: ended.Unix() - 60, Finished: ended.Unix(), System: "linux/x64"})
	}
	return l
}

func open(t *testing.T, dir string, now time.Time) *history {
	t.Helper()
	h, err := openHistory(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close() })
	return h
}

func TestHistorySurvives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	h := open(t, dir, noon)
	h.add(line(1, noon, "build", "test"), noon)
	h.add(line(2, noon), noon) // nothing of ours ran in it
	h.add(line(3, noon.Add(-7*24*time.Hour), "old"), noon)

	h = open(t, dir, noon.Add(time.Hour))
	if len(h.jobs) != 3 || !h.has(1, 1) || !h.has(2, 1) || h.has(1, 2) || h.has(4, 1) || !h.began.Equal(noon) {
		t.Errorf("%d jobs, runs %v, began %s", len(h.jobs), h.runs, h.began)
	}
	if j := h.jobs[0]; j.repository.Value() != "acme/coach" || j.started != j.ended-60 || j.queued != j.ended-70 || j.system.Value() != "linux/x64" {
		t.Errorf("%+v", j)
	}
	// A day later the one that is eight days old is gone, from the file too.
	h = open(t, dir, noon.Add(25*time.Hour))
	if len(h.jobs) != 2 || h.has(3, 1) {
		t.Errorf("%d jobs, runs %v", len(h.jobs), h.runs)
	}
	data, err := os.ReadFile(h.path)
	if err != nil || strings.Contains(string(data), `"old"`) {
		t.Errorf("%v\n%s", err, data)
	}
}

// A crash costs the line that it has torn, and no more.
func TestHistoryTorn(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, noon)
	h.add(line(1, noon, "build"), noon)
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\nno JSON\n{}\n%s\n"+`{"run":9,"finished":1785585600,"jobs":[{"na`, strings.Repeat("long", longestLine))
	f.Close()
	h = open(t, dir, noon)
	h.add(line(2, noon, "test"), noon)
	h = open(t, dir, noon)
	if len(h.jobs) != 2 || h.has(9, 0) {
		t.Errorf("%d jobs, runs %v", len(h.jobs), h.runs)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, noon)
	for i := range mostJobs + mostJobs/5 {
		h.add(line(int64(i/50+1), noon.Add(time.Duration(i)*time.Second), fmt.Sprint("job ", i%7)), noon)
		h.runs = map[int64]run{} // each job as one of a run of its own
	}
	if len(h.jobs) > mostJobs+mostJobs/10 || len(h.jobs) < mostJobs {
		t.Errorf("%d jobs", len(h.jobs))
	}
	if last := h.jobs[len(h.jobs)-1].ended; last != noon.Add((mostJobs+mostJobs/5-1)*time.Second).Unix() {
		t.Error("the newest is gone")
	}
	info, err := os.Stat(h.path)
	if err != nil || info.Size() != h.size || info.Size() > mostBytes {
		t.Errorf("%v bytes, %d counted, %v", info.Size(), h.size, err)
	}
	if _, err := os.Stat(h.path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Long names do not make the file grow without bound either.
func TestHistoryIsBoundedInBytes(t *testing.T) {
	h := open(t, t.TempDir(), noon)
	long := strings.Repeat("ü", longestName-10)
	for i := range 60_000 {
		h.remember(line(int64(i+1), noon.Add(time.Duration(i)*time.Second), fmt.Sprint(long, i), fmt.Sprint(long, long, -i)))
	}
	if err := h.compact(noon); err != nil || h.size > mostBytes || len(h.jobs) == 0 {
		t.Errorf("%v: %d bytes, %d jobs", err, h.size, len(h.jobs))
	}
}

func TestHistoryRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := openHistory(dir, noon)
		if !errors.Is(err, register.ErrConfiguration) || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// A folder that is gone is a problem for as long as it lasts, told once, and then
// all is written that was not.
func TestHistoryCannotBeWritten(t *testing.T) {
	m, c := newStubbed(t, &stub{})
	dir := m.options.Data
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.history.file.Close()
	for i := range int64(3) {
		m.record(line(i+1, c.t, "build"))
	}
	o := m.Overview()
	if p := o.Problems; len(p) != 1 || p[0].Kind != "store" || !p[0].Now || p[0].Count != 1 || !strings.Contains(p[0].Remedy, "--data") || o.Durations.Hour.Execution.Count != 3 {
		t.Errorf("%+v", o.Problems)
	}
	if text := metricsText(t, m); !strings.Contains(text, "\norg_runner_monitor_store_ok 0\n") {
		t.Error(text)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pass(t, m, c, 2*time.Minute)
	if o := m.Overview(); len(o.Problems) != 1 || o.Problems[0].Now {
		t.Errorf("after it: %+v", o.Problems)
	}
	if text := metricsText(t, m); !strings.Contains(text, "\norg_runner_monitor_store_ok 1\n") {
		t.Error(text)
	}
	if h := open(t, dir, c.t); len(h.jobs) != 3 {
		t.Errorf("%d jobs", len(h.jobs))
	}
}

// While the file cannot be written anew, that is tried once a minute.
func TestRewriteIsNotTriedAlways(t *testing.T) {
	h := open(t, t.TempDir(), noon)
	h.whole = -1000 // it wants to be written anew at once
	if err := os.Mkdir(h.path+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.path+".new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.add(line(1, noon, "build"), noon)
	if h.err == nil || !h.failed.Equal(noon) {
		t.Fatalf("%v, failed at %s", h.err, h.failed)
	}
	for i := range int64(59) {
		h.add(line(2+i, noon, "build"), noon.Add(time.Duration(i)*time.Second))
		if !h.failed.Equal(noon) {
			t.Fatalf("tried again after %d s", i)
		}
	}
	if h.err == nil {
		t.Error("the error is forgotten")
	}
	h.add(line(100, noon, "build"), noon.Add(time.Minute))
	if !h.failed.Equal(noon.Add(time.Minute)) {
		t.Error("not tried again")
	}
	// The old file has all of it meanwhile.
	if err := os.RemoveAll(h.path + ".new"); err != nil {
		t.Fatal(err)
	}
	if h := open(t, filepath.Dir(h.path), noon); len(h.jobs) != 61 {
		t.Errorf("%d jobs", len(h.jobs))
	}
}

// A disk that is full is no reason not to start.
func TestHistoryOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, noon)
	h.add(line(1, noon, "build"), noon)
	if err := os.Symlink("/dev/full", h.path+".new"); err != nil {
		t.Fatal(err)
	}
	m, c := newStubbed(t, &stub{}, func(o *Options) { o.Data = dir })
	c.t = noon
	m.step(t.Context())
	if o := m.Overview(); len(o.Problems) != 1 || o.Problems[0].Kind != "store" || !o.Problems[0].Now || o.Durations.Hour.Execution.Count != 1 {
		t.Errorf("%+v", o.Problems)
	}
	m.record(line(2, noon, "test"))
	pass(t, m, c, 2*time.Minute)
	if o := m.Overview(); o.Problems[0].Now {
		t.Errorf("there is room: %+v", o.Problems)
	}
	if h := open(t, dir, c.t); len(h.jobs) != 2 {
		t.Errorf("%d jobs", len(h.jobs))
	}
}

// A run of many jobs and attempts is not lost for being long.
func TestHistoryOfALongRun(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, noon)
	jobs := names(1000, strings.Repeat("\U0001F469", longestName-10)+"%d")
	for attempt := 1; attempt <= 3; attempt++ {
		l := line(7, noon.Add(time.Duration(attempt)*time.Minute), jobs...)
		l.Attempt = attempt
		h.add(l, noon)
	}
	for range 2 { // as it was appended, and as it was written anew
		h = open(t, dir, noon.Add(time.Hour))
		if len(h.jobs) != 3000 || !h.has(7, 3) || h.has(7, 4) {
			t.Errorf("%d jobs, runs %v", len(h.jobs), h.runs)
		}
	}
}
