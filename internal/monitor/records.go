package monitor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/internal/records"
)

const (
	recordsEvery  = 10 * time.Second
	portion       = 1 << 20 // bytes of the file that are read in one step
	portionsEvery = 200 * time.Millisecond
	mostNames     = 32 << 20 // bytes of the names that are remembered
)

// recordsFile is the file of job records, read on from where it was left. The
// collector has it for itself, but for what the state's lock guards.
type recordsFile struct {
	path   string
	begun  bool
	file   *os.File // stays open: who begins it anew moves it away, and it may have more lines
	offset int64
	due    time.Time

	list    []used // this and what follows is guarded
	names   int    // the bytes of their names
	trouble string // why it cannot be read now
}

// used is what one job has used; -1 is unknown.
type used struct {
	run                               int64
	ended                             int64
	repository, workflow, name        name
	peak, ooms, disk, readIn, written int64
	cpu                               float64 // seconds
}

// readRecords reads what containers have appended to the file of job records, a
// portion at a time, so that however much a job writes holds nobody up. A file that
// is not there yet is no problem: no job has ended.
func (m *Monitor) readRecords(now time.Time) {
	f := &m.records
	if f.path == "" || now.Before(f.due) {
		return
	}
	var list []used
	var problems []Problem
	more, emptied, err := f.read(func(r records.Record) {
		if u, p, ok := m.takeRecord(r, now); ok {
			list = append(list, u)
			problems = append(problems, p...)
		}
	})
	if f.due = now.Add(recordsEvery); more {
		f.due = now.Add(portionsEvery)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if emptied {
		f.list, f.names = nil, 0
	}
	f.remember(list)
	for _, p := range problems {
		m.problemAt(p.Time, p.Kind, p.What, p.Remedy, p.URL)
	}
	what, remedy := "", "let this user read "+f.path
	if err != nil {
		what = clean("the job records cannot be read: " + err.Error())
	}
	if errors.Is(err, records.ErrReplaced) {
		remedy = "remove it: a job can write to the folder " + filepath.Dir(f.path)
	}
	m.lasting(&f.trouble, what, remedy)
}

// wait is how long the file need not be looked at.
func (f *recordsFile) wait(now time.Time) time.Duration {
	if f.path == "" {
		return longestPause
	}
	return f.due.Sub(now)
}

// read reads a portion on. more tells whether there may be more at once, emptied
// that somebody has emptied the file: what was read of it counts no longer.
func (f *recordsFile) read(each func(records.Record)) (more, emptied bool, err error) {
	if f.file == nil {
		if err := f.open(); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return false, false, err
		}
	}
	info, err := f.file.Stat()
	if err != nil {
		return false, false, err
	}
	if emptied = info.Size() < f.offset; emptied {
		f.offset = 0
	}
	f.offset = max(f.offset, info.Size()-mostBytes)
	n, _, err := records.Read(io.NewSectionReader(f.file, f.offset, portion), 0, func(r records.Record) bool { each(r); return true })
	f.offset += n
	if there, statErr := os.Lstat(f.path); n == 0 && statErr == nil && !os.SameFile(there, info) {
		f.close() // it was begun anew
		return true, emptied, err
	}
	return n > 0, emptied, err
}

// open opens the file, at first what it was before it was begun anew.
func (f *recordsFile) open() (err error) {
	f.offset = 0
	if !f.begun {
		f.begun = true
		if f.file, err = records.Open(records.Old(f.path)); err == nil {
			return nil
		}
	}
	f.file, err = records.Open(f.path)
	return err
}

func (f *recordsFile) close() {
	if f.file != nil {
		f.file.Close()
	}
	f.file = nil
}

// remember takes jobs in, and lets the older half go when there are too many.
func (f *recordsFile) remember(list []used) {
	for _, u := range list {
		f.list = append(f.list, u)
		f.names += u.size()
		if len(f.list) <= mostJobs && f.names <= mostNames {
			continue
		}
		f.list, f.names = slices.Clone(f.list[len(f.list)/2:]), 0
		for _, u := range f.list {
			f.names += u.size()
		}
	}
}

func (u used) size() int {
	return len(u.repository.Value()) + len(u.workflow.Value()) + len(u.name.Value())
}

const (
	mostUsed  = 1 << 50   // bytes that a record is believed to have used
	mostOOMs  = 1_000_000 // the same for processes that were killed
	mostOfCPU = 1e9       // and for seconds
)

// takeRecord makes of a record what is remembered, and what it tells of problems.
// Jobs can write to the file, so nothing of it is believed to be sane.
func (m *Monitor) takeRecord(r records.Record, now time.Time) (u used, problems []Problem, ok bool) {
	if r.Finished.Before(now.Add(-kept)) || r.Finished.After(now.Add(time.Hour)) {
		return used{}, nil, false
	}
	u = used{run: r.RunID, ended: r.Finished.Unix(), repository: unique.Make(clean(r.Repository)), workflow: unique.Make(clean(r.Workflow)), name: unique.Make(clean(r.Job)),
		peak: known(r.PeakMemory, mostUsed), ooms: known(r.OOMKills, mostOOMs), disk: known(r.Disk, mostUsed), readIn: known(r.Read, mostUsed), written: known(r.Written, mostUsed), cpu: -1}
	if r.CPUSeconds != nil && *r.CPUSeconds >= 0 && *r.CPUSeconds <= mostOfCPU {
		u.cpu = *r.CPUSeconds
	}
	what := fmt.Sprintf("the job %s of %s", u.name.Value(), u.repository.Value())
	if u.repository.Value() == "" {
		what = "the job " + u.name.Value()
	}
	switch {
	case u.ooms > 0:
		problems = []Problem{{Kind: "memory", What: "a process of " + what + " was killed for memory", Remedy: "give the container more memory (mem_limit), or let the job use less"}}
	case r.Result == "lost":
		problems = []Problem{{Kind: "lost", What: what + " ended without a result on " + clean(r.Runner), Remedy: "look into that container's log: it was killed, or its host went down"}}
	}
	for i := range problems {
		problems[i].Time, problems[i].URL = earliest(r.Finished, now), m.onServer(r.RunURL)
	}
	return u, problems, true
}

// known is a number of a record, or -1 where it is unknown or no number that can be.
func known(n *int64, most int64) int64 {
	if n == nil || *n < 0 || *n > most {
		return -1
	}
	return *n
}

// onServer is a link if it leads to the GitHub that is looked at, else nothing.
func (m *Monitor) onServer(text string) string {
	if !strings.HasPrefix(text, strings.TrimSuffix(m.options.ServerURL, "/")+"/") {
		return ""
	}
	return address(text)
}
