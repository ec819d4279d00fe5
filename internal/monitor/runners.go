package monitor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const mostGroups = 10_000 // runner groups that are remembered

// runnerList is the list of runners while it is read.
type runnerList struct {
	pages
	reading []register.Runner
	seen    map[int64]bool
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
	unknown bool // GitHub does not tell them
	due     time.Time
}

// readRunners reads the next page of the runners.
func (m *Monitor) readRunners(ctx context.Context) error {
	l := &m.runnerList
	done, err := m.readPage(&l.pages, func(page string) (string, error) {
		p, err := m.options.GitHub.RunnersPage(ctx, page)
		if err != nil {
			return "", err
		}
		if page == "" {
			l.reading, l.seen = nil, map[int64]bool{}
		}
		for _, r := range p.List {
			// A runner that has come or gone meanwhile has moved others to another page.
			if !l.seen[r.ID] {
				l.seen[r.ID] = true
				l.reading = append(l.reading, bounded(r))
			}
		}
		return p.Next, nil
	})
	switch {
	case mayNot(err):
		m.change(func() {
			l.restart(m.now().Add(deniedWait))
			m.runners, m.runnersAt, m.idle = nil, time.Time{}, nil
		})
		return m.deny("runners", Unknown{"the runners", m.mayReadRunners()}, err)
	case done:
		m.allow("runners")
		m.change(m.takeRunners)
	}
	return err
}

// shareOfRunners is the part of the budget that the list of runners may take now.
func (m *Monitor) shareOfRunners() float64 {
	return max(mostShare*(m.spare()-scarce), leastShare)
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
	now, l := m.now(), &m.runnerList
	if !m.runnersAt.IsZero() {
		m.runnersGap = now.Sub(m.runnersAt)
	}
	m.runners, m.runnersAt = l.reading, now
	l.reading, l.seen = nil, nil
	m.systems = make(map[string]system, len(m.runners))
	before, inUse := m.idle, map[string]bool{}
	m.idle = map[int64]time.Time{}
	for _, r := range m.runners {
		if state(r.Busy, r.Status) == "idle" {
			m.idle[r.ID] = now
			if since, was := before[r.ID]; was {
				m.idle[r.ID] = since
			}
		}
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
			m.versions[v] = &versionDates{due: now}
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
	return max(10*time.Minute, 3*m.runnerList.took)
}

// offered is a set of labels that a runner lately had and that has all of these;
// nil if there is none.
func (m *Monitor) offered(labels []string) *offer {
	for _, o := range m.offers {
		if o.hasAll(labels) {
			return o
		}
	}
	return nil
}

func (o *offer) hasAll(labels []string) bool {
	return !slices.ContainsFunc(labels, func(l string) bool { return !o.labels[strings.ToLower(l)] })
}

// systemFor is the system that a job with these labels gets: that of all runners
// which have them, if it is the same, or what the labels say.
func (m *Monitor) systemFor(labels []string) system {
	var of *system
	for _, o := range m.offers {
		switch {
		case !o.hasAll(labels):
		case of == nil:
			of = &o.system
		case *of != o.system:
			return systemOfLabels(labels)
		}
	}
	if of == nil {
		return systemOfLabels(labels)
	}
	return *of
}

// readLatest asks for the newest runner.
func (m *Monitor) readLatest(ctx context.Context) error {
	downloads, err := m.options.GitHub.Downloads(ctx)
	if err != nil {
		m.latestDue = m.now().Add(deniedWait)
		return m.deny("versions", Unknown{"the newest version of the runner", m.mayReadRunners()}, err)
	}
	m.latestDue = m.now().Add(datesEvery)
	m.allow("versions")
	for _, d := range downloads {
		if d.OS == "linux" {
			m.change(func() { m.latest = clean(d.Version()) })
		}
	}
	return nil
}

// readDates asks from when on GitHub refuses a version in use.
func (m *Monitor) readDates(ctx context.Context, version string, dates *versionDates) error {
	d, err := m.options.GitHub.Deprecation(ctx, version)
	if err != nil && !mayNot(err) {
		dates.due = m.now().Add(deniedWait)
		return err
	}
	dates.due = m.now().Add(datesEvery)
	m.change(func() { dates.Deprecation, dates.unknown = d, err != nil })
	return err
}
