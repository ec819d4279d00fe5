package monitor

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// mostRunJobs bounds what is kept of one run; one more is read, which tells that
// there are more.
const mostRunJobs = 1000

// liveJob is a job of a run that has not ended; it may itself have.
type liveJob struct {
	id              int64
	attempt         int
	nth             int32 // of those of its name that began in the same second of its attempt
	name, url       string
	status, result  string
	labels          []string
	runner          string
	own             bool
	queued, started time.Time
	ended           time.Time
	system          system
	sure            bool // the system is the runner's, and not guessed
}

// readJobs asks for the jobs of a run that has not ended.
func (m *Monitor) readJobs(ctx context.Context, r *repository, l *liveRun) error {
	jobs, workflow, err := m.jobs(m.options.GitHub.Jobs(ifChanged(ctx, &l.tags), r.name, l.id), l)
	r.looked = m.now()
	l.due = r.looked.Add(m.stretched(jobsEvery))
	switch {
	case errors.Is(err, errUnchanged):
		m.change(func() { l.seen = r.looked })
		return err
	case l.isMissing(err):
		m.change(func() { delete(r.live, l.id) })
		return err
	case errors.Is(err, register.ErrNotFound):
		return err
	case err != nil:
		return m.denyRuns(r, err)
	}
	m.change(func() {
		l.workflow, l.seen = workflow, r.looked
		m.keep(r.name, l, jobs)
		for _, j := range jobs {
			if f, ok := j.finished(); ok {
				m.countOnce(m.line(r.name, l, f), false)
			}
		}
	})
	// Only the first page is compared, and there may be more; and what had no room is
	// to be told again.
	if l.tags.keep(); len(jobs) > 100 || l.rest.some {
		l.tags.forget()
	}
	return nil
}

// isMissing tells whether GitHub has not found a run so often that it must have
// been deleted.
func (l *liveRun) isMissing(err error) bool {
	if !errors.Is(err, register.ErrNotFound) {
		l.missing = 0
		return false
	}
	l.missing++
	return l.missing >= mostMissing
}

// jobs reads a run's jobs, and the name of its workflow: that of a run is what the
// workflow has named this one run.
func (m *Monitor) jobs(list iter.Seq2[register.Job, error], l *liveRun) (jobs []liveJob, workflow string, err error) {
	before := make(map[int64]liveJob, len(l.jobs))
	for _, j := range l.jobs {
		before[j.id] = j
	}
	workflow = l.workflow
	for j, err := range list {
		if err != nil {
			return nil, "", err
		}
		if len(jobs) > mostRunJobs {
			break
		}
		jobs = append(jobs, m.liveJob(j, before[j.ID]))
		if j.Workflow != "" {
			workflow = clean(j.Workflow)
		}
	}
	number(jobs)
	return jobs, workflow, nil
}

// number tells the jobs apart that an attempt has under one name: a matrix may name
// all of its jobs alike, and a name that is cut may have lost what differs. They
// are in the order of their ids, which a new attempt keeps for those that it does
// not run again.
func number(jobs []liveJob) {
	slices.SortFunc(jobs, func(a, b liveJob) int { return cmp.Compare(a.id, b.id) })
	type key struct {
		attempt int
		name    string
		started int64
	}
	known := map[key]int32{}
	for i := range jobs {
		if j := &jobs[i]; j.runner != "" { // one that waits does not say yet when it begins
			k := key{j.attempt, j.name, j.started.Unix()}
			j.nth = known[k]
			known[k]++
		}
	}
}

// liveJob describes a job. Of a runner that ended with its job the system stays
// known from when it was seen.
func (m *Monitor) liveJob(j register.Job, before liveJob) liveJob {
	labels := cleanAll(j.Labels)
	l := liveJob{id: j.ID, attempt: j.Attempt, name: clean(j.Name), url: address(j.URL), status: j.Status, result: clean(j.Conclusion), labels: labels, runner: clean(j.RunnerName), queued: j.CreatedAt}
	if j.StartedAt != nil {
		l.started = *j.StartedAt
	}
	if j.CompletedAt != nil {
		l.ended = *j.CompletedAt
	}
	l.own = m.isOwn(j, labels) || before.sure && before.runner == l.runner
	l.system, l.sure = m.systems[l.runner]
	switch {
	case l.sure:
	case before.sure && before.runner == l.runner:
		l.system, l.sure = before.system, true
	default:
		l.system = m.systemFor(labels)
	}
	return l
}

// isOwn tells whether a job runs, or is to run, on a runner of the organization's
// own. GitHub's standard runners have a group and names of their own, and its
// larger ones a group, which can be another one: then it is the names and labels
// of the own runners that tell.
func (m *Monitor) isOwn(j register.Job, labels []string) bool {
	hosted := j.GroupName == "GitHub Actions" || j.GroupName == "Default Larger Runners" || strings.HasPrefix(j.RunnerName, "GitHub Actions ")
	for _, label := range labels {
		if strings.EqualFold(label, "self-hosted") {
			return !hosted
		}
	}
	if j.RunnerName != "" {
		_, listed := m.systems[clean(j.RunnerName)]
		return !hosted && (listed || m.runnersAt.IsZero() || m.offered(labels) != nil)
	}
	return len(labels) != 1 || !isStandard(labels[0]) || m.offered(labels) != nil
}

// isStandard tells whether a label is one of GitHub's standard runners.
func isStandard(label string) bool {
	os, _, versioned := strings.Cut(strings.ToLower(label), "-")
	return versioned && (os == "ubuntu" || os == "windows" || os == "macos")
}

// finished makes the line of a job that a runner of our own has finished.
func (j liveJob) finished() (jobLine, bool) {
	if j.status != "completed" || !j.own || j.runner == "" || j.started.IsZero() || j.ended.IsZero() || j.result == "skipped" {
		return jobLine{}, false
	}
	line := jobLine{Name: j.name, Nth: j.nth, Result: j.result, Started: j.started.Unix(), Finished: j.ended.Unix(), System: j.system.String()}
	if !j.queued.IsZero() && !j.queued.After(j.started) {
		line.Queued = j.queued.Unix()
	}
	return line, true
}

// readFinished looks into a run that has ended. The jobs of an attempt that was run
// again before it could be looked into are read with those of the last one.
func (m *Monitor) readFinished(ctx context.Context, p *pendingRun) error {
	read := m.options.GitHub.Jobs
	if p.attempt > 1 && !m.history.has(p.id, p.attempt-1) {
		read = m.options.GitHub.AllJobs
	}
	jobs, workflow, err := m.jobs(read(once(ctx), p.repository, p.id), &p.liveRun)
	if err != nil {
		p.since = m.now().Add(retryWait)
		if p.isMissing(err) || mayNot(err) && !errors.Is(err, register.ErrNotFound) {
			m.change(func() { delete(m.pending, p.id) }) // deleted, or not for us any more
		}
		return err
	}
	m.change(func() {
		p.jobs, p.workflow = jobs, workflow
		m.takeJobs(p)
	})
	return nil
}

// takeJobs takes in the jobs of a run that has ended; the state is locked. If one
// of them has not, neither has the run: it waits for a person, or is run again.
func (m *Monitor) takeJobs(p *pendingRun) {
	delete(m.pending, p.id)
	line := runLine{Run: p.id, Attempt: p.attempt, Repository: p.repository, Workflow: p.workflow, Finished: p.ended.Unix(), Free: m.free(p.repository)}
	seen := map[jobKey]bool{} // what an attempt did not run again is in it once more
	for _, j := range p.jobs {
		if j.status != "completed" {
			m.putBack(p)
			return
		}
		f, ok := j.finished()
		if key := finishedOf(line, f).key(); ok && !seen[key] {
			seen[key] = true
			line.Jobs = append(line.Jobs, f)
		}
	}
	if p.taken && len(p.jobs) == 0 {
		return
	}
	m.record(line)
}

// putBack makes a run a live one again; the state is locked.
func (m *Monitor) putBack(p *pendingRun) {
	r := m.repositories[p.repository]
	if r == nil || r.live[p.id] != nil {
		return
	}
	l := p.liveRun
	m.keep(r.name, &l, p.jobs)
	l.due, l.older = m.now().Add(m.stretched(jobsEvery)), true
	r.live[p.id] = &l
}

// record takes a finished run into the history; the state is locked.
func (m *Monitor) record(line runLine) {
	for _, f := range m.history.add(line, m.now()) {
		m.countOnce(f, true)
	}
	m.tellStore()
}

// line is a job of a live run in the form of the history.
func (m *Monitor) line(repository string, l *liveRun, j jobLine) finished {
	return finishedOf(runLine{Run: l.id, Repository: repository, Workflow: l.workflow, Free: m.free(repository)}, j)
}
