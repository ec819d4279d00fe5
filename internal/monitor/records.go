package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/internal/records"
)

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

// describeMemory is what the job records tell. Where a record does not say of what
// repository it is, GitHub's run of the same id and job does.
func (m *Monitor) describeMemory(o *Overview) {
	if m.records.path == "" || len(m.records.list) == 0 {
		return
	}
	type key struct{ repository, workflow, name name }
	type runKey struct {
		run  int64
		name name
	}
	type sum struct {
		peaks []int64
		cpu   times
		ooms  int64
	}
	from := o.GeneratedAt.Add(-windows[2].length).Unix()
	unnamed := map[runKey]key{}
	for _, u := range m.records.list {
		if u.repository.Value() == "" && u.run != 0 {
			unnamed[runKey{u.run, u.name}] = key{u.repository, u.workflow, u.name}
		}
	}
	if len(unnamed) > 0 {
		for _, j := range m.history.jobs {
			if _, wanted := unnamed[runKey{j.run, j.name}]; wanted {
				unnamed[runKey{j.run, j.name}] = key{j.repository, j.workflow, j.name}
			}
		}
	}
	memory := &Memory{Highest: []JobMemory{}}
	sums := map[key]*sum{}
	for _, u := range m.records.list {
		if u.ended < from {
			continue
		}
		memory.OOMKills += max(u.ooms, 0)
		if u.peak < 0 {
			continue
		}
		memory.Jobs++
		k, joined := unnamed[runKey{u.run, u.name}]
		if !joined || u.repository.Value() != "" {
			k = key{u.repository, u.workflow, u.name}
		}
		if sums[k] == nil {
			sums[k] = &sum{}
		}
		s := sums[k]
		s.peaks = append(s.peaks, u.peak)
		s.ooms += max(u.ooms, 0)
		if u.cpu >= 0 {
			s.cpu = append(s.cpu, u.cpu)
		}
	}
	for k, s := range sums {
		slices.Sort(s.peaks)
		j := JobMemory{Repository: k.repository.Value(), Workflow: k.workflow.Value(), Job: k.name.Value(), Count: len(s.peaks),
			P50: s.peaks[(len(s.peaks)-1)/2], Max: s.peaks[len(s.peaks)-1], OOMKills: s.ooms}
		if p := s.cpu.percentiles(); p != nil {
			j.CPUSeconds = &p.P50
		}
		memory.Highest = append(memory.Highest, j)
	}
	sortBy(memory.Highest, func(a, b JobMemory) int {
		return cmp.Or(cmp.Compare(b.Max, a.Max), strings.Compare(a.Repository, b.Repository), strings.Compare(a.Job, b.Job))
	})
	memory.Highest = memory.Highest[:min(len(memory.Highest), mostWorkflows)]
	o.Memory = memory
}
