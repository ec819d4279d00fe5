package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/internal/records"
)

// mostProblems bounds what is remembered of what went wrong.
const mostProblems = 50

// problem notes that something went wrong now; the state is locked.
func (m *Monitor) problem(kind, what, remedy, url string) {
	now := m.now()
	if m.problemAt(now, kind, what, remedy, url) {
		m.options.Log.Warn().Str("kind", kind).Str("remedy", remedy).Msg(what)
	}
}

// problemAt notes that something went wrong; the same once more is counted. isNew
// is false for that.
func (m *Monitor) problemAt(at time.Time, kind, what, remedy, url string) (isNew bool) {
	for _, p := range m.problems {
		if p.Kind == kind && p.What == what {
			p.Count++
			if at.After(p.Time) {
				p.Time, p.URL = at, url
			}
			return false
		}
	}
	if len(m.problems) >= mostProblems {
		oldest := slices.MinFunc(m.problems, func(a, b *Problem) int { return a.Time.Compare(b.Time) })
		m.problems = slices.DeleteFunc(m.problems, func(p *Problem) bool { return p == oldest })
	}
	m.problems = append(m.problems, &Problem{Time: at.UTC(), Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1})
	return true
}

// recordsFile is the file of job records, read on from where it was left.
type recordsFile struct {
	path    string
	offset  int64
	due     time.Time
	list    []used
	missing bool // it cannot be read
}

// used is what one job has used; -1 is unknown.
type used struct {
	run                        int64
	ended                      int64
	repository, workflow, name name
	peak, ooms                 int64
	cpu                        float64 // seconds
}

// readRecords reads what containers have appended to the file of job records. One
// that is not there yet is no problem: no job has ended.
func (m *Monitor) readRecords(now time.Time) {
	f := &m.records
	if f.path == "" || now.Before(f.due) {
		return
	}
	f.due = now.Add(10 * time.Second)
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		defer file.Close()
		if info, statErr := file.Stat(); statErr == nil && info.Size() < f.offset {
			f.offset, f.list = 0, nil // somebody has begun it anew
		}
		f.offset, _, err = records.Read(file, f.offset, func(r records.Record) bool { m.takeRecord(r, now); return true })
	}
	if f.missing = err != nil; f.missing {
		m.problem("store", clean("the job records cannot be read: "+err.Error()), "let this user read "+f.path, "")
	}
	if len(f.list) > mostJobs+mostJobs/10 {
		f.list = slices.Clone(f.list[len(f.list)-mostJobs:])
	}
}

// takeRecord takes one record in; the state is locked. Jobs can write to the file,
// so nothing of it is believed to be sane.
func (m *Monitor) takeRecord(r records.Record, now time.Time) {
	if r.Finished.Before(now.Add(-kept)) || r.Finished.After(now.Add(time.Hour)) {
		return
	}
	known := func(n *int64) int64 {
		if n == nil || *n < 0 {
			return -1
		}
		return *n
	}
	u := used{run: r.RunID, ended: r.Finished.Unix(), repository: unique.Make(clean(r.Repository)), workflow: unique.Make(clean(r.Workflow)),
		name: unique.Make(clean(r.Job)), peak: known(r.PeakMemory), ooms: known(r.OOMKills), cpu: -1}
	if r.CPUSeconds != nil && *r.CPUSeconds >= 0 {
		u.cpu = *r.CPUSeconds
	}
	m.records.list = append(m.records.list, u)
	what := fmt.Sprintf("the job %s of %s", u.name.Value(), u.repository.Value())
	if u.repository.Value() == "" {
		what = "the job " + u.name.Value()
	}
	switch {
	case u.ooms > 0:
		m.problemAt(r.Finished, "memory", "a process of "+what+" was killed for memory", "give the container more memory (mem_limit), or let the job use less", address(r.RunURL))
	case r.Result == "lost":
		m.problemAt(r.Finished, "lost", what+" ended without a result on "+clean(r.Runner), "look into that container's log: it was killed, or its host went down", address(r.RunURL))
	}
}
