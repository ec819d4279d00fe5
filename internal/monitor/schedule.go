package monitor

import (
	"context"
	"errors"
	"time"
)

// How often GitHub is asked. The waits become longer when the budget runs low, up
// to longestStretch times; answers that have not changed cost no budget.
const (
	activeEvery  = 20 * time.Second // a repository where something happens
	quietEvery   = time.Minute      // one where nothing does, at first
	quietestWait = 5 * time.Minute  // and in the end
	jobsEvery    = 30 * time.Second // the jobs of a run in progress
	runnersEvery = 30 * time.Second // the runners, if they are few
	listsEvery   = 10 * time.Minute // repositories and groups
	datesEvery   = 6 * time.Hour    // versions and their dates
	sweepEvery   = time.Hour        // runs older than the newest hundred that wait or run
	deniedWait   = 10 * time.Minute // what the credentials could not see

	longestStretch = 8
	longestCall    = time.Minute
	longestListing = 10 * time.Minute // of runners, of which a hundred take one call
	firstPause     = 15 * time.Second // after a failure
	longestPause   = 5 * time.Minute

	// runnersShare is the part of the budget that the list of runners may take, of
	// which 10,000 are 100 calls; spareShare is it when nothing else wants the budget.
	// When the budget runs low, the queue goes first: what runs where is known from
	// the jobs as well.
	runnersShare = 0.4
	spareShare   = 0.8
	scarceShare  = 0.2

	mostRepositories = 2000
	mostPending      = 2000 // finished runs that are still to be looked into
	mostOffers       = 1000
	mostVersions     = 30
	newest           = 100 // runs on GitHub's first page
)

// task is one call to GitHub that is due at a time. The lowest rank goes first.
type task struct {
	due  time.Time
	rank int
	do   func(context.Context) error
}

// step does what is due first and returns how long there is nothing to do.
func (m *Monitor) step(ctx context.Context) (wait time.Duration) {
	now := m.now()
	m.change(func() { m.stepped = now })
	m.readRecords(now)
	if left := m.pause.Sub(now); left > 0 {
		return left
	}
	if wait, ok := m.meter.allows(); !ok {
		return wait
	}
	t := m.due(ctx, now)
	if left := t.due.Sub(now); left > 0 {
		return min(left, 10*time.Second)
	}
	call, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	m.settle(ctx, t.do(call))
	return 0
}

// settle takes the end of a call in. What fails for all makes a pause.
func (m *Monitor) settle(ctx context.Context, err error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil || errors.Is(err, errUnchanged):
		m.lastSuccess, m.failing, m.failed = now, nil, 0
	case errors.Is(err, errBudget):
		m.pause = now.Add(firstPause)
	case ctx.Err() != nil:
	default:
		m.failing = err
		m.pause = now.Add(min(firstPause<<min(m.failed, 10), longestPause))
		m.failed++
		m.problem("github", problemText(err), remedyOf(err), "")
	}
}

// due finds what is to be done next; a listing of the runners ends with ctx.
func (m *Monitor) due(ctx context.Context, now time.Time) task {
	best := task{due: now.Add(time.Hour)}
	consider := func(due time.Time, rank int, do func(context.Context) error) {
		overdue, bestOverdue := !due.After(now), !best.due.After(now)
		switch {
		case overdue && bestOverdue && rank != best.rank:
			if rank > best.rank {
				return
			}
		case !due.Before(best.due):
			return
		}
		best = task{due, rank, do}
	}
	spare, _ := m.meter.spare()
	consider(m.listsDue, 0, m.readLists)
	consider(m.runnersDue(spare), 1, func(context.Context) error { return m.readRunners(ctx) })
	if m.runnersAt.After(m.began) {
		consider(m.datesDue, 0, m.readDates)
	}
	for _, r := range m.repositories {
		consider(r.due, 2, func(ctx context.Context) error { return m.readRuns(ctx, r) })
		for _, l := range r.live {
			consider(l.due, 2, func(ctx context.Context) error { return m.readJobs(ctx, r, l) })
		}
	}
	for _, p := range m.pending {
		// The newest first. What ended before we looked is for when there is budget to spare.
		rank, due := 2, p.since
		if p.old {
			rank, due = 3, now.Add(-p.ended.Sub(now.Add(-kept)))
			if spare < 0.5 {
				due = now.Add(time.Minute)
			}
		}
		consider(due, rank, func(ctx context.Context) error { return m.readFinished(ctx, p) })
	}
	return best
}

// stretched makes a wait longer when the budget runs low.
func (m *Monitor) stretched(d time.Duration) time.Duration {
	calls, requests := m.meter.spare()
	return stretch(d, min(calls, requests))
}

// seldom makes a wait longer only when there are too many requests: for those that
// most often are answered with 304.
func (m *Monitor) seldom(d time.Duration) time.Duration {
	_, requests := m.meter.spare()
	return stretch(d, requests)
}

func stretch(d time.Duration, spare float64) time.Duration {
	return time.Duration(float64(d) * min(max(0.5/max(spare, 0.01), 1), longestStretch))
}
