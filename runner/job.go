//go:build linux

package runner

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// Lost is the result of a job of whose end the runner said nothing.
const Lost = "lost"

const (
	// queuedBudget bounds the question when a job was queued.
	queuedBudget = 10 * time.Second
	// queuedPatience is how long a job's end waits for that answer.
	queuedPatience = time.Second
	// diskBudget bounds the look at how much a job has written.
	diskBudget = time.Second
	// recordBudget bounds how long a life waits at its end until its job's record
	// is kept.
	recordBudget = 2 * time.Second
)

// measured is a job that runs, and what was counted when it began.
type measured struct {
	name   string
	began  time.Time
	before usage
}

// measurer makes the records of a life's jobs.
type measurer struct {
	cgroup  string
	job     *measured
	pending sync.WaitGroup // records on their way
}

// jobBegins is called when the runner says that it runs a job.
func (l *Life) jobBegins(name string) {
	l.measurer.job = &measured{name: name, began: time.Now(), before: readUsage(l.measurer.cgroup)}
}

// jobEnds makes the record of the job that runs, if one does. It never waits:
// what takes time is done beside the life.
func (l *Life) jobEnds(result string) {
	job := l.measurer.job
	if job == nil {
		return
	}
	l.measurer.job = nil
	used := readUsage(l.measurer.cgroup).since(job.before)
	seen, _ := l.view.get()
	if seen == nil {
		seen = &Job{}
	}
	name, _ := l.identity()
	runID, _ := strconv.ParseInt(seen.RunID, 10, 64)
	record := records.Record{
		Repository: seen.Repository, Workflow: seen.Workflow, Job: job.name,
		RunID: runID, RunURL: seen.RunURL, Attempt: seen.Attempt, Actor: seen.Actor, Result: result, Runner: name,
		Started: job.began.UTC(), Finished: time.Now().UTC(),
		CPUSeconds: used.cpu, PeakMemory: used.peak, OOMKills: used.oomKills, Read: used.read, Written: used.written,
	}
	if used.oomKills != nil && *used.oomKills > 0 {
		event := l.Log.Error().Str("job", job.name).Int64("processes", *used.oomKills)
		if limit := memoryLimit(l.measurer.cgroup); limit != nil {
			event = event.Int64("limit_bytes", *limit)
		}
		event.Msg("the kernel has killed processes of this job, because the container's memory was used up: give it more (RUNNER_MEMORY in compose, --memory)")
	}
	l.measurer.pending.Go(func() { l.keep(record, seen.queued) })
}

// keep adds what takes time to a record, tells it and hands it on.
func (l *Life) keep(r records.Record, queued <-chan *time.Time) {
	if l.Record != nil {
		work := l.WorkDir
		if !filepath.IsAbs(work) {
			work = filepath.Join(l.Home, work)
		}
		r.Disk = diskUsed(work, time.Now().Add(diskBudget))
	}
	if queued != nil {
		timer := time.NewTimer(queuedPatience)
		defer timer.Stop()
		select {
		case r.Queued = <-queued: // nil once it was asked in vain
		case <-timer.C:
		}
	}
	event := l.Log.Info().Str("job", r.Job).Str("result", r.Result).Str("repository", r.Repository).Str("workflow", r.Workflow).
		Int64("run", r.RunID).Dur("took", r.Finished.Sub(r.Started).Round(time.Millisecond))
	if r.Queued != nil {
		event = event.Dur("queued", r.Started.Sub(*r.Queued).Round(time.Second))
	}
	if r.CPUSeconds != nil {
		event = event.Float64("cpu_seconds", *r.CPUSeconds)
	}
	for name, bytes := range map[string]*int64{"peak_memory_bytes": r.PeakMemory, "read_bytes": r.Read, "written_bytes": r.Written, "disk_bytes": r.Disk} {
		if bytes != nil {
			event = event.Int64(name, *bytes)
		}
	}
	event.Msg("job completed")
	if l.Record == nil {
		return
	}
	if err := l.Record(r); err != nil {
		l.Log.Warn().Err(err).Msg("the job's record could not be kept")
	}
}

// askQueued asks GitHub, beside the life, since when a job had been waiting. The
// hook tells which run it belongs to. The channel is nil when nobody is asked, and
// closed after the answer.
func (l *Life) askQueued(repository, runID string) <-chan *time.Time {
	run, err := strconv.ParseInt(runID, 10, 64)
	if l.Queued == nil || err != nil || repository == "" {
		return nil
	}
	answer := make(chan *time.Time, 1)
	name, _ := l.identity()
	go func() {
		ctx, cancel := context.WithTimeout(l.ctx, queuedBudget)
		defer cancel()
		defer close(answer)
		at, err := l.Queued(ctx, repository, run, name)
		switch {
		case err != nil:
			l.Log.Debug().Err(err).Msg("since when the job had been queued is not known")
		case !at.IsZero():
			answer <- &at
		}
	}()
	return answer
}

// awaitRecords gives the last record a moment to be kept.
func (l *Life) awaitRecords() {
	kept := make(chan struct{})
	go func() { l.measurer.pending.Wait(); close(kept) }()
	timer := time.NewTimer(recordBudget)
	defer timer.Stop()
	select {
	case <-kept:
	case <-timer.C:
		l.Log.Warn().Msg("the job's record could not be kept in time")
	}
}
