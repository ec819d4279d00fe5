package monitor

import (
	"maps"
	"slices"
	"time"
)

const (
	mostListed    = 200 // runners, groups, jobs, repositories, unknown things
	mostWorkflows = 20
	mostSeries    = 8
	staleAfter    = 2 * time.Minute
	deadAfter     = 15 * time.Minute // a collector that has not moved for so long hangs
)

// windows are how far back each window goes, and in what steps its chart is drawn.
var windows = [3]struct{ length, step time.Duration }{
	{time.Hour, 5 * time.Minute},
	{24 * time.Hour, time.Hour},
	{7 * 24 * time.Hour, 6 * time.Hour},
}

// at is a window by its place in windows.
func (w *Windows[T]) at(i int) *T { return [...]*T{&w.Hour, &w.Day, &w.Week}[i] }

// listed is the overview with its lists cut to what a page can show: the metrics
// are made of the whole.
func (o *Overview) listed() *Overview {
	cut := *o
	if o.Running != nil {
		running := *o.Running
		running.Jobs = first(running.Jobs)
		cut.Running = &running
	}
	if o.Queue != nil {
		queue := *o.Queue
		queue.RepositoriesTotal = len(queue.Repositories)
		queue.Jobs, queue.Repositories = first(queue.Jobs), first(queue.Repositories)
		cut.Queue = &queue
	}
	cut.RepositoriesTotal, cut.GroupsTotal, cut.UnknownTotal = len(o.Repositories), len(o.Groups), len(o.Unknown)
	cut.Repositories, cut.Groups, cut.Unknown = first(o.Repositories), first(o.Groups), first(o.Unknown)
	return &cut
}

func first[T any](list []T) []T { return list[:min(len(list), mostListed)] }

// overview makes it; the state is locked.
func (m *Monitor) overview() *Overview {
	now := m.now().UTC()
	o := &Overview{
		GeneratedAt: now, Organization: m.options.Name, ServerURL: m.options.ServerURL, Version: m.options.Version,
		Repositories: []Repository{}, Slowest: []Workflow{}, Failing: []Workflow{}, Problems: []Problem{}, Unknown: []Unknown{},
	}
	since := now.Add(-kept)
	if m.history.began.After(since) {
		since = m.history.began.UTC()
	}
	o.HistorySince = &since
	o.StaleSince, o.StaleReason = m.stale(now)
	o.GitHub = m.meter.budget()
	o.GitHub.Reset = shown(o.GitHub.Reset)
	o.GitHub.SkippedRuns = m.skipped
	o.GitHub.PendingRuns, o.GitHub.UnreadRuns = m.unread()
	o.GitHub.LastSuccess = moment(m.lastSuccess)
	m.describeJobs(o)
	m.describeRunners(o)
	m.describeHistory(o)
	m.describeMemory(o)
	m.describeProblems(o)
	for _, key := range slices.Sorted(maps.Keys(m.denied)) {
		o.Unknown = append(o.Unknown, m.denied[key])
	}
	return o
}

// stale tells since when GitHub has told nothing, and why; nil while it does.
func (m *Monitor) stale(now time.Time) (*time.Time, string) {
	last := m.lastSuccess
	if last.IsZero() {
		last = m.began
	}
	age := now.Sub(last)
	at := last.UTC()
	switch {
	case m.failing != nil && (now.Sub(m.failingSince) > staleAfter || m.lastSuccess.IsZero()):
		return &at, problemText(m.failing)
	case now.Sub(m.stepped) > deadAfter:
		return &at, "the monitor waits for an answer from GitHub"
	case age > deadAfter:
		return &at, "no call to GitHub was allowed by the budget, or by what GitHub has left for these credentials"
	}
	return nil, ""
}
