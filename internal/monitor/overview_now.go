package monitor

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

func state(busy bool, status string) string {
	switch {
	case busy:
		return "busy"
	case status == "online":
		return "idle"
	}
	return "offline"
}

func (t *Totals) add(state string) {
	t.Total++
	switch state {
	case "busy":
		t.Busy++
	case "idle":
		t.Idle++
	default:
		t.Offline++
	}
}

// runnersStale is since when the list of runners has not been read, if that is
// longer ago than it should be.
func (m *Monitor) runnersStale(now time.Time) *time.Time {
	if now.Sub(latest(m.runnersAt, m.runnerList.at)) <= max(m.paced(leastShare, 3), 10*time.Minute) {
		return nil
	}
	return moment(m.runnersAt)
}

// isStale tells whether a repository was last seen much longer ago than it was to
// be seen again.
func (r *repository) isStale(now time.Time) bool {
	return !r.seen.IsZero() && now.Sub(r.seen) > 3*r.wait+2*time.Minute
}

// unread is how many of its live runs have not been looked into, or not whole;
// those that there is no room for are told as one.
func (r *repository) unread() (n int) {
	for _, l := range r.live {
		if !l.isWhole() {
			n++
		}
	}
	if r.left {
		n++
	}
	return n
}

// describeRunners is who there is; the running jobs are known already.
func (m *Monitor) describeRunners(o *Overview) {
	groups := map[int64]*Group{}
	for _, g := range m.groups {
		groups[g.ID] = &Group{Name: g.Name, Visibility: g.Visibility, AllowsPublic: g.AllowsPublic}
		if !m.runnersAt.IsZero() {
			groups[g.ID].Totals = &Totals{}
		}
	}
	if !m.runnersAt.IsZero() {
		o.Runners = &Runners{AsOf: m.runnersAt.UTC(), StaleSince: m.runnersStale(o.GeneratedAt), List: []Runner{}}
		versions := map[string]int{}
		for _, r := range m.runners {
			state := state(r.Busy, r.Status)
			o.Runners.add(state)
			if g := groups[r.GroupID]; g != nil {
				g.add(state)
			}
			// Of a dead one the version is not in use, though GitHub lists it for weeks.
			if r.Version != nil && state != "offline" {
				versions[*r.Version]++
			}
		}
		m.listRunners(o, groups)
		m.describeVersions(o, versions)
	}
	for _, g := range m.groups {
		o.Groups = append(o.Groups, *groups[g.ID])
	}
	if len(o.Groups) > mostListed && o.Runners != nil { // those that will be left out have none
		sortBy(o.Groups, func(a, b Group) int { return cmp.Compare(min(b.Total, 1), min(a.Total, 1)) })
	}
}

// listRunners lists the busy ones, then the idle, then the offline.
func (m *Monitor) listRunners(o *Overview, groups map[int64]*Group) {
	jobs := map[string]*RunningJob{}
	if o.Running != nil {
		for i := range o.Running.Jobs {
			jobs[o.Running.Jobs[i].Runner] = &o.Running.Jobs[i]
		}
	}
	ranked := map[string][]register.Runner{}
	for _, r := range m.runners {
		state := state(r.Busy, r.Status)
		ranked[state] = append(ranked[state], r)
	}
	for _, state := range []string{"busy", "idle", "offline"} {
		part := ranked[state]
		sortBy(part, func(a, b register.Runner) int { return strings.Compare(a.Name, b.Name) })
		for _, r := range part[:min(len(part), mostListed-len(o.Runners.List))] {
			v := Runner{Name: r.Name, State: state, OS: clean(r.OS), Labels: []string{}}
			if g := groups[r.GroupID]; g != nil {
				v.Group = g.Name
			}
			for _, l := range r.Labels {
				v.Labels = append(v.Labels, l.Name)
			}
			if r.Version != nil {
				v.Version = *r.Version
			}
			if j := jobs[r.Name]; j != nil {
				v.Job = &j.JobRef
			}
			o.Runners.List = append(o.Runners.List, v)
		}
	}
}

func (m *Monitor) describeVersions(o *Overview, inUse map[string]int) {
	o.Versions = &Versions{Latest: m.latest, InUse: []Version{}}
	for version, runners := range inUse {
		v := Version{Version: version, Runners: runners}
		if dates := m.versions[version]; dates != nil {
			v.DatesUnknown = dates.unknown
			v.RegistrationDeprecatesAt, v.RuntimeDeprecatesAt = shown(dates.Registration), shown(dates.Runtime)
			for _, at := range []*time.Time{v.RegistrationDeprecatesAt, v.RuntimeDeprecatesAt} {
				if at == nil {
					continue
				}
				if days := int(math.Floor(at.Sub(o.GeneratedAt).Hours() / 24)); v.DaysLeft == nil || days < *v.DaysLeft {
					v.DaysLeft = &days
				}
			}
		}
		o.Versions.InUse = append(o.Versions.InUse, v)
	}
	sortBy(o.Versions.InUse, func(a, b Version) int { return compareVersions(b.Version, a.Version) })
	o.Versions.InUse = o.Versions.InUse[:min(len(o.Versions.InUse), mostVersions)]
}

// compareVersions compares them number by number.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		// A longer number without leading zeros is the greater one.
		if c := cmp.Or(cmp.Compare(len(as[i]), len(bs[i])), strings.Compare(as[i], bs[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// jobsNow collects what runs and what waits.
type jobsNow struct {
	running *Running
	queue   *Queue
	offered *labelIndex // nil: whether a runner can take a job cannot be told
}

// describeJobs is what runs and what waits. It is unknown as long as not one
// repository has been seen.
func (m *Monitor) describeJobs(o *Overview) {
	n := jobsNow{&Running{Jobs: []RunningJob{}}, &Queue{Repositories: []QueueRepository{}, Jobs: []QueuedJob{}}, nil}
	if m.isOnline() && m.runnersStale(o.GeneratedAt) == nil {
		n.offered, n.queue.Stuck = m.offeredLabels(), new(int)
	}
	seen, unknown := false, 0
	for _, r := range m.repositories {
		if r.seen.IsZero() || r.isStale(o.GeneratedAt) || r.unread() > 0 {
			unknown++
		}
		if !r.seen.IsZero() {
			seen = true
			n.add(r)
		}
	}
	if !seen {
		return
	}
	n.running.UnknownRepositories, n.queue.UnknownRepositories = unknown, unknown
	n.finish()
	o.Running, o.Queue = n.running, n.queue
}

// isOnline tells whether a runner is known to be online: while none is, no job is
// stuck for its labels.
func (m *Monitor) isOnline() bool {
	return slices.ContainsFunc(m.runners, func(r register.Runner) bool { return state(r.Busy, r.Status) != "offline" })
}

func (n *jobsNow) add(r *repository) {
	part := QueueRepository{Repository: r.name, Labels: []string{}}
	if n.offered != nil {
		part.Stuck = new(int)
	}
	for _, l := range r.live {
		for _, j := range l.jobs {
			ref := JobRef{Repository: r.name, Workflow: l.workflow, Job: j.name, URL: cmp.Or(j.url, l.url)}
			switch {
			case !j.own:
			case j.status == "in_progress":
				n.running.Jobs = append(n.running.Jobs, RunningJob{JobRef: ref, Actor: l.actor, Branch: l.branch, Runner: j.runner, Since: moment(j.started)})
			case j.status == "queued":
				v := QueuedJob{JobRef: ref, Actor: l.actor, Branch: l.branch, Since: j.waitsSince(), Labels: j.labels, seen: l.seen}
				if n.offered != nil {
					stuck := !n.offered.has(j.labels)
					v.Stuck = &stuck
				}
				n.queue.Jobs = append(n.queue.Jobs, v)
				part.add(v)
			}
		}
		n.running.Total += l.rest.running
		n.queue.Total += l.rest.queued
		part.Length += l.rest.queued
		part.waits(l.rest.oldest)
	}
	if part.Length == 0 {
		return
	}
	slices.Sort(part.Labels)
	n.queue.Repositories = append(n.queue.Repositories, part)
	if n.offered != nil {
		*n.queue.Stuck += *part.Stuck
	}
}

// waitsSince is nil when GitHub does not tell it. That a queued job has started
// means that it was queued then.
func (j liveJob) waitsSince() *time.Time {
	if at := moment(j.queued); at != nil {
		return at
	}
	return moment(j.started)
}

func (q *QueueRepository) add(j QueuedJob) {
	q.Length++
	if j.Stuck != nil && *j.Stuck {
		*q.Stuck++
	}
	q.waits(j.Since)
	for _, label := range j.Labels {
		if len(q.Labels) < 50 && !slices.Contains(q.Labels, label) {
			q.Labels = append(q.Labels, label)
		}
	}
}

// waits takes in since when a job has waited.
func (q *QueueRepository) waits(since *time.Time) {
	if compareTimes(since, q.OldestSince) < 0 {
		q.OldestSince = since
	}
}

func (n *jobsNow) finish() {
	running, queue := n.running, n.queue
	sortBy(running.Jobs, func(a, b RunningJob) int {
		return cmp.Or(compareTimes(a.Since, b.Since), strings.Compare(a.Runner, b.Runner), strings.Compare(a.Job, b.Job))
	})
	sortBy(queue.Jobs, func(a, b QueuedJob) int {
		return cmp.Or(compareTimes(a.Since, b.Since), strings.Compare(a.Repository, b.Repository), strings.Compare(a.Job, b.Job))
	})
	sortBy(queue.Repositories, func(a, b QueueRepository) int {
		return cmp.Or(compareTimes(a.OldestSince, b.OldestSince), strings.Compare(a.Repository, b.Repository))
	})
	running.Total += len(running.Jobs)
	queue.Total += len(queue.Jobs)
	if len(queue.Repositories) > 0 {
		queue.OldestSince = queue.Repositories[0].OldestSince
	}
}

// compareTimes puts the unknown last.
func compareTimes(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Compare(*b)
}
