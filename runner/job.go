//go:build linux

package runner

import (
	"cmp"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/records"
)

// Results that are not the official runner's own words.
const (
	Lost    = "lost"    // it was killed: GitHub has still to give it up
	Unknown = "unknown" // nobody told how it ended
)

const (
	// queuedBudget bounds the question when a job was queued.
	queuedBudget = 10 * time.Second
	// measureBudget bounds what a job's end waits for: how much it has left on the
	// disk, and that answer, if it is not there yet.
	measureBudget = time.Second
	// recordBudget bounds how long a life waits at its end until its job's record
	// is kept; a stop's plan may leave less.
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

// jobIsNamed is called when the name of the job that runs is read late.
func (l *Life) jobIsNamed(name string) {
	if l.measurer.job != nil {
		l.measurer.job.name = name
	}
	l.view.jobNamed(name)
}

// jobOver ends the job that runs, if one does: what is told of it, and its record.
// If nothing here has told its result, GitHub is asked.
func (l *Life) jobOver(result, reason string) {
	if job := l.measurer.job; job != nil && reason == "" {
		l.noteSteps(result, job.began)
	}
	l.jobEnds(result, reason)
	l.view.jobCompleted()
}

// jobEnds makes the record of the job that runs, if one does. It never waits:
// what takes time is done beside the life.
func (l *Life) jobEnds(result, reason string) {
	job := l.measurer.job
	if job == nil {
		return
	}
	l.measurer.job = nil
	used := readUsage(l.measurer.cgroup).since(job.before)
	seen, _, _ := l.view.get()
	if seen == nil {
		seen = &Job{}
	}
	name, _ := l.identity()
	runID, _ := strconv.ParseInt(seen.RunID, 10, 64)
	record := records.Record{
		Repository: seen.Repository, Workflow: seen.Workflow, Job: job.name,
		RunID: runID, RunURL: seen.RunURL, Attempt: seen.Attempt, Actor: seen.Actor, Result: result, Reason: reason, Runner: name,
		Started: job.began.UTC(), Finished: time.Now().UTC(),
		CPUSeconds: used.cpu, PeakMemory: used.peak, OOMKills: used.oomKills, Read: used.read, Written: used.written,
	}
	l.tellOutOfMemory(job.name, used)
	l.measurer.pending.Go(func() { l.keep(record, seen.queued) })
}

// tellOutOfMemory says whose memory was used up: the container's, if its limit was
// met, and otherwise that of the machine or of something around the container.
func (l *Life) tellOutOfMemory(job string, used usage) {
	if used.oomKills == nil || *used.oomKills == 0 {
		return
	}
	event := l.Log.Error().Str("job", job).Int64("processes", *used.oomKills)
	limit := memoryLimit(l.measurer.cgroup)
	if limit == nil || used.limitMet != nil && *used.limitMet == 0 {
		event.Msg("the kernel has killed processes of this job, because the machine's memory was used up, not the container's: run fewer runners on it, or limit what each may take")
		return
	}
	event.Int64("limit_bytes", *limit).
		Msg("the kernel has killed processes of this job, because the container's memory was used up: give it more (RUNNER_MEMORY in compose, --memory)")
}

// keep adds what takes time to a record, tells it and hands it on.
func (l *Life) keep(r records.Record, queued <-chan *time.Time) {
	budget := measureBudget
	if signal, _ := l.stop.first(); signal != nil {
		budget /= 10
	}
	var ended <-chan string
	if r.Result == "" {
		r.Result, ended = Unknown, l.askResult(r, budget)
	}
	var disk chan *int64
	if l.Record != nil {
		disk = make(chan *int64, 1)
		until := time.Now().Add(budget)
		go func() { disk <- diskUsed(absolute(l.Home, l.WorkDir), until) }()
	}
	for timer := time.NewTimer(budget); disk != nil || queued != nil || ended != nil; {
		select {
		case r.Result = <-ended:
			ended = nil
		case r.Disk = <-disk:
			disk = nil
		case r.Queued = <-queued: // nil once it was asked in vain
			queued = nil
		case <-timer.C: // what is not known by now is absent
			disk, queued, ended = nil, nil, nil
		}
	}
	tell(l.Log.Info(), r).Msg("job completed")
	if l.Record == nil {
		return
	}
	if err := l.Record(r); err != nil {
		l.Log.Warn().Err(err).Msg("the job's record could not be kept")
	}
}

// conclusions are the official runner's words for what GitHub calls a job's end.
var conclusions = map[string]string{"success": "Succeeded", "failure": "Failed", "cancelled": "Canceled"}

// askResult asks GitHub how a job has ended, once and beside the life.
func (l *Life) askResult(r records.Record, budget time.Duration) <-chan string {
	_, id := l.identity()
	if l.Concluded == nil || r.RunID == 0 || r.Repository == "" || id == 0 {
		return nil
	}
	answer := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), budget)
		defer cancel()
		conclusion, err := l.Concluded(ctx, r.Repository, r.RunID, id)
		if err != nil {
			l.Log.Debug().Err(err).Msg("GitHub did not tell how the job ended")
		}
		answer <- cmp.Or(conclusions[conclusion], Unknown)
	}()
	return answer
}

// tell puts a record into a line of the log; what is unknown is not in it.
func tell(event *zerolog.Event, r records.Record) *zerolog.Event {
	event = event.Str("job", r.Job).Str("result", r.Result).Time("started", r.Started).Time("finished", r.Finished).
		Dur("took", r.Finished.Sub(r.Started).Round(time.Millisecond))
	text := func(key, value string) {
		if value != "" {
			event = event.Str(key, value)
		}
	}
	number := func(key string, value *int64) {
		if value != nil {
			event = event.Int64(key, *value)
		}
	}
	text("repository", r.Repository)
	text("workflow", r.Workflow)
	text("reason", r.Reason)
	text("run_url", r.RunURL)
	text("actor", r.Actor)
	if r.RunID != 0 {
		event = event.Int64("run", r.RunID).Int("attempt", r.Attempt)
	}
	if r.Queued != nil {
		event = event.Time("queued", *r.Queued).Dur("waited", max(r.Started.Sub(*r.Queued), 0).Round(time.Second))
	}
	if r.CPUSeconds != nil {
		event = event.Float64("cpu_seconds", *r.CPUSeconds)
	}
	number("peak_memory_bytes", r.PeakMemory)
	number("oom_kills", r.OOMKills)
	number("read_bytes", r.Read)
	number("written_bytes", r.Written)
	number("disk_bytes", r.Disk)
	return event
}

// askQueued asks GitHub, beside the life, since when the job had been waiting that
// runs here. The hook tells which run it belongs to. The channel is nil when nobody
// is asked, and closed after the answer.
func (l *Life) askQueued(repository, runID string) <-chan *time.Time {
	run, err := strconv.ParseInt(runID, 10, 64)
	_, id := l.identity()
	if l.Queued == nil || err != nil || repository == "" || id == 0 {
		return nil
	}
	answer := make(chan *time.Time, 1)
	go func() {
		ctx, cancel := context.WithTimeout(l.ctx, queuedBudget)
		defer cancel()
		defer close(answer)
		at, err := l.Queued(ctx, repository, run, id)
		switch {
		case err != nil:
			l.Log.Debug().Err(err).Msg("since when the job had been queued is not known")
		case !at.IsZero():
			answer <- &at
		}
	}()
	return answer
}

// awaitRecords gives the last record a moment to be kept: as long as a stop's plan
// allows, for the engine's SIGKILL would take more than a record.
func (l *Life) awaitRecords() {
	kept := make(chan struct{})
	go func() { l.measurer.pending.Wait(); close(kept) }()
	patience := recordBudget
	if signal, since := l.stop.first(); signal != nil {
		patience = min(patience, max(time.Until(since.Add(planFor(l.StopGrace).giveUp)), 10*time.Millisecond))
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-kept:
		return
	case <-timer.C:
	case <-l.stop.kill:
	}
	l.Log.Warn().Msg("the job's record could not be kept in time")
}
