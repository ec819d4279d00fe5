package monitor

import (
	"slices"
	"time"
)

// What is kept of runs that have not ended: a flood of queued ones must not take
// the memory that the rest needs.
const (
	mostLiveRuns = 20_000 // of all repositories; half of that of one
	mostLiveJobs = 20_000 // of all runs; half of that of one repository
)

// rest is what a run has beside the jobs that are kept of it.
type rest struct {
	some            bool // there is something, which may have ended
	running, queued int
	oldest          *time.Time // since when one of the queued waits, if that is known
}

// isWhole tells whether all jobs of a run are known.
func (l *liveRun) isWhole() bool { return l.read && !l.rest.some }

// keep takes in the jobs of a run as far as there is room, and counts the others;
// the state is locked.
func (m *Monitor) keep(repository string, l *liveRun, jobs []liveJob) {
	all, own := 0, 0
	count := func(of string, other *liveRun) {
		if other.id == l.id {
			return
		}
		all += len(other.jobs)
		if of == repository {
			own += len(other.jobs)
		}
	}
	for _, r := range m.repositories {
		for _, other := range r.live {
			count(r.name, other)
		}
	}
	for _, p := range m.pending {
		count(p.repository, &p.liveRun)
	}
	room := max(min(mostLiveJobs-all, mostLiveJobs/2-own, mostRunJobs, len(jobs)), 0)
	l.read, l.jobs, l.rest = true, slices.Clone(jobs[:room]), rest{some: room < len(jobs)}
	for _, j := range jobs[room:] {
		switch {
		case !j.own:
		case j.status == "in_progress":
			l.rest.running++
		case j.status == "queued":
			l.rest.queued++
			if at := j.waitsSince(); compareTimes(at, l.rest.oldest) < 0 {
				l.rest.oldest = at
			}
		}
	}
}

// isFull tells whether no further run of a repository is taken in; the state is
// locked.
func (m *Monitor) isFull(of *repository) bool {
	if len(of.live) >= mostLiveRuns/2 {
		return true
	}
	runs := 0
	for _, r := range m.repositories {
		runs += len(r.live)
	}
	return runs >= mostLiveRuns
}
