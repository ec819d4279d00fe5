//go:build linux

package runner

import (
	"context"
	"time"
)

// phase is how far a session has gone towards its end.
type phase int

const (
	serving    phase = iota
	draining         // the signal is held back from the listener
	cancelling       // the listener has been interrupted
	reporting        // what runs below the worker is killed, so that it can tell GitHub
	killing          // the whole tree has been killed
)

// session is one run of run.sh. Everything in it belongs to the goroutine of
// serve, which alone reads the channels; what runs beside it answers there.
type session struct {
	*Life
	id    int64
	child *child
	lines *lineQueue
	began time.Time

	listener listener // asked for before each job can begin: see takeLine
	work     work     // whether a job runs
	plan     plan
	phase    phase

	deadline *time.Timer // the end of the phase
	retry    *time.Timer // the next try of what the phase is waiting for
	sight    *time.Timer // when the worker is to be looked for again
	overdue  *time.Timer // when an ephemeral listener is to have ended after its job
	orphan   *time.Ticker
	calm     *time.Timer // when it is worth giving memory back

	answers  chan answer // of DELETE
	asking   bool
	removed  bool      // GitHub has no such runner any more: no job can come
	orphaned bool      // run.sh has ended before its listener
	killBy   time.Time // until when an interrupted listener may work
	lock     time.Time // until when a worker without its listener has its job; zero: it has one
	unswept  bool      // what earlier jobs left running is still to be ended

	watchdog
	evidence
}

// evidence is what was learned of things that run.sh's exit code hides.
type evidence struct {
	started, over bool   // a job has begun; the newest one has ended
	job, result   string // of the newest one; "": nothing that can be believed told it
	updates       bool   // the listener updates itself
	conflict      bool
	terminated    bool
	deleted       bool   // GitHub has deleted the registration
	code          string // of the listener, where run.sh said it
}

type answer struct {
	busy bool
	err  error
}

// serve runs run.sh until it has ended and nothing of its tree is left. An
// error means that the runner failed.
func (l *Life) serve(registered Settings) (ending, error) {
	s := newSession(l, registered.ID)
	defer s.quit()
	l.killedJob = false
	if err := context.Cause(l.ctx); err != nil {
		return ending{stopped: true}, nil
	}
	extra := []string{
		// run.sh leaves its listener an orphan without the first, and hides that
		// the version is refused without the second.
		"RUNNER_MANUALLY_TRAP_SIG=1",
		"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1",
	}
	extra = append(extra, l.hookEnvironment()...)
	if l.jit != "" {
		extra = append(extra, "ACTIONS_RUNNER_INPUT_JITCONFIG="+l.jit)
	}
	l.machine.to(Connecting, "")
	l.view.connection(true)
	var err error
	if s.child, err = l.spawn("run.sh", nil, s.lines, extra...); err != nil {
		return ending{}, err
	}
	s.listener = newListener(s.child.pid)
	s.loop()
	l.endTree()
	s.child.finishOutput()
	s.takeLines()
	s.follow(s.work.over())
	end, err := s.verdict()
	if err == nil && !end.stopped {
		err = s.broken
	}
	return end, err
}

func newSession(l *Life, id int64) *session {
	s := &session{
		Life: l, id: id, lines: newLineQueue(), began: time.Now(), plan: planFor(l.StopGrace),
		orphan: time.NewTicker(time.Hour), answers: make(chan answer, 1), watchdog: newWatchdog(l.Watchdog),
	}
	for _, timer := range []**time.Timer{&s.deadline, &s.retry, &s.sight, &s.overdue, &s.calm} {
		*timer = time.NewTimer(time.Hour)
		(*timer).Stop()
	}
	s.orphan.Stop()
	return s
}

func (s *session) quit() {
	for _, timer := range []*time.Timer{s.deadline, s.retry, s.sight, s.overdue, s.calm} {
		timer.Stop()
	}
	s.orphan.Stop()
	s.watchdog.quit()
}

func (s *session) loop() {
	exited := s.child.done
	drain, cancel, kill := s.stop.drain, s.stop.cancel, s.stop.kill
	for {
		select {
		case <-s.lines.wake:
			s.takeLines()
		case <-exited:
			exited = nil
			s.takeLines()
			if s.phase == killing || !s.livesOn() {
				return
			}
			s.orphan.Reset(100 * time.Millisecond)
		case <-s.orphan.C:
			if !s.livesOn() {
				return
			}
		case <-drain:
			drain = nil
			s.drain()
		case <-cancel: // the first signal was read before, or is still in drain
			drain, cancel = nil, nil
			s.drain()
			s.interrupt("second signal")
		case <-kill:
			drain, cancel, kill = nil, nil, nil
			s.drain()
			s.kill("third signal")
		case <-s.deadline.C:
			s.phaseIsOver()
		case <-s.retry.C:
			s.tryAgain()
		case <-s.sight.C:
			s.seeWorker()
		case <-s.nudge: // a job's hook has asked: a worker is there
			s.seeWorker()
		case <-s.overdue.C:
			s.interrupt("its job is over, and the listener does not end")
		case <-s.calm.C:
			rest()
		case a := <-s.answers:
			s.answered(a)
		case <-s.watch.C:
			s.look()
		case seen := <-s.looks:
			s.looked(seen)
			s.calm.Reset(calmAfter) // the question has touched what registering had
		}
	}
}

// calmAfter is how long nothing has to happen before memory is given back: what
// follows a new state would ask for it again.
const calmAfter = 500 * time.Millisecond

// lockPatience is how long GitHub leaves a job to a worker whose listener is gone
// and so renews the job's lock no more.
const lockPatience = 10 * time.Minute

// livesOn tells whether there is something to wait for after run.sh's end. run.sh or
// its helper may have been killed alone: then the listener goes on, ours by now. So
// does a worker without its listener: it ends its job and tells GitHub by itself.
func (s *session) livesOn() bool {
	if s.listener.pid() != 0 {
		if !s.orphaned {
			s.Log.Warn().Str("run.sh", describe(s.child.status)).Msg("run.sh exited, the listener still runs: waiting for it")
		}
		s.orphaned = true
		return true
	}
	s.seeWorker()
	switch {
	case s.work.stage != working:
		return false
	case s.lock.IsZero():
		s.lock = time.Now().Add(lockPatience)
		s.Log.Warn().Dur("at most", lockPatience).Msg("the listener is gone, its worker goes on: waiting for the job's end")
	case time.Now().After(s.lock):
		s.kill("the job's worker has no listener, and GitHub has given the job up")
		return false
	}
	return true
}

// enter follows the runner's own state; a stop's states are above it.
func (s *session) enter(state State, reason string) {
	s.watchdog.reset()
	if s.phase == serving {
		s.machine.to(state, reason)
	}
	if state == Idle || state == Busy {
		s.calm.Reset(calmAfter)
	}
}
