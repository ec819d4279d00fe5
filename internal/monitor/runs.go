package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// liveRun is a run that has not ended.
type liveRun struct {
	id       int64
	attempt  int
	workflow string
	branch   string
	actor    string
	url      string
	stamp    string // what GitHub told of its state
	due      time.Time
	tags     tags
	jobs     []liveJob
	counted  map[string]bool // finished jobs that the metrics have
}

// pendingRun is a finished run that is to be looked into.
type pendingRun struct {
	repository string
	liveRun
	ended time.Time
	since time.Time // when it was seen to have ended
	old   bool      // it had ended before the monitor began to look
}

// readRuns asks for the newest runs of a repository. One unfiltered page tells
// what waits, what runs and what has ended, and while nothing happens it is free.
// Only what is older than the newest hundred and still waits or runs, and a run
// that is run again, is not on it: that is looked for now and then.
func (m *Monitor) readRuns(ctx context.Context, r *repository) error {
	now := m.now()
	var runs []register.Run
	unchanged := false
	for run, err := range m.options.GitHub.Runs(ifChanged(ctx, &r.tags), r.name, "", "") {
		if unchanged = errors.Is(err, errUnchanged); unchanged {
			break
		}
		if err != nil {
			r.due = now.Add(time.Minute)
			return m.denyRuns(r, err)
		}
		if runs = append(runs, run); len(runs) == newest {
			break
		}
	}
	if !unchanged {
		r.tags.keep()
	}
	m.allow("runs " + r.name)
	var rest map[int64]bool // runs that are not on the page
	if !unchanged {
		r.more = len(runs) == newest
	}
	if r.more && !now.Before(r.sweep) {
		rest = map[int64]bool{}
		for _, status := range []string{"queued", "in_progress"} {
			for run, err := range m.options.GitHub.Runs(ctx, r.name, status, "") {
				if err != nil {
					r.due = now.Add(time.Minute)
					return err
				}
				rest[run.ID] = true
				runs = append(runs, run)
			}
		}
		r.sweep = now.Add(sweepEvery)
	}
	m.change(func() { m.takeRuns(r, runs, rest, unchanged) })
	wait := m.stretched(activeEvery)
	if quiet := now.Sub(r.changed); len(r.live) == 0 && quiet > 10*time.Minute {
		wait = m.seldom(min(max(quiet/20, quietEvery), quietestWait))
	}
	r.due = now.Add(wait)
	return nil
}

// takeRuns takes a page of runs in; the state is locked. rest, when it is not
// nil, has all runs that have not ended.
func (m *Monitor) takeRuns(r *repository, runs []register.Run, rest map[int64]bool, unchanged bool) {
	now := m.now()
	r.seen = now
	if !unchanged {
		r.changed = now
	}
	first := true
	onPage := map[int64]bool{}
	for _, run := range runs {
		if first && !unchanged {
			first = false
			// A page that did not change for long is news when it is first read.
			if run.UpdatedAt.Before(now.Add(-10 * time.Minute)) {
				r.changed = run.UpdatedAt
			}
		}
		onPage[run.ID] = true
		m.takeRun(r, run)
	}
	for id, l := range r.live {
		switch {
		case unchanged && rest == nil, onPage[id]:
		case rest != nil && !rest[id]: // it must have ended
			m.finish(r, l, now, false)
		case rest == nil: // it is older than the page
			r.sweep = now
		}
	}
}

// takeRun takes one run in; the state is locked.
func (m *Monitor) takeRun(r *repository, run register.Run) {
	now := m.now()
	l := r.live[run.ID]
	switch run.Status {
	case "requested", "pending": // it waits for another run or a person, not for a runner
		return
	case "completed":
		if m.history.has(run.ID, run.Attempt) || run.UpdatedAt.Before(now.Add(-kept)) {
			delete(r.live, run.ID)
			return
		}
		old := l == nil && run.UpdatedAt.Before(m.began)
		if l == nil {
			l = newLive(run)
		}
		l.attempt = run.Attempt
		switch run.Conclusion {
		case "skipped", "action_required", "startup_failure": // no job has run
			delete(r.live, run.ID)
			m.record(runLine{Run: run.ID, Attempt: run.Attempt, Repository: r.name, Workflow: l.workflow, Finished: run.UpdatedAt.Unix()}, l)
		default:
			m.finish(r, l, run.UpdatedAt, old)
		}
		return
	}
	stamp := fmt.Sprint(run.Status, run.Attempt, run.UpdatedAt.Unix())
	if l == nil {
		l = newLive(run)
		r.live[run.ID] = l
	}
	if l.stamp != stamp {
		l.stamp, l.attempt, l.due = stamp, run.Attempt, now
	}
}

func newLive(run register.Run) *liveRun {
	return &liveRun{id: run.ID, attempt: run.Attempt, workflow: clean(run.Name), branch: clean(run.Branch), actor: clean(run.Actor.Login),
		url: address(run.URL), counted: map[string]bool{}}
}

// finish puts a run among those that are to be looked into a last time; the state
// is locked.
func (m *Monitor) finish(r *repository, l *liveRun, ended time.Time, old bool) {
	delete(r.live, l.id)
	if p := m.pending[l.id]; p != nil && p.attempt >= l.attempt {
		return
	}
	if len(m.pending) >= mostPending {
		oldest := ended
		var drop int64 = l.id
		for id, p := range m.pending {
			if p.ended.Before(oldest) {
				oldest, drop = p.ended, id
			}
		}
		m.skipped++
		if drop == l.id {
			return
		}
		delete(m.pending, drop)
	}
	m.pending[l.id] = &pendingRun{repository: r.name, liveRun: *l, ended: ended, since: m.now(), old: old}
}
