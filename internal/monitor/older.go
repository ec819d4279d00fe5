package monitor

import (
	"context"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// What is not on the newest page of a repository's runs.

// mostFiltered is how many runs GitHub shows of a list with a filter.
const mostFiltered = 1000

// mostGaps bounds what is to be read later of one repository.
const mostGaps = 10

// waiting are the states of runs that are looked for beyond the newest page.
var waiting = []string{"queued", "in_progress", "waiting"}

// sweep is the search for older runs that wait or run, a page at a time.
type sweep struct {
	at     time.Time      // when a page was last read
	found  map[int64]bool // so far; nil: none is under way
	status int            // of waiting
	next   string         // page
	cut    bool           // GitHub did not show all
}

// sweepDue is when the next page of a sweep is to be read.
func (r *repository) sweepDue() time.Time {
	if r.sweep.found != nil {
		return r.sweep.at
	}
	for _, l := range r.live {
		if l.older {
			return r.sweep.at.Add(sweepSoon)
		}
	}
	return r.sweep.at.Add(sweepEvery)
}

// sweepRuns reads one page of a sweep. One that failed is read again.
func (m *Monitor) sweepRuns(ctx context.Context, r *repository) error {
	s := &r.sweep
	page, err := m.options.GitHub.RunsPage(ctx, r.name, waiting[s.status], "", s.next)
	s.at = m.now()
	if err != nil {
		return m.denyRuns(r, err)
	}
	if s.found == nil {
		s.found = map[int64]bool{}
	}
	m.change(func() {
		for _, run := range page.List {
			s.found[run.ID] = true
			m.takeOlder(r, run)
		}
	})
	s.next, s.cut = page.Next, s.cut || page.Total > mostFiltered
	if s.next != "" {
		return nil
	}
	if s.status++; s.status < len(waiting) {
		return nil
	}
	if !s.cut {
		m.change(func() { m.finishMissing(r, s.found) })
	}
	r.sweep = sweep{at: s.at}
	return nil
}

// takeOlder takes in a run that was found beyond the newest page: that page has
// told of all of its own. The state is locked.
func (m *Monitor) takeOlder(r *repository, run register.Run) {
	known := r.live[run.ID] != nil
	m.takeRun(r, run)
	if l := r.live[run.ID]; l != nil && !known {
		l.older = true
	}
}

// finishMissing takes those for ended that no list has any more; the state is
// locked.
func (m *Monitor) finishMissing(r *repository, found map[int64]bool) {
	for id, l := range r.live {
		if !l.older || found[id] {
			continue
		}
		m.finish(r, l, m.now(), false)
		if p := m.pending[id]; p != nil {
			p.taken = true
		}
	}
}

// gap is a time of which a repository's runs have not been read: more were created
// in it than fit on the newest page.
type gap struct {
	from, to time.Time
	next     string // page
	left     int    // at least
}

// noteGap notes what was created after what was known, and is not on the newest
// page; the state is locked.
func (r *repository) noteGap(page register.Page[register.Run], now time.Time) {
	if len(page.List) == 0 {
		return
	}
	known := latest(r.mark, now.Add(-kept))
	newest, oldest := page.List[0].CreatedAt, page.List[len(page.List)-1].CreatedAt
	r.mark = latest(r.mark, newest)
	switch {
	case page.Next == "" || !oldest.After(known):
	case len(r.gaps) == mostGaps:
		g := &r.gaps[mostGaps-1]
		g.to, g.next = oldest, ""
	default:
		r.gaps = append(r.gaps, gap{from: known, to: oldest, left: 1})
	}
}

// readGap reads one page of the newest gap.
func (m *Monitor) readGap(ctx context.Context, r *repository) error {
	g := &r.gaps[len(r.gaps)-1]
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	page, err := m.options.GitHub.RunsPage(once(ctx), r.name, "", stamp(g.from)+".."+stamp(g.to), g.next)
	if err != nil {
		return m.denyRuns(r, err)
	}
	m.change(func() {
		for _, run := range page.List {
			m.takeOlder(r, run)
		}
		if g.next == "" {
			g.left = page.Total
		}
		g.left = max(g.left-len(page.List), 0)
		g.next = page.Next
		if g.next != "" {
			return
		}
		if n := len(page.List); g.left > 0 && n > 0 && page.List[n-1].CreatedAt.Before(g.to) {
			g.to = page.List[n-1].CreatedAt // GitHub shows no more than mostFiltered of one question
			return
		}
		m.skipped += g.left
		r.gaps = r.gaps[:len(r.gaps)-1]
	})
	return nil
}

// unread is how many finished runs are still to be looked into, and how many live
// ones; the state is locked.
func (m *Monitor) unread() (finished, live int) {
	finished = len(m.pending)
	for _, r := range m.repositories {
		for _, g := range r.gaps {
			finished += g.left
		}
		live += r.unread()
	}
	return finished, live
}

// marks are up to when the runs of each repository are known to be in the history:
// a day before the newest, for what ran at the time.
func (h *history) marks() map[string]time.Time {
	marks := map[string]time.Time{}
	for _, j := range h.jobs {
		repository := j.repository.Value()
		marks[repository] = latest(marks[repository], time.Unix(j.ended, 0).Add(-24*time.Hour))
	}
	return marks
}
