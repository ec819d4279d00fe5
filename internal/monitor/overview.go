package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const (
	mostListed    = 200 // runners, jobs, repositories
	mostWorkflows = 20
	mostSeries    = 8
	staleAfter    = 2 * time.Minute
	deadAfter     = 15 * time.Minute // a collector that has not moved for so long hangs
	soon          = 7                // days in which a version's end is a problem
)

// windows are how far back each window goes, and in what steps its chart is drawn.
var windows = [3]struct{ length, step time.Duration }{
	{time.Hour, 5 * time.Minute},
	{24 * time.Hour, time.Hour},
	{7 * 24 * time.Hour, 6 * time.Hour},
}

// at is a window by its place in windows.
func (w *Windows[T]) at(i int) *T { return [...]*T{&w.Hour, &w.Day, &w.Week}[i] }

// Overview is the present state of everything.
func (m *Monitor) Overview() *Overview {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overview().listed()
}

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
		queue.Jobs, queue.Repositories = first(queue.Jobs), first(queue.Repositories)
		cut.Queue = &queue
	}
	cut.Repositories = first(o.Repositories)
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
	o.GitHub.SkippedRuns, o.GitHub.PendingRuns = m.skipped, m.unread()
	if !m.lastSuccess.IsZero() {
		at := m.lastSuccess.UTC()
		o.GitHub.LastSuccess = &at
	}
	m.describeJobs(o)
	m.describeRunners(o)
	m.describeHistory(o)
	m.describeMemory(o)
	m.describeProblems(o)
	for _, key := range slices.Sorted(maps.Keys(m.denied)) {
		if len(o.Unknown) < mostListed {
			o.Unknown = append(o.Unknown, m.denied[key])
		}
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

// describeRunners is who there is; the running jobs are known already.
func (m *Monitor) describeRunners(o *Overview) {
	byName := map[string]*RunningJob{}
	if o.Running != nil {
		for i := range o.Running.Jobs {
			byName[o.Running.Jobs[i].Runner] = &o.Running.Jobs[i]
		}
	}
	groups := map[int64]*Group{}
	var order []*Group
	for _, g := range m.groups {
		groups[g.ID] = &Group{Name: g.Name, Visibility: g.Visibility, AllowsPublic: g.AllowsPublic}
		order = append(order, groups[g.ID])
	}
	if !m.runnersAt.IsZero() {
		o.Runners = &Runners{AsOf: m.runnersAt.UTC(), List: []Runner{}}
		versions := map[string]int{}
		ranked := [3][]int{} // busy, idle, offline
		for i, r := range m.runners {
			state := state(r.Busy, r.Status)
			o.Runners.add(state)
			if g := groups[r.GroupID]; g != nil {
				g.add(state)
			}
			if r.Version != nil {
				versions[*r.Version]++
			}
			rank := map[string]int{"busy": 0, "idle": 1, "offline": 2}[state]
			ranked[rank] = append(ranked[rank], i)
		}
		for _, part := range ranked {
			sortBy(part, func(a, b int) int { return strings.Compare(m.runners[a].Name, m.runners[b].Name) })
			for _, i := range part[:min(len(part), mostListed-len(o.Runners.List))] {
				r := m.runners[i]
				v := Runner{Name: r.Name, State: state(r.Busy, r.Status), OS: clean(r.OS), Labels: []string{}}
				if g := groups[r.GroupID]; g != nil {
					v.Group = g.Name
				}
				for _, l := range r.Labels {
					v.Labels = append(v.Labels, l.Name)
				}
				if r.Version != nil {
					v.Version = *r.Version
				}
				if j := byName[r.Name]; j != nil {
					v.Job = &j.JobRef
				}
				o.Runners.List = append(o.Runners.List, v)
			}
		}
		m.describeVersions(o, versions)
	}
	for _, g := range order {
		o.Groups = append(o.Groups, *g)
	}
}

func (m *Monitor) describeVersions(o *Overview, inUse map[string]int) {
	o.Versions = &Versions{Latest: m.latest, InUse: []Version{}}
	for version, runners := range inUse {
		v := Version{Version: version, Runners: runners}
		if dates := m.versions[version]; dates != nil {
			v.RegistrationDeprecatesAt, v.RuntimeDeprecatesAt = dates.Registration, dates.Runtime
			for _, at := range []*time.Time{dates.Registration, dates.Runtime} {
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

// describeJobs is what runs and what waits. It is unknown as long as not one
// repository has been seen.
func (m *Monitor) describeJobs(o *Overview) {
	running, queue := &Running{Jobs: []RunningJob{}}, &Queue{Repositories: []QueueRepository{}, Jobs: []QueuedJob{}}
	seen := false
	knowsRunners := !m.runnersAt.IsZero()
	if knowsRunners {
		queue.Stuck = new(int)
	}
	for _, r := range m.repositories {
		if r.seen.IsZero() {
			continue
		}
		seen = true
		part := QueueRepository{Repository: r.name, Labels: []string{}}
		if knowsRunners {
			part.Stuck = new(int)
		}
		for _, l := range r.live {
			for _, j := range l.jobs {
				ref := JobRef{Repository: r.name, Workflow: l.workflow, Job: j.name, URL: cmp.Or(j.url, l.url)}
				switch {
				case !j.own:
				case j.status == "in_progress":
					v := RunningJob{JobRef: ref, Actor: l.actor, Branch: l.branch, Runner: j.runner}
					if !j.started.IsZero() {
						at := j.started.UTC()
						v.Since = &at
					}
					running.Jobs = append(running.Jobs, v)
				case j.status == "queued":
					v := QueuedJob{JobRef: ref, Actor: l.actor, Branch: l.branch, Since: j.queued.UTC(), Labels: j.labels}
					if knowsRunners {
						stuck := m.offered(j.labels) == nil
						if v.Stuck = &stuck; stuck {
							*part.Stuck++
							*queue.Stuck++
						}
					}
					queue.Jobs = append(queue.Jobs, v)
					part.Length++
					if part.OldestSince == nil || v.Since.Before(*part.OldestSince) {
						part.OldestSince = &v.Since
					}
					for _, label := range j.labels {
						if !slices.Contains(part.Labels, label) && len(part.Labels) < 50 {
							part.Labels = append(part.Labels, label)
						}
					}
				}
			}
		}
		if part.Length > 0 {
			slices.Sort(part.Labels)
			queue.Repositories = append(queue.Repositories, part)
		}
	}
	if !seen {
		return
	}
	sortBy(running.Jobs, func(a, b RunningJob) int {
		return cmp.Or(compareTimes(a.Since, b.Since), strings.Compare(a.Runner, b.Runner), strings.Compare(a.Job, b.Job))
	})
	sortBy(queue.Jobs, func(a, b QueuedJob) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Repository, b.Repository), strings.Compare(a.Job, b.Job))
	})
	sortBy(queue.Repositories, func(a, b QueueRepository) int {
		return cmp.Or(compareTimes(a.OldestSince, b.OldestSince), strings.Compare(a.Repository, b.Repository))
	})
	running.Total, queue.Total = len(running.Jobs), len(queue.Jobs)
	if queue.Total > 0 {
		queue.OldestSince = &queue.Jobs[0].Since
	}
	o.Running, o.Queue = running, queue
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

func (r *Results) add(conclusion string) {
	r.Total++
	switch conclusion {
	case "success":
		r.Succeeded++
	case "failure", "timed_out", "startup_failure":
		r.Failed++
	case "cancelled":
		r.Cancelled++
	default:
		r.Other++
	}
}

// times collects durations until their percentiles are wanted.
type times []float64

func (t times) percentiles() *Percentiles {
	if len(t) == 0 {
		return nil
	}
	slices.Sort(t)
	rank := func(p float64) float64 { return t[max(int(math.Ceil(p*float64(len(t))))-1, 0)] }
	return &Percentiles{Count: len(t), P50: rank(0.5), P95: rank(0.95), P99: rank(0.99), Max: t[len(t)-1]}
}

// each calls f for all finished jobs, those of runs that have not ended included.
func (m *Monitor) each(f func(finished)) {
	for _, j := range m.history.jobs {
		f(j)
	}
	fromLive := func(repository string, l *liveRun) {
		for _, j := range l.jobs {
			if line, ok := j.finished(); ok {
				if job := m.line(repository, l, line); !m.isRecorded(job) {
					f(job)
				}
			}
		}
	}
	for _, r := range m.repositories {
		for _, l := range r.live {
			fromLive(r.name, l)
		}
	}
	for _, p := range m.pending {
		fromLive(p.repository, &p.liveRun)
	}
}

// describeHistory is everything about jobs that have ended.
func (m *Monitor) describeHistory(o *Overview) {
	now := o.GeneratedAt
	var froms [3]int64
	for i, w := range windows {
		froms[i] = now.Add(-w.length).Unix()
	}
	type workflowKey struct{ repository, workflow name }
	type workflowSum struct {
		results    Results
		queue, run times
	}
	repositories := map[name]*Repository{}
	workflows := map[workflowKey]*workflowSum{}
	buckets := [3]map[name][]int{{}, {}, {}}
	var queues, runs [3]times
	lines := map[string]*SavingsLine{}
	var starts [3]int64
	var counts [3]int
	for i, w := range windows {
		start := now.Add(-w.length).Truncate(w.step)
		starts[i] = start.Unix()
		counts[i] = int(now.Sub(start)/w.step) + 1
		*o.Series.at(i) = Series{Start: start, StepSeconds: int(w.step.Seconds()), Buckets: counts[i], Repositories: []SeriesRepository{}}
	}
	saved := [3]*Saved{&o.Savings.Hour, &o.Savings.Day, &o.Savings.Week}
	m.each(func(j finished) {
		if j.ended < froms[2] || j.ended > now.Unix()+60 {
			return
		}
		r := repositories[j.repository]
		if r == nil {
			r = &Repository{Name: j.repository.Value()}
			repositories[j.repository] = r
		}
		took := time.Duration(max(j.ended-j.started, 0)) * time.Second
		cost := m.prices.of(parseSystem(j.system.Value()))
		charge := Saved{Minutes: minutes(took)}
		if j.free && cost.Standard {
			charge.FreeMinutes = charge.Minutes
		} else {
			charge.HostedUSD = float64(charge.Minutes) * cost.USD
		}
		for i, w := range windows {
			if j.ended < froms[i] {
				continue
			}
			r.Jobs.at(i).add(j.result.Value())
			saved[i].plus(charge)
			runs[i] = append(runs[i], took.Seconds())
			if j.queued > 0 {
				queues[i] = append(queues[i], float64(j.started-j.queued))
			}
			if buckets[i][j.repository] == nil {
				buckets[i][j.repository] = make([]int, counts[i])
			}
			bucket := int((j.ended - starts[i]) / int64(w.step.Seconds()))
			buckets[i][j.repository][min(max(bucket, 0), counts[i]-1)]++
		}
		key := workflowKey{j.repository, j.workflow}
		sum := workflows[key]
		if sum == nil {
			sum = &workflowSum{}
			workflows[key] = sum
		}
		sum.results.add(j.result.Value())
		sum.run = append(sum.run, took.Seconds())
		if j.queued > 0 {
			sum.queue = append(sum.queue, float64(j.started-j.queued))
		}
		line := lines[cost.SKU]
		if line == nil {
			line = &SavingsLine{SKU: cost.SKU, Name: cost.Name, USDPerMinute: cost.USD}
			lines[cost.SKU] = line
		}
		line.plus(charge)
	})
	for i := range windows {
		*o.Durations.at(i) = Durations{Queue: queues[i].percentiles(), Execution: runs[i].percentiles()}
		describeSeries(o.Series.at(i), buckets[i])
		saved[i].round()
	}
	o.Savings.PricesOf, o.Savings.PricesSource = m.prices.Date, m.prices.Source
	o.Savings.Note = fmt.Sprintf("what the same minutes would have cost on GitHub's runners of %d cores, or its standard ones: each job rounded up to whole minutes, before a plan's included minutes; standard runners are free for public repositories", m.prices.cores)
	o.Savings.Lines = []SavingsLine{}
	for _, sku := range slices.Sorted(maps.Keys(lines)) {
		lines[sku].round()
		o.Savings.Lines = append(o.Savings.Lines, *lines[sku])
	}

	var all []Workflow
	for key, sum := range workflows {
		all = append(all, Workflow{Repository: key.repository.Value(), Workflow: key.workflow.Value(), Jobs: sum.results, Execution: sum.run.percentiles(), Queue: sum.queue.percentiles()})
	}
	byName := func(a, b Workflow) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Workflow, b.Workflow))
	}
	sortBy(all, func(a, b Workflow) int { return cmp.Or(cmp.Compare(b.Execution.P95, a.Execution.P95), byName(a, b)) })
	o.Slowest = append(o.Slowest, all[:min(len(all), mostWorkflows)]...)
	sortBy(all, func(a, b Workflow) int {
		share := func(w Workflow) float64 { return float64(w.Jobs.Failed) / float64(w.Jobs.Total) }
		return cmp.Or(cmp.Compare(b.Jobs.Failed, a.Jobs.Failed), cmp.Compare(share(b), share(a)), byName(a, b))
	})
	for _, w := range all {
		if w.Jobs.Failed > 0 && len(o.Failing) < mostWorkflows {
			o.Failing = append(o.Failing, w)
		}
	}
	m.describeRepositories(o, repositories)
}

func (s *Saved) plus(more Saved) {
	s.Minutes += more.Minutes
	s.FreeMinutes += more.FreeMinutes
	s.HostedUSD += more.HostedUSD
}

// round takes the noise of adding off; a tenth of a cent stays.
func (s *Saved) round() { s.HostedUSD = math.Round(s.HostedUSD*1000) / 1000 }

func describeSeries(s *Series, buckets map[name][]int) {
	for repository, jobs := range buckets {
		line := SeriesRepository{Name: repository.Value(), Jobs: jobs}
		for _, n := range jobs {
			line.Total += n
		}
		s.Repositories = append(s.Repositories, line)
	}
	sortBy(s.Repositories, func(a, b SeriesRepository) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), strings.Compare(a.Name, b.Name))
	})
	if len(s.Repositories) <= mostSeries {
		return
	}
	rest := SeriesRepository{Name: "other", Rest: true, Jobs: make([]int, s.Buckets)}
	for _, line := range s.Repositories[mostSeries-1:] {
		rest.Total += line.Total
		for i, n := range line.Jobs {
			rest.Jobs[i] += n
		}
	}
	s.Repositories = append(s.Repositories[:mostSeries-1:mostSeries-1], rest)
}

// describeRepositories lists all that are looked at, and those that once were and
// have had jobs.
func (m *Monitor) describeRepositories(o *Overview, found map[name]*Repository) {
	byName := map[string]*Repository{}
	for _, r := range found {
		byName[r.Name] = r
	}
	for _, r := range m.repositories {
		v := byName[r.name]
		if v == nil {
			v = &Repository{Name: r.name}
			byName[r.name] = v
		}
		v.Private = r.private
		if !r.seen.IsZero() {
			at := r.seen.UTC()
			v.LastSeen = &at
		}
		for _, l := range r.live {
			for _, j := range l.jobs {
				switch {
				case !j.own:
				case j.status == "in_progress":
					v.Running++
				case j.status == "queued":
					v.Queued++
				}
			}
		}
	}
	for _, r := range byName {
		o.Repositories = append(o.Repositories, *r)
	}
	sortBy(o.Repositories, func(a, b Repository) int {
		return cmp.Or(cmp.Compare(b.Jobs.Week.Total, a.Jobs.Week.Total), cmp.Compare(b.Queued+b.Running, a.Queued+a.Running), strings.Compare(a.Name, b.Name))
	})
}

// describeMemory is what the job records tell. Where a record does not say of what
// repository it is, GitHub's run of the same id and job does.
func (m *Monitor) describeMemory(o *Overview) {
	if m.records.path == "" || len(m.records.list) == 0 {
		return
	}
	type key struct{ repository, workflow, name name }
	type runKey struct {
		run  int64
		name name
	}
	type sum struct {
		peaks []int64
		cpu   times
		ooms  int64
	}
	from := o.GeneratedAt.Add(-windows[2].length).Unix()
	unnamed := map[runKey]key{}
	for _, u := range m.records.list {
		if u.repository.Value() == "" && u.run != 0 {
			unnamed[runKey{u.run, u.name}] = key{u.repository, u.workflow, u.name}
		}
	}
	if len(unnamed) > 0 {
		for _, j := range m.history.jobs {
			if _, wanted := unnamed[runKey{j.run, j.name}]; wanted {
				unnamed[runKey{j.run, j.name}] = key{j.repository, j.workflow, j.name}
			}
		}
	}
	memory := &Memory{Highest: []JobMemory{}}
	sums := map[key]*sum{}
	for _, u := range m.records.list {
		if u.ended < from {
			continue
		}
		memory.OOMKills += max(u.ooms, 0)
		if u.peak < 0 {
			continue
		}
		memory.Jobs++
		k, joined := unnamed[runKey{u.run, u.name}]
		if !joined || u.repository.Value() != "" {
			k = key{u.repository, u.workflow, u.name}
		}
		if sums[k] == nil {
			sums[k] = &sum{}
		}
		s := sums[k]
		s.peaks = append(s.peaks, u.peak)
		s.ooms += max(u.ooms, 0)
		if u.cpu >= 0 {
			s.cpu = append(s.cpu, u.cpu)
		}
	}
	for k, s := range sums {
		slices.Sort(s.peaks)
		j := JobMemory{Repository: k.repository.Value(), Workflow: k.workflow.Value(), Job: k.name.Value(), Count: len(s.peaks),
			P50: s.peaks[(len(s.peaks)-1)/2], Max: s.peaks[len(s.peaks)-1], OOMKills: s.ooms}
		if p := s.cpu.percentiles(); p != nil {
			j.CPUSeconds = &p.P50
		}
		memory.Highest = append(memory.Highest, j)
	}
	sortBy(memory.Highest, func(a, b JobMemory) int {
		return cmp.Or(cmp.Compare(b.Max, a.Max), strings.Compare(a.Repository, b.Repository), strings.Compare(a.Job, b.Job))
	})
	memory.Highest = memory.Highest[:min(len(memory.Highest), mostWorkflows)]
	o.Memory = memory
}

// notAdmitted is how long a job may wait beside idle runners that have its labels:
// GitHub hands jobs out within seconds, the list of runners is that old.
const notAdmitted = 3 * time.Minute

// describeNotAdmitted names repositories whose jobs wait although runners with
// their labels are idle: then it is the group that keeps them apart.
func (m *Monitor) describeNotAdmitted(o *Overview, add func(since time.Time, kind, what, remedy, url string)) {
	if o.Queue == nil || o.Runners == nil || o.Runners.Idle == 0 {
		return
	}
	told := map[string]bool{}
	for _, j := range o.Queue.Jobs {
		if told[j.Repository] || o.Runners.AsOf.Sub(j.Since) < notAdmitted || !m.hasIdle(j.Labels) {
			continue
		}
		told[j.Repository] = true
		why := "the runner group does not admit the repository, or not this workflow"
		if r := m.repositories[j.Repository]; r != nil && r.private != nil && !*r.private {
			why = "the repository is public, and the runner group does not admit public ones"
		}
		add(j.Since, "group", clean("jobs of "+j.Repository+" wait while runners that have their labels are idle"), why+": see the organization's Settings, Actions, Runner groups", j.URL)
	}
}

// hasIdle tells whether a runner is idle that has all of these labels.
func (m *Monitor) hasIdle(labels []string) bool {
	return slices.ContainsFunc(m.runners, func(r register.Runner) bool {
		return !r.Busy && r.Status == "online" && !slices.ContainsFunc(labels, func(wanted string) bool {
			return !slices.ContainsFunc(r.Labels, func(has register.Label) bool { return strings.EqualFold(has.Name, wanted) })
		})
	})
}

// describeProblems is what is wrong now, and what went wrong.
func (m *Monitor) describeProblems(o *Overview) {
	now := o.GeneratedAt
	add := func(since time.Time, kind, what, remedy, url string) {
		o.Problems = append(o.Problems, Problem{Time: since, Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1, Now: true})
	}
	if o.Queue != nil && o.Runners != nil && o.Queue.Total > 0 && o.Runners.Idle+o.Runners.Busy == 0 {
		add(*o.Queue.OldestSince, "labels", fmt.Sprintf("%d jobs wait and no runner is online", o.Queue.Total), "docker compose ps and logs tell why; docker compose up -d starts them", "")
	} else if o.Queue != nil {
		told := map[string]bool{}
		for _, j := range o.Queue.Jobs {
			labels := strings.Join(j.Labels, ", ")
			if j.Stuck == nil || !*j.Stuck || told[labels] || len(told) == 10 {
				continue
			}
			told[labels] = true
			add(j.Since, "labels", clean("no runner has the labels that "+j.Job+" of "+j.Repository+" asks for: "+labels), "correct runs-on in the workflow, or LABELS of the runners", j.URL)
		}
	}
	m.describeNotAdmitted(o, add)
	if o.Versions != nil {
		for _, v := range o.Versions.InUse {
			if v.DaysLeft != nil && *v.DaysLeft <= soon {
				what := fmt.Sprintf("GitHub refuses version %s, which %d runners have, in %d days", v.Version, v.Runners, *v.DaysLeft)
				if *v.DaysLeft < 0 {
					what = fmt.Sprintf("GitHub refuses version %s, which %d runners have", v.Version, v.Runners)
				}
				add(now, "version", what, "docker compose build --pull, then docker compose up -d --force-recreate", "")
			}
		}
	}
	for _, p := range m.problems {
		v := *p
		v.Now = p.Kind == "github" && m.failsNow(p.What)
		o.Problems = append(o.Problems, v)
	}
	sortBy(o.Problems, func(a, b Problem) int {
		if a.Now != b.Now {
			if a.Now {
				return -1
			}
			return 1
		}
		return b.Time.Compare(a.Time)
	})
}
