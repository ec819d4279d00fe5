package monitor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

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
	if m.history.err != nil {
		m.problem("store", clean("the history cannot be written: "+m.history.err.Error()), "make room on the disk of "+m.options.Data+", or name another folder with --data", "")
	}
}

// line is a job of a live run in the form of the history.
func (m *Monitor) line(repository string, l *liveRun, j jobLine) finished {
	return finishedOf(runLine{Run: l.id, Repository: repository, Workflow: l.workflow, Free: m.free(repository)}, j)
}
