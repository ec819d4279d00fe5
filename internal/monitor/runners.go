package monitor

import (
	"context"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// runnerList is the state of reading the list of runners, a page at a time.
type runnerList struct {
	done     time.Time // when it was last tried
	began    time.Time
	next     func() (register.Runner, error, bool)
	stop     func()
	reading  []register.Runner
	seen     map[int64]bool
	calls    int // the budget's and all requests when it began, then what it cost
	requests int
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
	due time.Time
}

// runnersDue is when the list of runners is to be read, or read on: as often as
// its share of the budget allows.
func (m *Monitor) runnersDue(spare float64) time.Time {
	if m.list.next != nil || m.list.done.IsZero() {
		return m.began
	}
	share := runnersShare
	switch {
	case spare > 0.9:
		share = spareShare
	case spare < 0.25:
		share = scarceShare
	}
	hours := max(float64(m.list.calls), float64(m.list.requests)/requestsPerCall) / (share * float64(m.meter.perHour))
	return m.list.done.Add(max(runnersEvery, time.Duration(hours*float64(time.Hour))))
}

// readRunners reads the next page of the runners. The pages come one by one, so
// that the queue is looked at between them; ctx is that of all pages.
func (m *Monitor) readRunners(ctx context.Context) error {
	if m.list.next == nil {
		ctx, cancel := context.WithTimeout(ctx, longestListing)
		next, stop := iter.Pull2(m.options.GitHub.Runners(ctx))
		calls, unchanged := m.meter.totals()
		m.list.next, m.list.stop = next, func() { cancel(); stop() }
		m.list.began, m.list.reading, m.list.seen = m.now(), nil, map[int64]bool{}
		m.list.calls, m.list.requests = calls, calls+unchanged
	}
	for range newest {
		r, err, ok := m.list.next()
		if ok && err == nil {
			// A runner that has come or gone meanwhile has moved others to another page.
			if !m.list.seen[r.ID] {
				m.list.seen[r.ID] = true
				m.list.reading = append(m.list.reading, bounded(r))
			}
			continue
		}
		m.endListing()
		m.list.done = m.now()
		calls, unchanged := m.meter.totals()
		m.list.calls, m.list.requests = calls-m.list.calls, calls+unchanged-m.list.requests
		if err != nil {
			m.list.reading = nil
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
	if m.list.stop != nil {
		m.list.stop()
	}
	m.list.next, m.list.stop, m.list.seen = nil, nil, nil
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
	m.runners, m.list.reading, m.runnersAt = m.list.reading, nil, now
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
	return max(10*time.Minute, 3*m.runnersDue(0).Sub(m.list.done))
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
