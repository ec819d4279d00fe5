//go:build linux

package runner

import (
	"cmp"
	"os"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// takeLines brings the state up to what the runner has printed.
func (s *session) takeLines() {
	lines := s.lines.take()
	for _, l := range lines {
		s.takeLine(l)
	}
	if len(lines) > 0 && s.work.stage == announced {
		s.seeWorker()
	}
}

// takeLine believes what a line tells as far as the processes allow: a part of each
// may be the text of others.
func (s *session) takeLine(l line) {
	switch l.what {
	case versionIs:
		s.listener.pid() // while nothing but the runner has run
		if s.work.running() {
			return
		}
		s.view.versionIs(strings.Trim(records.Bounded(l.text), "'"))
	case listening:
		s.listener.pid()
		if s.seeWorker(); s.work.running() {
			return
		}
		s.view.connection(true)
		s.endUpdate()
		s.Trouble.Set("")
		s.sweep()
		s.enter(Idle, "listening for jobs")
	case jobStarted:
		if s.Ephemeral && s.over {
			return // it has had its one
		}
		s.checkWorker()
		s.follow(s.work.started(l.text, time.Now()))
	case jobCompleted:
		s.checkWorker()
		name, result, _ := endOf(l.text)
		s.follow(s.work.completed(name, result, time.Now()))
	case connectionLost:
		// The official listener may never say that it is back. Where nobody else can
		// say so it is not called lost: it ends by itself when it is.
		if s.GitHub != nil && s.every > 0 {
			s.view.connection(false)
			s.soon()
		}
		s.Log.Warn().Str("error", l.text).Msg("the runner has lost its connection to GitHub and retries")
	case connectionBack:
		s.view.connection(true)
	case updating:
		// During its job an ephemeral one may do so too; then nobody can tell its
		// changes from the job's.
		if !s.Ephemeral || !s.started {
			s.updates = true
			s.updating()
		}
	case restarting, sessionConflict, terminated, deleted, unknownCode:
		// All of these are said when a listener has ended, or will in a moment.
		if l.what == deleted || s.listener.pid() == 0 {
			s.takeEnd(l)
		}
	}
}

// takeEnd notes how a listener has ended.
func (s *session) takeEnd(l line) {
	switch l.what {
	case restarting:
		if s.seeWorker(); s.work.stage == working {
			return
		}
		s.follow(s.work.over()) // without a listener and a worker there is no job
		if s.removed && s.phase >= cancelling {
			s.kill("GitHub has no such runner any more, and run.sh starts its listener again")
			return
		}
		s.view.connection(true)
		s.enter(Connecting, "run.sh starts its listener again")
	case sessionConflict:
		s.conflict = true
	case terminated:
		s.terminated = true
	case deleted:
		s.deleted = true
	case unknownCode:
		s.code = l.text
	}
}

// endUpdate notes that the runner's files are as its update has left them.
func (s *session) endUpdate() {
	if s.updates {
		s.updates = false
		s.updated()
	}
}

// seeWorker looks for the worker.
func (s *session) seeWorker() {
	before := s.work.stage
	s.follow(s.work.seen(s.liveWorker(), time.Now()))
	if s.work.stage == working && before == announced {
		s.watchdog.reset()
	}
}

// liveWorker is the worker that lives: one file tells while it is known, all
// processes otherwise. A listener that is gone starts no other.
func (s *session) liveWorker() identity {
	if s.work.worker.alive() {
		return s.work.worker
	}
	listener := s.listener.pid()
	if listener == 0 && s.work.worker != (identity{}) {
		return identity{}
	}
	return findWorker(s.Home, listener)
}

// checkWorker looks only whether the known one lives: a line that is read late is
// not about the next one's.
func (s *session) checkWorker() {
	worker := s.work.worker
	if !worker.alive() {
		worker = identity{}
	}
	s.follow(s.work.seen(worker, time.Now()))
}

// nameless is what a job is called whose line was not seen.
const nameless = "(its name was not told)"

// follow makes the next work the present one, and does what has changed by it.
func (s *session) follow(next work, turns []turn) {
	s.work = next
	for _, turn := range turns {
		switch turn.what {
		case begins:
			s.jobHasBegun(records.Bounded(cmp.Or(next.name, nameless)))
		case named:
			s.job = records.Bounded(next.name)
			s.jobIsNamed(s.job)
		case ends:
			s.jobHasEnded(turn.result)
		case withdrawn:
			s.measurer.job = nil
			s.view.jobCompleted()
			if s.listener.pid() != 0 {
				s.enter(Idle, "the announced job has not come")
			}
			s.notComing()
		}
	}
	s.sight.Stop()
	if wait := s.work.wanted(time.Now()); wait > 0 {
		s.sight.Reset(wait)
	}
}

func (s *session) jobHasBegun(name string) {
	s.sweep()
	s.endUpdate() // it has failed, or goes on beside the job
	s.jobRan, s.started, s.over, s.job, s.result = true, true, false, name, ""
	s.record.succeed()
	s.view.connection(true)
	s.view.jobStarted(name)
	s.jobBegins(name)
	s.enter(Busy, "running "+name)
	if s.work.stage == announced {
		s.soon() // should no worker come, GitHub tells whether it has the job
	}
}

// overduePatience is how long an ephemeral listener may take to end after its job,
// which takes it 0.1 s. On a disk that the job has filled it hangs for ever.
const overduePatience = 30 * time.Second

// shutdownReason is how GitHub shows a job whose runner was stopped.
const shutdownReason = "The runner has received a shutdown signal."

func (s *session) jobHasEnded(result string) {
	reason := ""
	switch {
	case s.phase == killing && result == "":
		result = Lost // by us
	case s.phase >= cancelling && result == "Canceled":
		// So GitHub shows it, whatever the listener prints.
		result, reason = "Failed", shutdownReason
	}
	s.over, s.result = true, result
	if result != "" {
		s.view.connection(true)
	}
	s.jobOver(result, reason)
	if s.Ephemeral {
		s.overdue.Reset(overduePatience)
	} else {
		s.unswept = true
		if !s.updates { // its script is nobody's child meanwhile
			s.sweep()
		}
		s.enter(Idle, "job completed: "+cmp.Or(result, "its result was not told"))
		if s.broken != nil {
			s.interrupt("no job can do its first step here")
		}
	}
	s.drained()
}

// sweepBudget bounds how long a job's end waits for what the job has left running.
const sweepBudget = 500 * time.Millisecond

// sweep ends, between two jobs, what earlier ones have left running, and keeps the
// runner's logs small.
func (s *session) sweep() {
	if !s.unswept || s.phase != serving {
		return
	}
	s.unswept = false
	for until := time.Now().Add(sweepBudget); ; time.Sleep(5 * time.Millisecond) {
		left := s.official(identity{}).strays(processes(), os.Getpid())
		if len(left) == 0 {
			break
		}
		if time.Now().After(until) {
			s.Log.Warn().Ints("processes", left).Msg("what a job has left running cannot be ended")
			break
		}
		s.killAll(left)
	}
	pruneLogs(s.Home)
}

// official returns the runner's own processes. Below the worker is the job.
func (s *session) official(worker identity) official {
	s.listener.pid()
	return official{script: s.listener.script, listener: s.listener.seen, worker: worker}
}
