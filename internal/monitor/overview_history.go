package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

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

// sums is finished jobs, summed up in all the ways that the overview shows them.
type sums struct {
	prices       *priceList
	newest       int64 // what ended later has a wrong clock
	windows      [len(windows)]windowSums
	repositories map[name]*Repository
	workflows    map[workflowKey]*workflowSums
	lines        map[string]*SavingsLine
}

// windowSums is those of one window.
type windowSums struct {
	series      Series
	from, start int64
	waited, ran times
	saved       Saved
	buckets     map[name][]int
}

type workflowKey struct{ repository, workflow name }

type workflowSums struct {
	results     Results
	waited, ran times
}

func newSums(now time.Time, prices *priceList) *sums {
	s := &sums{prices: prices, newest: now.Unix() + 60, repositories: map[name]*Repository{}, workflows: map[workflowKey]*workflowSums{}, lines: map[string]*SavingsLine{}}
	for i, w := range windows {
		start := now.Add(-w.length).Truncate(w.step)
		s.windows[i] = windowSums{
			series: Series{Start: start, StepSeconds: int(w.step.Seconds()), Buckets: int(now.Sub(start)/w.step) + 1, Repositories: []SeriesRepository{}},
			from:   now.Add(-w.length).Unix(), start: start.Unix(), buckets: map[name][]int{},
		}
	}
	return s
}

// add adds one job.
func (s *sums) add(j finished) {
	if j.ended < s.windows[len(windows)-1].from || j.ended > s.newest {
		return
	}
	r := s.repositories[j.repository]
	if r == nil {
		r = &Repository{Name: j.repository.Value(), Jobs: &Windows[Results]{}}
		s.repositories[j.repository] = r
	}
	line, charge := s.charge(j)
	line.plus(charge)
	for i := range s.windows {
		if w := &s.windows[i]; j.ended >= w.from {
			r.Jobs.at(i).add(j.result.Value())
			w.add(j, charge)
		}
	}
	key := workflowKey{j.repository, j.workflow}
	w := s.workflows[key]
	if w == nil {
		w = &workflowSums{}
		s.workflows[key] = w
	}
	w.results.add(j.result.Value())
	addTimes(&w.waited, &w.ran, j)
}

// charge is what GitHub would have charged for a job, and by what line.
func (s *sums) charge(j finished) (*SavingsLine, Saved) {
	cost := s.prices.of(parseSystem(j.system.Value()))
	charge := Saved{Minutes: minutes(j.took())}
	if j.free && cost.Standard {
		charge.FreeMinutes = charge.Minutes
	} else {
		charge.HostedUSD = float64(charge.Minutes) * cost.USD
	}
	line := s.lines[cost.SKU]
	if line == nil {
		line = &SavingsLine{SKU: cost.SKU, Name: cost.Name, USDPerMinute: cost.USD}
		s.lines[cost.SKU] = line
	}
	return line, charge
}

func (w *windowSums) add(j finished, charge Saved) {
	w.saved.plus(charge)
	addTimes(&w.waited, &w.ran, j)
	if w.buckets[j.repository] == nil {
		w.buckets[j.repository] = make([]int, w.series.Buckets)
	}
	bucket := int((j.ended - w.start) / int64(w.series.StepSeconds))
	w.buckets[j.repository][min(max(bucket, 0), w.series.Buckets-1)]++
}

func addTimes(waited, ran *times, j finished) {
	*ran = append(*ran, j.took().Seconds())
	if j.queued > 0 {
		*waited = append(*waited, j.waited().Seconds())
	}
}

// describeHistory is everything about jobs that have ended.
func (m *Monitor) describeHistory(o *Overview) {
	s := newSums(o.GeneratedAt, &m.prices)
	m.each(s.add)
	saved := [len(windows)]**Saved{&o.Savings.Hour, &o.Savings.Day, &o.Savings.Week}
	for i := range s.windows {
		w := &s.windows[i]
		*o.Durations.at(i) = Durations{Queue: w.waited.percentiles(), Execution: w.ran.percentiles()}
		describeSeries(&w.series, w.buckets)
		*o.Series.at(i) = w.series
		if w.saved.round(); o.Running != nil || w.saved.Minutes > 0 {
			*saved[i] = &w.saved
		}
	}
	o.Savings.PricesOf, o.Savings.PricesSource = m.prices.Date, m.prices.Source
	o.Savings.Note = fmt.Sprintf("what the same minutes would have cost on GitHub's runners of %d cores, or its standard ones: each job rounded up to whole minutes, before a plan's included minutes; standard runners are free for public repositories", m.prices.cores)
	o.Savings.Lines = []SavingsLine{}
	for _, sku := range slices.Sorted(maps.Keys(s.lines)) {
		s.lines[sku].round()
		o.Savings.Lines = append(o.Savings.Lines, *s.lines[sku])
	}
	describeWorkflows(o, s.workflows)
	m.describeRepositories(o, s.repositories)
}

// describeWorkflows is the slowest and the most failing ones.
func describeWorkflows(o *Overview, workflows map[workflowKey]*workflowSums) {
	var all []Workflow
	for key, w := range workflows {
		all = append(all, Workflow{Repository: key.repository.Value(), Workflow: key.workflow.Value(), Jobs: w.results, Execution: w.ran.percentiles(), Queue: w.waited.percentiles()})
	}
	byName := func(a, b Workflow) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Workflow, b.Workflow))
	}
	o.workflows = all
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
		v.Private, v.LastSeen, v.Stale = r.private, moment(r.seen), r.isStale(o.GeneratedAt)
		if v.LastSeen == nil {
			continue
		}
		running, queued := r.present()
		if v.AtLeast = r.unread() > 0; !v.AtLeast || running > 0 {
			v.Running = &running
		}
		if !v.AtLeast || queued > 0 {
			v.Queued = &queued
		}
		if v.Jobs == nil {
			v.Jobs = &Windows[Results]{}
		}
	}
	for _, r := range byName {
		o.Repositories = append(o.Repositories, *r)
	}
	sortBy(o.Repositories, func(a, b Repository) int {
		return cmp.Or(cmp.Compare(min(b.now(), 1), min(a.now(), 1)), cmp.Compare(b.week(), a.week()), cmp.Compare(b.now(), a.now()), strings.Compare(a.Name, b.Name))
	})
}

// present counts the jobs that run and that wait.
func (r *repository) present() (running, queued int) {
	for _, l := range r.live {
		running += l.rest.running
		queued += l.rest.queued
		for _, j := range l.jobs {
			switch {
			case !j.own:
			case j.status == "in_progress":
				running++
			case j.status == "queued":
				queued++
			}
		}
	}
	return running, queued
}

// week and now are what repositories are sorted by; unknown is none.
func (r *Repository) week() int {
	if r.Jobs == nil {
		return 0
	}
	return r.Jobs.Week.Total
}

func (r *Repository) now() (jobs int) {
	for _, part := range []*int{r.Running, r.Queued} {
		if part != nil {
			jobs += *part
		}
	}
	return jobs
}
