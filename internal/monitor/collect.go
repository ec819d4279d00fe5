package monitor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
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

// collected is what is known of GitHub now.
type collected struct {
	repositories map[string]*repository // by owner/name
	listsDue     time.Time
	datesDue     time.Time
	denied       map[string]Unknown // by what was asked

	groups  []register.Group // nil: unknown
	runners []register.Runner
	runnerList
	systems map[string]system // of runners, by name
	offers  map[string]*offer // sets of labels that runners have

	latest   string
	versions map[string]*versionDates

	pending map[int64]*pendingRun
	skipped int // runs that were never looked into

	stepped     time.Time // when the collector last was alive
	lastSuccess time.Time
	failing     error // of the last call
	failed      int   // calls in a row
	pause       time.Time
}

// runnerList is the state of reading the list of runners, a page at a time.
type runnerList struct {
	runnersAt   time.Time     // when the list was last read whole; zero: never
	runnersDone time.Time     // when it was tried
	runnersGood time.Duration // for so long it is as new as it can be; guarded
	began       time.Time
	next        func() (register.Runner, error, bool)
	stop        func()
	reading     []register.Runner
	seen        map[int64]bool
	calls       int // the budget's and all requests when it began, then what it cost
	requests    int
}

// offer is a set of labels, in lower case, and when a runner was last seen online
// with it.
type offer struct {
	labels map[string]bool
	system system
	online time.Time
}

type versionDates struct {
	register.Deprecation
	due     time.Time
	unknown bool // the credentials or the server do not tell them
}

// repository is one that is looked at.
type repository struct {
	name    string
	private *bool
	due     time.Time
	changed time.Time     // when something last happened
	seen    time.Time     // when GitHub last told of its runs
	wait    time.Duration // from then on, until they were to be asked for again
	tags    tags
	sweep   time.Time // when the older runs are due
	more    bool      // there are older ones
	live    map[int64]*liveRun
}

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

// liveJob is a job of a run that has not ended; it may itself have.
type liveJob struct {
	id              int64
	name, url       string
	status, result  string
	labels          []string
	runner          string
	own             bool
	queued, started time.Time
	ended           time.Time
	system          system
}

// pendingRun is a finished run that is to be looked into.
type pendingRun struct {
	repository string
	liveRun
	ended time.Time
	since time.Time // when it was seen to have ended
	old   bool      // it had ended before the monitor began to look
}

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
	m.keepStore(now)
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

// problemText is what an error of a call says without its remedy, which stands
// beside it.
func problemText(err error) string {
	var e *register.Error
	if errors.As(err, &e) {
		short := *e
		short.Remedy, short.RequestID, short.Tries = "", "", 0
		err = &short
	}
	return clean(err.Error())
}

func remedyOf(err error) string {
	var e *register.Error
	if errors.As(err, &e) && e.Remedy != "" {
		return e.Remedy
	}
	return "it is tried again by itself"
}

// mayNot tells whether GitHub does not let these credentials see something, as
// against having no answer at all.
func mayNot(err error) bool {
	var e *register.Error
	return errors.As(err, &e) && (e.Status == 403 || e.Status == 404) && !errors.Is(err, register.ErrUnreachable)
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

// readLists reads the repositories and the groups.
func (m *Monitor) readLists(ctx context.Context) error {
	m.listsDue = m.now().Add(listsEvery)
	err := m.readRepositories(ctx)
	if err == nil && m.options.Kind != OfRepository {
		err = m.readGroups(ctx)
	}
	if err != nil {
		m.listsDue = m.now().Add(time.Minute)
	}
	return err
}

func (m *Monitor) readRepositories(ctx context.Context) error {
	found := map[string]register.RepositoryInfo{}
	switch {
	case m.options.Kind == OfOrganization:
		for info, err := range m.options.GitHub.Repositories(ctx) {
			if err != nil {
				return m.deny("repositories", Unknown{"the repositories of " + m.options.Name, `the repository permission "Metadata" (read), or the scope repo`}, err)
			}
			if len(found) < mostRepositories && !info.Archived && m.options.Allows(info.FullName) {
				found[info.FullName] = info
			}
		}
		m.allow("repositories")
		for _, rule := range m.options.Repositories {
			known := strings.Contains(rule, "*")
			for name := range found {
				known = known || strings.EqualFold(name, rule)
			}
			m.change(func() {
				delete(m.denied, "rule "+rule)
				if !known {
					m.denied["rule "+rule] = Unknown{"the repository " + rule + " of ALLOWED_REPOSITORIES", "access to it, or its name corrected"}
				}
			})
		}
	case m.options.Kind == OfRepository:
		found[m.options.Name] = register.RepositoryInfo{}
	default:
		for _, rule := range m.options.Repositories {
			if !strings.Contains(rule, "*") {
				found[rule] = register.RepositoryInfo{}
			}
		}
		if len(found) == 0 {
			m.change(func() {
				m.denied["repositories"] = Unknown{"the repositories of the enterprise, which GitHub does not list", "their names in ALLOWED_REPOSITORIES"}
			})
		}
	}
	for name, info := range found {
		if info.ID != 0 {
			continue
		}
		info, err := m.options.GitHub.Repository(ctx, name)
		if err != nil && !mayNot(err) {
			return err
		}
		found[name] = info // without an id: unknown whether it is private
	}
	now := m.now()
	m.change(func() {
		for name := range m.repositories {
			if _, still := found[name]; !still {
				delete(m.repositories, name)
				delete(m.denied, "runs "+name)
			}
		}
		for name, info := range found {
			r := m.repositories[name]
			if r == nil {
				r = &repository{name: name, due: now, sweep: now, live: map[int64]*liveRun{}}
				m.repositories[name] = r
			}
			if info.ID != 0 {
				r.private = &info.Private
			}
		}
	})
	return nil
}

// deny notes that something cannot be seen, which is no failure; other errors
// stay.
func (m *Monitor) deny(key string, u Unknown, err error) error {
	if !mayNot(err) {
		return err
	}
	m.change(func() { m.denied[key] = u })
	return nil
}

func (m *Monitor) allow(key string) { m.change(func() { delete(m.denied, key) }) }

// mayReadRunners is the permission for everything about runners.
func (m *Monitor) mayReadRunners() string {
	switch m.options.Kind {
	case OfRepository:
		return `the repository permission "Administration" (read), or the scope repo`
	case OfEnterprise:
		return "the scope manage_runners:enterprise"
	}
	return `the organization permission "Self-hosted runners" (read), or the scope admin:org`
}

func (m *Monitor) readGroups(ctx context.Context) error {
	groups, err := m.options.GitHub.Groups(ctx)
	if err != nil {
		m.change(func() { m.groups = nil })
		return m.deny("groups", Unknown{"the runner groups", m.mayReadRunners()}, err)
	}
	m.allow("groups")
	for i := range groups {
		groups[i].Name = clean(groups[i].Name)
	}
	m.change(func() { m.groups = groups[:min(len(groups), 200)] })
	return nil
}

// runnersDue is when the list of runners is to be read, or read on: as often as
// its share of the budget allows.
func (m *Monitor) runnersDue(spare float64) time.Time {
	if m.next != nil || m.runnersDone.IsZero() {
		return m.began
	}
	share := runnersShare
	switch {
	case spare > 0.9:
		share = spareShare
	case spare < 0.25:
		share = scarceShare
	}
	hours := max(float64(m.calls), float64(m.requests)/requestsPerCall) / (share * float64(m.meter.perHour))
	return m.runnersDone.Add(max(runnersEvery, time.Duration(hours*float64(time.Hour))))
}

// readRunners reads the next page of the runners. The pages come one by one, so
// that the queue is looked at between them; ctx is that of all pages.
func (m *Monitor) readRunners(ctx context.Context) error {
	if m.next == nil {
		ctx, cancel := context.WithTimeout(ctx, longestListing)
		next, stop := iter.Pull2(m.options.GitHub.Runners(ctx))
		calls, unchanged := m.meter.totals()
		m.next, m.stop = next, func() { cancel(); stop() }
		m.runnerList.began, m.reading, m.seen = m.now(), nil, map[int64]bool{}
		m.calls, m.requests = calls, calls+unchanged
	}
	for range newest {
		r, err, ok := m.next()
		if ok && err == nil {
			// A runner that has come or gone meanwhile has moved others to another page.
			if !m.seen[r.ID] {
				m.seen[r.ID] = true
				m.reading = append(m.reading, bounded(r))
			}
			continue
		}
		m.endListing()
		m.runnersDone = m.now()
		calls, unchanged := m.meter.totals()
		m.calls, m.requests = calls-m.calls, calls+unchanged-m.requests
		if err != nil {
			m.reading = nil
			m.change(func() {
				if mayNot(err) {
					m.runners, m.runnersAt = nil, time.Time{}
				}
			})
			return m.deny("runners", Unknown{"the runners", m.mayReadRunners()}, err)
		}
		m.allow("runners")
		m.change(m.takeRunners)
		return nil
	}
	return nil
}

func (m *Monitor) endListing() {
	if m.stop != nil {
		m.stop()
	}
	m.next, m.stop, m.seen = nil, nil, nil
}

// bounded is a runner whose names are bounded.
func bounded(r register.Runner) register.Runner {
	r.Name = clean(r.Name)
	r.Labels = r.Labels[:min(len(r.Labels), 100)]
	for i := range r.Labels {
		r.Labels[i].Name = clean(r.Labels[i].Name)
	}
	if r.Version != nil {
		version := clean(*r.Version)
		r.Version = &version
	}
	return r
}

// takeRunners makes the list that has been read the present one; the state is
// locked.
func (m *Monitor) takeRunners() {
	now := m.now()
	m.runners, m.reading, m.runnersAt, m.runnersGood = m.reading, nil, now, m.lately()
	m.systems = make(map[string]system, len(m.runners))
	inUse := map[string]bool{}
	for _, r := range m.runners {
		s, sure := systemOf(r)
		if sure {
			m.systems[r.Name] = s
		}
		if r.Version != nil && len(inUse) < mostVersions {
			inUse[*r.Version] = true
		}
		if r.Status != "online" {
			continue
		}
		key := labelKey(r.Labels)
		o := m.offers[key]
		if o == nil && len(m.offers) < mostOffers {
			o = &offer{labels: map[string]bool{}, system: s}
			for _, l := range r.Labels {
				o.labels[strings.ToLower(l.Name)] = true
			}
			m.offers[key] = o
		}
		if o != nil {
			o.online = now
		}
	}
	maps.DeleteFunc(m.offers, func(_ string, o *offer) bool { return now.Sub(o.online) > m.lately() })
	maps.DeleteFunc(m.versions, func(v string, _ *versionDates) bool { return !inUse[v] })
	for v := range inUse {
		if m.versions[v] == nil {
			m.versions[v] = &versionDates{}
			m.datesDue = now
		}
	}
}

func labelKey(labels []register.Label) string {
	var b strings.Builder
	for _, l := range labels {
		b.WriteString(strings.ToLower(l.Name))
		b.WriteByte(0)
	}
	return b.String()
}

// lately is how long a set of labels counts as offered after a runner was seen
// with it: one-job runners come and go, and of very many the list is seldom read.
func (m *Monitor) lately() time.Duration {
	return max(10*time.Minute, 3*m.runnersDue(0).Sub(m.runnersDone))
}

// readDates asks for the newest runner and from when on GitHub refuses those in
// use.
func (m *Monitor) readDates(ctx context.Context) error {
	m.datesDue = m.now().Add(datesEvery)
	downloads, err := m.options.GitHub.Downloads(ctx)
	if err != nil {
		m.datesDue = m.now().Add(deniedWait)
		return m.deny("versions", Unknown{"the newest version of the runner", m.mayReadRunners()}, err)
	}
	m.allow("versions")
	for _, d := range downloads {
		if d.OS == "linux" {
			m.change(func() { m.latest = clean(d.Version()) })
		}
	}
	now := m.now()
	for version, dates := range m.versions {
		if now.Before(dates.due) {
			continue
		}
		d, err := m.options.GitHub.Deprecation(ctx, version)
		if err != nil && !mayNot(err) {
			m.datesDue = now.Add(deniedWait)
			return err
		}
		m.change(func() { dates.Deprecation, dates.due = d, now.Add(datesEvery) })
	}
	return nil
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
	m.change(func() { r.wait = wait })
	return nil
}

// denyRuns notes that a repository's runs cannot be seen: then what it has in its
// queue is unknown.
func (m *Monitor) denyRuns(r *repository, err error) error {
	if err := m.deny("runs "+r.name, Unknown{"the jobs of " + r.name, `the repository permission "Actions" (read), or the scope repo`}, err); err != nil {
		return err
	}
	r.due = m.now().Add(deniedWait)
	r.tags.forget()
	m.change(func() { clear(r.live); r.seen = time.Time{} })
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

// readJobs asks for the jobs of a run that has not ended.
func (m *Monitor) readJobs(ctx context.Context, r *repository, l *liveRun) error {
	now := m.now()
	l.due = now.Add(m.stretched(jobsEvery))
	jobs, err := m.jobs(ifChanged(ctx, &l.tags), r.name, l)
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case errors.Is(err, register.ErrNotFound): // somebody has deleted it
		m.change(func() { delete(r.live, l.id) })
		return nil
	case err != nil:
		return m.denyRuns(r, err)
	}
	// Only the first page is compared, and there may be more.
	if l.tags.keep(); len(jobs) > newest {
		l.tags.forget()
	}
	m.change(func() {
		l.jobs = jobs
		for _, j := range jobs {
			if f, ok := j.finished(); ok {
				m.count(l, m.line(r.name, l, f))
			}
		}
	})
	return nil
}

// jobs asks for a run's jobs.
func (m *Monitor) jobs(ctx context.Context, repository string, l *liveRun) (jobs []liveJob, err error) {
	for j, err := range m.options.GitHub.Jobs(ctx, repository, l.id) {
		if err != nil {
			return nil, err
		}
		if len(jobs) == 10*newest {
			break
		}
		jobs = append(jobs, m.liveJob(j))
		if l.workflow == "" {
			l.workflow = clean(j.Workflow)
		}
	}
	return jobs, nil
}

func (m *Monitor) liveJob(j register.Job) liveJob {
	labels := cleanAll(j.Labels)
	l := liveJob{id: j.ID, name: clean(j.Name), url: address(j.URL), status: j.Status, result: clean(j.Conclusion), labels: labels, runner: clean(j.RunnerName), queued: j.CreatedAt}
	if j.StartedAt != nil {
		l.started = *j.StartedAt
	}
	if j.CompletedAt != nil {
		l.ended = *j.CompletedAt
	}
	l.own = m.isOwn(j, labels)
	if known, ok := m.systems[l.runner]; ok {
		l.system = known
	} else if o := m.offered(labels); o != nil {
		l.system = o.system
	} else {
		l.system = systemOfLabels(labels)
	}
	return l
}

// isOwn tells whether a job runs, or is to run, on a runner of the organization's
// own. GitHub's standard runners have a group and names of their own; of its
// larger ones only the group's name tells that nobody can.
func (m *Monitor) isOwn(j register.Job, labels []string) bool {
	if j.RunnerName != "" {
		return j.GroupName != "GitHub Actions" && !strings.HasPrefix(j.RunnerName, "GitHub Actions ")
	}
	if len(labels) != 1 {
		return true
	}
	label := strings.ToLower(labels[0])
	for _, prefix := range []string{"ubuntu-", "windows-", "macos-"} {
		if strings.HasPrefix(label, prefix) {
			return m.offered(labels) != nil
		}
	}
	return true
}

// offered is a set of labels that a runner lately had and that has all of these.
func (m *Monitor) offered(labels []string) *offer {
	for _, o := range m.offers {
		all := true
		for _, l := range labels {
			all = all && o.labels[strings.ToLower(l)]
		}
		if all {
			return o
		}
	}
	return nil
}

// finished makes the line of a job that a runner of our own has finished.
func (j liveJob) finished() (jobLine, bool) {
	if j.status != "completed" || !j.own || j.runner == "" || j.started.IsZero() || j.ended.IsZero() || j.result == "skipped" {
		return jobLine{}, false
	}
	line := jobLine{Name: j.name, Result: j.result, Started: j.started.Unix(), Finished: j.ended.Unix(), System: j.system.String()}
	if !j.queued.IsZero() && !j.queued.After(j.started) {
		line.Queued = j.queued.Unix()
	}
	return line, true
}

func (m *Monitor) free(repository string) bool {
	r := m.repositories[repository]
	return r != nil && r.private != nil && !*r.private
}

// readFinished looks into a run that has ended.
func (m *Monitor) readFinished(ctx context.Context, p *pendingRun) error {
	jobs, err := m.jobs(ctx, p.repository, &p.liveRun)
	if err != nil && !mayNot(err) && !errors.Is(err, register.ErrNotFound) {
		p.since = m.now().Add(time.Minute)
		return err
	}
	m.change(func() {
		delete(m.pending, p.id)
		if err != nil {
			return // deleted, or not for us any more
		}
		line := runLine{Run: p.id, Attempt: p.attempt, Repository: p.repository, Workflow: p.workflow, Finished: p.ended.Unix(), Free: m.free(p.repository)}
		for _, j := range jobs {
			if f, ok := j.finished(); ok {
				line.Jobs = append(line.Jobs, f)
			}
		}
		m.record(line, &p.liveRun)
	})
	return nil
}

// record takes a finished run into the history; the state is locked.
func (m *Monitor) record(line runLine, l *liveRun) {
	for _, f := range m.history.add(line, m.now()) {
		m.count(l, f)
	}
	m.tellStore()
}

// line is a job of a live run in the form of the history.
func (m *Monitor) line(repository string, l *liveRun, j jobLine) finished {
	return finishedOf(runLine{Run: l.id, Repository: repository, Workflow: l.workflow, Free: m.free(repository)}, j)
}
