package monitor

import (
	"maps"
	"slices"

	"github.com/virtuoso902/org-runner/internal/metrics"
)

// gauges are the metrics. The counters begin with 0 at each start, and count what
// ends from then on.
type gauges struct {
	runners, running, queued, oldest, stuck  *metrics.Family
	jobs, queueTime, took, charged, usd      *metrics.Family
	versions, refused, daysLeft              *metrics.Family
	success, stale, calls, budget, remaining *metrics.Family
	pending, skipped, unread, unknown        *metrics.Family
	runnersStale, repositoriesStale, storeOK *metrics.Family
}

// mostCounted is how many workflows of a repository have counters of their own: who
// may push to it can make as many as they like.
const mostCounted = 20

// buckets in seconds: jobs take from seconds to hours, and wait as long.
var buckets = []float64{5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600}

func (m *Monitor) makeMetrics() {
	r, g := &m.registry, &m.gauges
	r.Gauge("org_runner_monitor_info", "What this is, and what it looks at.", "version", "organization").Set(1, m.options.Version, m.options.Name)
	g.runners = r.Gauge("org_runner_monitor_runners", "Runners by group and state: idle, busy or offline.", "group", "state").Fold("group", "", 0)
	g.runnersStale = r.Gauge("org_runner_monitor_runners_stale", "1 when the list of runners is older than it should be; soon the others have no series then.")
	g.repositoriesStale = r.Gauge("org_runner_monitor_stale_repositories", "Repositories whose jobs were seen longer ago than they should be.")
	g.running = r.Gauge("org_runner_monitor_running_jobs", "Jobs that run on own runners.", "repository")
	g.queued = r.Gauge("org_runner_monitor_queued_jobs", "Jobs that wait for an own runner.", "repository")
	g.oldest = r.Gauge("org_runner_monitor_queue_oldest_seconds", "How long the oldest of them has waited.", "repository")
	g.stuck = r.Gauge("org_runner_monitor_stuck_jobs", "Waiting jobs that ask for labels that no runner has.", "repository")
	g.jobs = r.Counter("org_runner_monitor_jobs_total", "Jobs that own runners have finished.", "repository", "workflow", "conclusion").Fold("workflow", "repository", mostCounted)
	g.queueTime = r.Histogram("org_runner_monitor_job_queue_seconds", "How long finished jobs had waited.", buckets, "repository")
	g.took = r.Histogram("org_runner_monitor_job_duration_seconds", "How long finished jobs ran.", buckets, "repository")
	g.charged = r.Counter("org_runner_monitor_hosted_seconds_total", "Time of finished jobs as GitHub would charge it, each rounded up to whole minutes, by the line of its price list.", "sku")
	g.usd = r.Counter("org_runner_monitor_hosted_usd_total", "What they would have cost on GitHub's runners, as of the price list of "+m.prices.Date+".", "sku")
	g.versions = r.Gauge("org_runner_monitor_runner_versions", "Runners by version.", "version")
	g.refused = r.Gauge("org_runner_monitor_version_refused_timestamp_seconds", "When GitHub begins to refuse a version in use.", "version")
	g.daysLeft = r.Gauge("org_runner_monitor_version_days_left", "Days until then.", "version")
	g.success = r.Gauge("org_runner_monitor_last_success_timestamp_seconds", "When GitHub last answered.")
	g.stale = r.Gauge("org_runner_monitor_stale", "1 when what is shown is old.")
	g.calls = r.Counter("org_runner_monitor_github_requests_total", "Requests to GitHub: calls count against its limit, unchanged (304) do not.", "kind")
	g.budget = r.Gauge("org_runner_monitor_github_calls_per_hour", "The budget of calls.")
	g.remaining = r.Gauge("org_runner_monitor_github_rate_limit_remaining", "Calls that GitHub has left for the credentials in this hour.")
	g.pending = r.Gauge("org_runner_monitor_pending_runs", "Finished runs that are still to be looked into.")
	g.unread = r.Gauge("org_runner_monitor_unread_runs", "Runs that wait or are at work and were not looked into yet, or not whole: the numbers of running and waiting jobs are at least.")
	g.skipped = r.Counter("org_runner_monitor_skipped_runs_total", "Finished runs that the budget did not allow to look into.")
	g.unknown = r.Gauge("org_runner_monitor_unknown", "Things that the credentials cannot see; the page names them.")
	g.storeOK = r.Gauge("org_runner_monitor_store_ok", "1 when the history can be written.")
	r.BeforeWrite(m.updateMetrics)
}

// count counts a finished job; the state is locked.
func (m *Monitor) count(f finished) {
	g, repository := &m.gauges, f.repository.Value()
	g.jobs.Add(1, repository, f.workflow.Value(), f.result.Value())
	g.took.Observe(f.took().Seconds(), repository)
	if f.queued > 0 {
		g.queueTime.Observe(f.waited().Seconds(), repository)
	}
	line := m.prices.of(parseSystem(f.system.Value()))
	g.charged.Add(60*float64(minutes(f.took())), line.SKU)
	if !f.free || !line.Standard {
		g.usd.Add(float64(minutes(f.took()))*line.USD, line.SKU)
	}
}

// updateMetrics brings the gauges up to date. What is unknown has no series.
func (m *Monitor) updateMetrics() {
	o, g := m.current().overview, &m.gauges
	for _, f := range []*metrics.Family{g.runners, g.runnersStale, g.running, g.queued, g.oldest, g.stuck, g.versions, g.refused, g.daysLeft} {
		f.Reset()
	}
	m.setRunners(o)
	m.setJobs(o)
	m.setGitHub(o)
	m.begin(o)
}

// begin makes the series of what may end next, so that the first end of a job is
// seen as a rise: of workflows that have had jobs in the week, or have some now.
func (m *Monitor) begin(o *Overview) {
	g := &m.gauges
	begin := func(repository, workflow string) {
		for _, conclusion := range []string{"success", "failure", "cancelled"} {
			g.jobs.Begin(repository, workflow, conclusion)
		}
		g.took.Begin(repository)
		g.queueTime.Begin(repository)
	}
	for _, w := range o.workflows {
		begin(w.Repository, w.Workflow)
	}
	if o.Running != nil {
		for _, j := range o.Running.Jobs {
			begin(j.Repository, j.Workflow)
		}
		for _, j := range o.Queue.Jobs {
			begin(j.Repository, j.Workflow)
		}
	}
	for _, s := range m.ownSystems() {
		sku := m.prices.of(s).SKU
		g.charged.Begin(sku)
		g.usd.Begin(sku)
	}
}

// ownSystems is what the runners run on.
func (m *Monitor) ownSystems() []system {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[system]bool{}
	for _, s := range m.systems {
		found[s] = true
	}
	return slices.Collect(maps.Keys(found))
}

// setRunners sets what is known of runners; of a list that is too old that is
// nothing. Families are added to, not set, for what is beyond their bounds is one
// series.
func (m *Monitor) setRunners(o *Overview) {
	g := &m.gauges
	if o.Runners == nil {
		return
	}
	g.runnersStale.Set(one(o.Runners.StaleSince != nil))
	if o.Runners.StaleSince != nil && o.GeneratedAt.Sub(o.Runners.AsOf) > deadAfter {
		return
	}
	rest := o.Runners.Totals // of groups that are not known
	for _, group := range o.Groups {
		m.addRunners(group.Name, *group.Totals)
		rest.Idle -= group.Idle
		rest.Busy -= group.Busy
		rest.Offline -= group.Offline
	}
	if len(o.Groups) == 0 || rest.Idle+rest.Busy+rest.Offline > 0 {
		m.addRunners("", rest)
	}
	for _, v := range o.Versions.InUse {
		g.versions.Add(float64(v.Runners), v.Version)
		at := v.RuntimeDeprecatesAt
		if compareTimes(v.RegistrationDeprecatesAt, at) < 0 {
			at = v.RegistrationDeprecatesAt
		}
		if at != nil {
			g.refused.Set(float64(at.Unix()), v.Version)
			g.daysLeft.Set(at.Sub(o.GeneratedAt).Hours()/24, v.Version)
		}
	}
}

func (m *Monitor) addRunners(group string, t Totals) {
	m.gauges.runners.Add(float64(t.Idle), group, "idle")
	m.gauges.runners.Add(float64(t.Busy), group, "busy")
	m.gauges.runners.Add(float64(t.Offline), group, "offline")
}

// setJobs sets what runs and what waits; of what is old that is nothing, for a job
// that has ended since would wait longer and longer.
func (m *Monitor) setJobs(o *Overview) {
	g, stale, known := &m.gauges, 0, map[string]bool{}
	dead := o.StaleSince != nil && o.GeneratedAt.Sub(*o.StaleSince) > deadAfter
	for _, r := range o.Repositories {
		known[r.Name] = !r.Stale && !dead
		if known[r.Name] && r.Running != nil {
			g.running.Add(float64(*r.Running), r.Name)
		}
		if known[r.Name] && r.Queued != nil {
			g.queued.Add(float64(*r.Queued), r.Name)
			g.oldest.Max(0, r.Name)
		}
		if r.Stale {
			stale++
		}
	}
	g.repositoriesStale.Set(float64(stale))
	if o.Queue == nil {
		return
	}
	for _, q := range o.Queue.Repositories {
		if !known[q.Repository] {
			continue
		}
		if q.OldestSince != nil {
			g.oldest.Max(o.GeneratedAt.Sub(*q.OldestSince).Seconds(), q.Repository)
		}
		if q.Stuck != nil {
			g.stuck.Add(float64(*q.Stuck), q.Repository)
		}
	}
}

// setGitHub sets what asking costs, and what it does not tell.
func (m *Monitor) setGitHub(o *Overview) {
	g := &m.gauges
	if o.GitHub.LastSuccess != nil {
		g.success.Set(float64(o.GitHub.LastSuccess.Unix()))
	}
	g.stale.Set(one(o.StaleSince != nil))
	g.storeOK.Set(one(o.storeOK))
	calls, unchanged := m.meter.totals()
	g.calls.Set(float64(calls), "call")
	g.calls.Set(float64(unchanged), "unchanged")
	g.budget.Set(float64(o.GitHub.CallsPerHour))
	if o.GitHub.Remaining != nil {
		g.remaining.Set(float64(*o.GitHub.Remaining))
	}
	g.pending.Set(float64(o.GitHub.PendingRuns))
	g.unread.Set(float64(o.GitHub.UnreadRuns))
	g.skipped.Set(float64(o.GitHub.SkippedRuns))
	g.unknown.Set(float64(len(o.Unknown)))
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
