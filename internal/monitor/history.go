package monitor

import (
	"maps"
	"slices"
	"sort"
	"time"
	"unique"
)

const (
	// kept is how long finished jobs are remembered: a week, and a day more so that
	// the week is whole.
	kept = 8 * 24 * time.Hour
	// mostJobs and mostBytes bound the history, in memory and as a file.
	mostJobs  = 100_000
	mostBytes = 64 << 20
)

// name is a text of which there is one copy, however many jobs have it.
type name = unique.Handle[string]

// finished is one job in memory; times are Unix seconds, 0 for unknown.
type finished struct {
	run                        int64
	queued, started, ended     int64
	repository, workflow, name name
	result, system             name
	free                       bool // GitHub's own runners would have been free
	nth                        int32
}

func (j finished) took() time.Duration { return time.Duration(max(j.ended-j.started, 0)) * time.Second }

func (j finished) waited() time.Duration { return time.Duration(j.started-j.queued) * time.Second }

// history is the finished jobs of the last days, in memory and in a file. Its
// owner locks.
type history struct {
	began time.Time
	jobs  []finished
	runs  map[int64]run // those that have been looked into
	historyFile
}

type run struct {
	attempt int
	ended   int64
}

// has tells whether an attempt of a run has been looked into.
func (h *history) has(id int64, attempt int) bool {
	r, found := h.runs[id]
	return found && r.attempt >= attempt
}

// remember takes a run into memory and returns those of its jobs that are new: the
// jobs that a new attempt did not run again are those of the old one.
func (h *history) remember(r runLine) []finished {
	_, again := h.runs[r.Run]
	if h.has(r.Run, r.Attempt) && !r.More {
		return nil
	}
	h.runs[r.Run] = run{max(r.Attempt, h.runs[r.Run].attempt), r.Finished}
	known := map[jobKey]bool{}
	if again && !r.More {
		for _, old := range h.jobs {
			if old.run == r.Run {
				known[old.key()] = true
			}
		}
	}
	var added []finished
	for _, j := range r.Jobs {
		if f := finishedOf(r, j); !known[f.key()] {
			added = append(added, f)
		}
	}
	h.jobs = append(h.jobs, added...)
	return added
}

// add remembers a finished run and writes it to the file. What cannot be written
// is remembered all the same.
func (h *history) add(r runLine, now time.Time) []finished {
	known := h.has(r.Run, r.Attempt)
	added := h.remember(r)
	if known {
		return added
	}
	r.Jobs = nil
	for _, f := range added {
		r.Jobs = append(r.Jobs, lineOf(f))
	}
	h.append(r)
	h.keepUp(now)
	return added
}

// forget lets go of what is too old, and of the oldest where there is too much. A
// run's mark stays longer than its jobs: it must not come back from GitHub's list.
func (h *history) forget(now time.Time, most int) {
	oldest := now.Add(-kept).Unix()
	if len(h.jobs) > most {
		sort.Slice(h.jobs, func(i, k int) bool { return h.jobs[i].ended < h.jobs[k].ended })
		h.jobs = slices.Clone(h.jobs[len(h.jobs)-most:])
	}
	h.jobs = slices.DeleteFunc(h.jobs, func(j finished) bool { return j.ended < oldest })
	if len(h.runs) > 2*mostJobs {
		ends := make([]int64, 0, len(h.runs))
		for _, r := range h.runs {
			ends = append(ends, r.ended)
		}
		slices.Sort(ends)
		oldest = max(oldest, ends[len(ends)-mostJobs])
	}
	maps.DeleteFunc(h.runs, func(_ int64, r run) bool { return r.ended < oldest })
}
