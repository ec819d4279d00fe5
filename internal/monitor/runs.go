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
	older    bool   // than the newest page of runs
	missing  int    // how often in a row GitHub did not find its jobs
	due      time.Time
	tags     tags
	read     bool // its jobs have been looked into, in this attempt
	jobs     []liveJob
	rest     rest
	seen     time.Time // when GitHub last told of them
}

// pendingRun is a finished run that is to be looked into.
type pendingRun struct {
	repository string
	liveRun
	ended time.Time
	since time.Time // when it was seen to have ended, or when to ask again
	old   bool      // it had ended before the monitor began to look
	taken bool      // for ended, since it is in no list any more
}

// readRuns asks for the newest runs of a repository. One unfiltered page tells
// what waits, what runs and what has ended, and while nothing happens it is free.
// What is older and still waits or runs is looked for now and then, and what has
// happened between the page and the one before it when there is leisure.
func (m *Monitor) readRuns(ctx context.Context, r *repository) error {
	page, err := m.options.GitHub.RunsPage(ifChanged(ctx, &r.tags), r.name, "", "", "")
	now := m.now()
	switch {
	case errors.Is(err, errUnchanged):
		m.change(func() { r.seen = now })
	case err != nil:
		r.due = now.Add(retryWait)
		return m.denyRuns(r, err)
	default:
		m.change(func() { m.takeRuns(r, page) })
		if r.tags.keep(); r.left {
			r.tags.forget()
		}
	}
	m.allow("runs " + r.name)
	wait := m.runsWait(r)
	r.due = now.Add(wait)
	m.change(func() { r.wait = wait })
	return err
}

// runsWait is how long a repository's runs are not asked for. Where nothing
// happens the answer is free, but all of those together are bounded too; the longer
// it has been quiet, the longer one may wait.
func (m *Monitor) runsWait(r *repository) time.Duration {
	quiet := m.now().Sub(r.changed)
	longest := m.paced(quietShare*requestsPerCall, float64(len(m.repositories)))
	wait := m.seldom(min(max(quiet/20, quietEvery), max(longest, quietEvery)))
	if len(r.live) > 0 || quiet < 10*time.Minute {
		return min(wait, m.stretched(activeEvery))
	}
	return wait
}

// takeRuns takes the newest page of runs in; the state is locked.
func (m *Monitor) takeRuns(r *repository, page register.Page[register.Run]) {
	now := m.now()
	r.seen, r.changed, r.more = now, now, page.Next != ""
	if r.left && !m.isFull(r) {
		r.left = false
		if r.more && r.sweep.found == nil { // it may have been an older one
			r.sweep.at = now.Add(-sweepEvery)
		}
	}
	for _, l := range r.live {
		l.older = true
	}
	for i, run := range page.List {
		// A page that did not change for long is news when it is first read.
		if i == 0 && run.UpdatedAt.Before(now.Add(-10*time.Minute)) {
			r.changed = run.UpdatedAt
		}
		m.takeRun(r, run)
		if l := r.live[run.ID]; l != nil {
			l.older = false
		}
	}
	r.noteGap(page, now)
}

// takeRun takes one run in; the state is locked.
func (m *Monitor) takeRun(r *repository, run register.Run) {
	now := m.now()
	l := r.live[run.ID]
	switch run.Status {
	case "requested", "pending": // it waits for another run or a person, not for a runner
		return
	case "completed":
		m.takeFinished(r, l, run)
		return
	}
	stamp := fmt.Sprint(run.Status, run.Attempt, run.UpdatedAt.Unix())
	switch {
	case l != nil:
	case m.isFull(r):
		r.left = true
		r.tags.forget() // it is told again when there is room
		return
	default:
		l = newLive(run)
		r.live[run.ID] = l
	}
	if l.stamp != stamp {
		l.read = l.read && l.attempt == run.Attempt
		l.stamp, l.attempt, l.due = stamp, run.Attempt, now
	}
}

// takeFinished takes in one that has ended; l is what is known of it, if it was
// seen before. The state is locked.
func (m *Monitor) takeFinished(r *repository, l *liveRun, run register.Run) {
	delete(r.live, run.ID)
	switch run.Conclusion {
	case "skipped", "action_required", "startup_failure": // no job has run, or not yet
		return
	}
	// One that was created longer ago than anything is kept has changed in some other
	// way than by running.
	if m.history.has(run.ID, run.Attempt) || l == nil && run.CreatedAt.Before(m.now().Add(-kept)) {
		return
	}
	old := l == nil && run.UpdatedAt.Before(m.began)
	if l == nil {
		l = newLive(run)
	}
	l.attempt = run.Attempt
	m.finish(r, l, run.UpdatedAt, old)
}

func newLive(run register.Run) *liveRun {
	return &liveRun{id: run.ID, attempt: run.Attempt, workflow: clean(run.Name), branch: clean(run.Branch), actor: clean(run.Actor.Login), url: address(run.URL)}
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
