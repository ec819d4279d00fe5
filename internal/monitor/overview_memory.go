package monitor

import (
	"cmp"
	"slices"
	"strings"
)

type memoryKey struct{ repository, workflow, name name }

// memorySums is all runs of one job.
type memorySums struct {
	count                       int
	ooms                        *int64 // nil: no record tells it
	peak, disk, readIn, written sizes
	cpu                         times
}

// sizes collects bytes until their median is wanted.
type sizes []int64

func (s *sizes) add(n int64) {
	if n >= 0 {
		*s = append(*s, n)
	}
}

// median is nil when nothing is known.
func (s sizes) median() *int64 {
	if len(s) == 0 {
		return nil
	}
	slices.Sort(s)
	return &s[(len(s)-1)/2]
}

// addKnown adds to a sum what is known.
func addKnown(sum **int64, n int64) {
	if n < 0 {
		return
	}
	if *sum == nil {
		*sum = new(int64)
	}
	**sum += n
}

// isKnown tells whether a record tells anything of what was used.
func (u used) isKnown() bool {
	return u.peak >= 0 || u.ooms > 0 || u.disk >= 0 || u.readIn >= 0 || u.written >= 0 || u.cpu >= 0
}

func (s *memorySums) add(u used) {
	s.count++
	addKnown(&s.ooms, u.ooms)
	s.peak.add(u.peak)
	s.disk.add(u.disk)
	s.readIn.add(u.readIn)
	s.written.add(u.written)
	if u.cpu >= 0 {
		s.cpu = append(s.cpu, u.cpu)
	}
}

func (s *memorySums) job(k memoryKey) JobMemory {
	j := JobMemory{Repository: k.repository.Value(), Workflow: k.workflow.Value(), Job: k.name.Value(), Count: s.count, OOMKills: s.ooms,
		P50: s.peak.median(), Disk: s.disk.median(), Read: s.readIn.median(), Written: s.written.median()}
	if len(s.peak) > 0 {
		j.Max = &s.peak[len(s.peak)-1] // they are sorted now
	}
	if p := s.cpu.percentiles(); p != nil {
		j.CPUSeconds = &p.P50
	}
	return j
}

// describeMemory is what the job records tell.
func (m *Monitor) describeMemory(o *Overview) {
	if m.records.path == "" || len(m.records.list) == 0 {
		return
	}
	from := o.GeneratedAt.Add(-windows[2].length).Unix()
	memory, jobs, keyOf := &Memory{Highest: []JobMemory{}}, map[memoryKey]*memorySums{}, m.recordNames()
	for _, u := range m.records.list {
		if u.ended < from || !u.isKnown() {
			continue
		}
		addKnown(&memory.OOMKills, u.ooms)
		if u.peak >= 0 {
			memory.Jobs++
		}
		k := keyOf(u)
		if jobs[k] == nil {
			jobs[k] = &memorySums{}
		}
		jobs[k].add(u)
	}
	for k, s := range jobs {
		memory.Highest = append(memory.Highest, s.job(k))
	}
	sortBy(memory.Highest, func(a, b JobMemory) int {
		return cmp.Or(cmp.Compare(b.rank(), a.rank()), strings.Compare(a.Repository, b.Repository), strings.Compare(a.Job, b.Job))
	})
	memory.Highest = memory.Highest[:min(len(memory.Highest), mostWorkflows)]
	o.Memory = memory
}

// rank puts first what has used up all there is, though its peak is unknown.
func (j JobMemory) rank() int64 {
	switch {
	case j.Max != nil:
		return *j.Max
	case j.OOMKills != nil && *j.OOMKills > 0:
		return mostUsed + 1
	}
	return -1
}

// recordNames tells of what job a record is. Where it does not name its
// repository, GitHub's run of the same id and job does.
func (m *Monitor) recordNames() func(used) memoryKey {
	type runKey struct {
		run  int64
		name name
	}
	joined := map[runKey]memoryKey{}
	for _, u := range m.records.list {
		if u.repository.Value() == "" && u.run != 0 {
			joined[runKey{u.run, u.name}] = memoryKey{u.repository, u.workflow, u.name}
		}
	}
	if len(joined) > 0 {
		for _, j := range m.history.jobs {
			if _, wanted := joined[runKey{j.run, j.name}]; wanted {
				joined[runKey{j.run, j.name}] = memoryKey{j.repository, j.workflow, j.name}
			}
		}
	}
	return func(u used) memoryKey {
		if k, found := joined[runKey{u.run, u.name}]; found && u.repository.Value() == "" {
			return k
		}
		return memoryKey{u.repository, u.workflow, u.name}
	}
}
