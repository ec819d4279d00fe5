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
	quietEvery   = 45 * time.Second // one where nothing does; longer if there are many
	jobsEvery    = 30 * time.Second // the jobs of a run in progress
	runnersEvery = 30 * time.Second // the runners, if they are few
	listsEvery   = 10 * time.Minute // repositories and groups
	namedEvery   = time.Hour        // repositories that are named one by one
	datesEvery   = 6 * time.Hour    // versions and their dates
	sweepEvery   = time.Hour        // runs older than the newest page that wait or run
	sweepSoon    = 10 * time.Minute // the same when there are some
	deniedWait   = 10 * time.Minute // what the credentials could not see
	retryWait    = time.Minute      // what failed

	longestStretch = 8
	longestCall    = 20 * time.Second

	// leastShare and mostShare are the parts of the budget that the list of runners may
	// take, of which 10,000 are 100 calls. When the budget runs low, the queue goes
	// first: what runs where is known from the jobs as well.
	leastShare = 0.05
	mostShare  = 0.8
	listsShare = 0.1
	// quietShare is the part of all requests that quiet repositories may take.
	quietShare = 0.5
	// leisure is how much of the burst is to be left for what can wait: what ended
	// before the monitor began to look, and the next page of a long list at once.
	leisure = 0.5
	// scarce is when the budget has to be saved for the queue.
	scarce = 0.2

	mostRepositories = 2000
	mostPending      = 2000 // finished runs that are still to be looked into
	mostOffers       = 1000
	mostVersions     = 30
)

// task is one call to GitHub that is due at a time. Of those that are, the one of
// the first rank is next, and of these the one that has been due for the longest
// time, so that none keeps the others waiting.
type task struct {
	due        time.Time
	rank       rank
	repository string // that it is about alone
	do         func(context.Context) error
}

// rank is what goes first of what is due.
type rank int

const (
	sooner rank = iota // what is little, or its share of the budget has paid for
	turn               // what has its turn
	runs               // whether a repository has something new, which mostly costs nothing
	unread             // what a run has that was not looked into yet
	normal             // everything else
	later              // what ended before the monitor began to look
)

// turns is whose turn it is, one call after the other. When there is more to ask
// than the budget or the time allows, what is new goes first, and not one of the
// three waits for ever.
var turns = [...]rank{runs, unread, runs, unread, normal}

// freeTurn is what an answer that has not changed takes of a turn: it costs no
// budget, but some time.
const freeTurn = 0.05

// before tells whether a task goes before another one.
func (t task) before(other task, now time.Time) bool {
	if !t.due.After(now) && !other.due.After(now) && t.rank != other.rank {
		return t.rank < other.rank
	}
	return t.due.Before(other.due)
}

// step does what is due first and returns how long there is nothing to do.
func (m *Monitor) step(ctx context.Context) (wait time.Duration) {
	now := m.now()
	m.change(func() { m.stepped = now })
	m.readRecords(now)
	m.keepStore(now)
	if left := m.pause.Sub(now); left > 0 {
		return left
	}
	if wait, ok := m.meter.allows(); !ok {
		return wait
	}
	t := m.due(now)
	if left := t.due.Sub(now); left > 0 {
		return min(left, 10*time.Second)
	}
	call, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	err := t.do(call)
	if errors.Is(err, errUnchanged) {
		m.turns += freeTurn
	} else {
		m.turns++
	}
	m.settle(ctx, t, err)
	return 0
}

// due finds what is to be done next.
func (m *Monitor) due(now time.Time) task {
	best := task{due: now.Add(time.Hour)}
	first := turns[int(m.turns)%len(turns)]
	consider := func(t task) {
		if t.rank == first {
			t.rank = turn
		}
		if t.before(best, now) {
			best = t
		}
	}
	if m.listed() {
		due, _ := m.pageDue(&m.repositoryList.pages, listsShare, listsEvery)
		consider(task{due: due, rank: sooner, do: m.readRepositories}) // 20 pages at most
	}
	if m.options.Kind != OfRepository {
		consider(task{due: m.groupsDue, rank: sooner, do: m.readGroups})
	}
	due, rank := m.pageDue(&m.runnerList.pages, m.shareOfRunners(), runnersEvery)
	consider(task{due: due, rank: rank, do: m.readRunners})
	if !m.runnersAt.IsZero() {
		consider(task{due: m.latestDue, rank: normal, do: m.readLatest})
		for version, dates := range m.versions {
			consider(task{due: dates.due, rank: normal, do: func(ctx context.Context) error { return m.readDates(ctx, version, dates) }})
		}
	}
	spare := m.spare()
	for _, r := range m.repositories {
		m.dueOf(r, now, spare, consider)
	}
	for _, p := range m.pending {
		t := task{due: p.since, rank: normal, repository: p.repository, do: func(ctx context.Context) error { return m.readFinished(ctx, p) }}
		if p.old { // the newest first
			t.due, t.rank = now.Add(-p.ended.Sub(now.Add(-kept))), later
			if spare < leisure {
				continue
			}
		}
		if r := m.repositories[p.repository]; r != nil {
			t.due = latest(t.due, r.pause)
		}
		consider(t)
	}
	return best
}

// dueOf is what is to be asked of one repository; nothing while it is given time
// to recover.
func (m *Monitor) dueOf(r *repository, now time.Time, spare float64, consider func(task)) {
	add := func(due time.Time, rank rank, do func(context.Context) error) {
		consider(task{due: latest(due, r.pause), rank: rank, repository: r.name, do: do})
	}
	if !r.named.IsZero() {
		add(r.named, normal, func(ctx context.Context) error { return m.readRepository(ctx, r) })
	}
	if r.hidden {
		return
	}
	add(r.due, runs, func(ctx context.Context) error { return m.readRuns(ctx, r) })
	if r.more {
		add(r.sweepDue(), normal, func(ctx context.Context) error { return m.sweepRuns(ctx, r) })
	}
	if len(r.gaps) > 0 && spare >= leisure {
		add(now, later, func(ctx context.Context) error { return m.readGap(ctx, r) })
	}
	// Of its runs one at a time, and the next one behind those of other repositories:
	// a large matrix here keeps no single job waiting there.
	for rank, l := range r.nextRuns() {
		add(latest(l.due, r.looked), rank, func(ctx context.Context) error { return m.readJobs(ctx, r, l) })
	}
}

// nextRuns are the live runs to look into next: of those that never were, and of
// those that were.
func (r *repository) nextRuns() map[rank]*liveRun {
	next := map[rank]*liveRun{}
	for _, l := range r.live {
		rank := unread
		if l.read {
			rank = normal
		}
		if best := next[rank]; best == nil || l.due.Before(best.due) {
			next[rank] = l
		}
	}
	return next
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// spare is what is left of calls and of requests, whichever is less: 0 to 1.
func (m *Monitor) spare() float64 {
	calls, requests := m.meter.spare()
	return min(calls, requests)
}

// stretched makes a wait longer when the budget runs low.
func (m *Monitor) stretched(d time.Duration) time.Duration {
	return stretch(d, m.spare())
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

// paced is how long so many calls take at a share of the budget.
func (m *Monitor) paced(share, calls float64) time.Duration {
	return time.Duration(calls / (share * float64(m.meter.perHour)) * float64(time.Hour))
}

// pages is a list that is read a page at a time, within a share of the budget.
type pages struct {
	next    string        // the page to go on with; "": the first one
	began   time.Time     // the present reading, or the last one
	took    time.Duration // the last reading
	at      time.Time     // when a page was last read; guarded
	cost    float64       // of that, in calls
	resting time.Time     // until then it is not asked for
}

// pageDue is when the next page of a list is to be read: when its share of the
// budget has paid for the last one, or at once as long as there is leisure, the
// first time as long as there is anything to spare. A new reading does not begin
// before every has passed.
func (m *Monitor) pageDue(p *pages, share float64, every time.Duration) (due time.Time, rank rank) {
	due, rank = p.at, normal
	spare := m.spare()
	if spare <= scarce || spare <= leisure && p.took != 0 {
		due, rank = p.at.Add(m.paced(share, p.cost)), sooner
	}
	if p.next == "" {
		due = latest(due, p.began.Add(every))
	}
	return latest(latest(due, p.resting), m.began), rank
}

// readPage reads one page of a list; read returns the next one, "" after the last,
// and then done is true. A page that failed is read again, what came before it is
// not.
func (m *Monitor) readPage(p *pages, read func(page string) (next string, err error)) (done bool, err error) {
	if p.next == "" {
		p.began = m.now()
	}
	before := m.meter.cost()
	next, err := read(p.next)
	if err != nil {
		p.resting = m.now().Add(retryWait)
		return false, err
	}
	m.change(func() { p.at = m.now() })
	p.cost = m.meter.cost() - before
	if p.next = next; next == "" {
		p.took = max(p.at.Sub(p.began), 1)
	}
	return next == "", nil
}

// restart begins a list anew after some time.
func (p *pages) restart(resting time.Time) { *p = pages{resting: resting, took: p.took} }
