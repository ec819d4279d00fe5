//go:build linux

package runner

import (
	"context"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// phase is how far a session has gone towards its end.
type phase int

const (
	serving    phase = iota
	draining         // the signal is held back from the listener
	cancelling       // the listener has been interrupted
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

	listener listener // asked for before each job can begin: see takeLines
	plan     plan
	phase    phase

	deadline *time.Timer // the end of the phase
	retry    *time.Timer // the next try of what the phase is waiting for
	orphan   *time.Ticker
	calm     *time.Timer // when it is worth giving memory back

	answers chan answer // of DELETE
	asking  bool
	removed bool // GitHub has no such runner any more: no job can come

	watchdog
	evidence
}

// evidence is what the output told about things that run.sh's exit code hides.
type evidence struct {
	started, completed bool
	job, result        string
	updates            bool // the listener updates itself
	conflict           bool
	terminated         bool
	code               string // of the listener, where run.sh said it
}

type answer struct {
	busy bool
	err  error
}

// serve runs run.sh until it has ended and nothing of its tree is left. An
// error means that the runner failed.
func (l *Life) serve(registered Settings) (ending, error) {
	s := &session{
		Life: l, id: registered.ID, lines: newLineQueue(), began: time.Now(), plan: planFor(l.StopGrace),
		deadline: time.NewTimer(0), retry: time.NewTimer(0), orphan: time.NewTicker(time.Hour), calm: time.NewTimer(0),
		answers:  make(chan answer, 1),
		watchdog: newWatchdog(l.Watchdog),
	}
	s.deadline.Stop()
	s.retry.Stop()
	s.orphan.Stop()
	s.calm.Stop()
	defer s.deadline.Stop()
	defer s.retry.Stop()
	defer s.orphan.Stop()
	defer s.calm.Stop()
	defer s.watchdog.quit()

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
	killTree(time.Now().Add(time.Second))
	s.child.finishOutput()
	s.takeLines()
	s.jobOver(Lost)
	end, err := s.verdict()
	if err == nil && !end.stopped {
		err = s.broken
	}
	return end, err
}

func (s *session) loop() {
	exited := s.child.done
	drain, cancel, kill := s.stop.drain, s.stop.cancel, s.stop.kill
	for {
		select {
		case <-s.lines.wake:
			s.takeLines()
		case <-exited:
			// run.sh or its helper may have been killed alone: then the listener goes
			// on, ours by now, and so may its job.
			if s.phase == killing || s.listener.pid() == 0 {
				return
			}
			exited = nil
			s.Log.Warn().Str("run.sh", describe(s.child.status)).Msg("run.sh is gone, its listener goes on: waiting for the listener")
			s.orphan.Reset(100 * time.Millisecond)
		case <-s.orphan.C:
			if s.listener.pid() == 0 {
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
			if s.phase == draining {
				if s.busy {
					s.Log.Warn().Str("job", s.job).Dur("drained", s.plan.cancelAt).Stringer("RUNNER_STOP_GRACE", s.StopGrace).
						Msg("the time to drain is over, and the job is cancelled: what the engine gives, and RUNNER_STOP_GRACE with it, is to be longer than the longest job")
				}
				s.interrupt("the time to drain is over")
			} else {
				s.kill("the time to cancel is over")
			}
		case <-s.retry.C:
			if s.phase == draining {
				s.ask()
			} else {
				s.signalListener()
			}
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

// takeLines brings the state up to what the runner has printed.
func (s *session) takeLines() {
	for _, l := range s.lines.take() {
		switch l.what {
		case versionIs:
			s.listener.pid() // while nothing but the runner has run
			s.view.versionIs(strings.Trim(records.Bounded(l.text), "'"))
		case listening:
			s.listener.pid()
			s.newListener()
			s.endUpdate()
			s.Trouble.Set("")
			s.enter(Idle, "listening for jobs")
		case jobStarted:
			s.endUpdate()   // it has failed, or goes on beside the job
			s.jobOver(Lost) // the one before, of whose end nothing was heard
			s.jobRan, s.started, s.job = true, true, records.Bounded(l.text)
			s.record.succeed()
			s.view.jobStarted(s.job)
			s.jobBegins(s.job)
			s.enter(Busy, "running "+s.job)
		case jobCompleted:
			s.completed, s.result = true, records.Bounded(l.text)
			s.jobOver(s.result)
			if !s.Ephemeral {
				s.enter(Idle, "job completed: "+s.result)
			}
			if s.broken != nil {
				s.interrupt("no job can do its first step here")
			}
			if s.phase == draining && !s.Ephemeral {
				s.ask()
			}
		case connectionLost:
			s.view.connection(false)
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
		case restarting:
			s.newListener()
			s.enter(Connecting, "run.sh starts its listener again")
		case sessionConflict:
			s.conflict = true
		case terminated:
			s.terminated = true
		case unknownCode:
			s.code = l.text
		}
	}
}

// endUpdate notes that the runner's files are as its update has left them.
func (s *session) endUpdate() {
	if s.updates {
		s.updates = false
		s.updated()
	}
}

// newListener is called when run.sh starts another one: what was known of the one
// before has ended with it.
func (s *session) newListener() {
	s.view.connection(true)
	s.jobOver(Lost)
}

// enter follows the runner's own state; a stop's states are above it.
func (s *session) enter(state State, reason string) {
	s.watchdog.reset()
	s.busy = state == Busy
	if s.phase == serving {
		s.machine.to(state, reason)
	}
	if state == Idle || state == Busy {
		s.calm.Reset(calmAfter)
	}
}

// drain begins the stop: GitHub is asked to delete the runner, which it does
// only if no job runs. Until it has answered, the listener is left in peace: a
// job may be on its way.
func (s *session) drain() {
	if s.machine.is(Draining) {
		return
	}
	signal, since := s.stop.first()
	s.machine.to(Draining, stopCause{signal}.Error())
	if s.phase != serving { // the watchdog was about to end it: now with less patience
		s.deadline.Reset(time.Until(since.Add(s.plan.killAt)))
		return
	}
	s.phase = draining
	s.deadline.Reset(time.Until(since.Add(s.plan.cancelAt)))
	switch {
	case s.Ephemeral && s.completed:
		// The listener is about to end, and GitHub removes the runner by itself.
	case s.GitHub != nil:
		s.ask()
	case s.busy:
		s.Log.Info().Dur("drain", s.plan.cancelAt).Msg("running a job: it may finish")
	default:
		s.interrupt("no job is running")
	}
}

const (
	// askBudget bounds the question to GitHub; when GitHub cannot be reached, no
	// job can come from there either.
	askBudget = 30 * time.Second
	// askAgain is the time until the next question when GitHub says busy and
	// the listener has no job: one is on its way, or one has just ended.
	askAgain = time.Second
)

// ask deletes the runner beside the loop; the answer comes to answered.
func (s *session) ask() {
	if s.asking || s.removed || s.phase != draining {
		return
	}
	s.asking = true
	_, since := s.stop.first()
	until := since.Add(s.plan.cancelAt)
	if latest := time.Now().Add(askBudget); latest.Before(until) {
		until = latest
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(s.ctx), until)
	go func() {
		defer cancel()
		busy, err := s.GitHub.DeleteRunner(ctx, s.id)
		s.answers <- answer{busy, err}
	}()
}

func (s *session) answered(a answer) {
	s.asking = false
	if a.err == nil && !a.busy {
		s.removed = true
		s.forget()
	}
	if s.phase != draining {
		return
	}
	switch {
	case s.removed:
		s.interrupt("idle, and taken off GitHub")
	case a.err != nil && !s.busy:
		s.Log.Warn().Err(a.err).Msg("GitHub could not be asked whether a job is on its way")
		s.interrupt("no job is running")
	case a.err != nil:
		s.Log.Warn().Err(a.err).Msg("GitHub could not be asked: the job may finish")
	case s.busy:
		_, since := s.stop.first()
		s.Log.Info().Str("job", s.job).Dur("drain", time.Until(since.Add(s.plan.cancelAt))).Msg("running a job: it may finish")
	default:
		s.retry.Reset(askAgain)
	}
}

// interrupt ends the drain: the listener gets its SIGINT, cancels the job if
// there is one and tells GitHub.
func (s *session) interrupt(reason string) {
	if s.phase >= cancelling {
		return
	}
	s.phase = cancelling
	patience := interruptTimeout
	if signal, since := s.stop.first(); signal != nil {
		patience = time.Until(since.Add(s.plan.killAt))
	}
	if s.removed {
		patience = min(patience, removedPatience)
	}
	s.deadline.Reset(patience)
	s.Log.Info().Str("reason", reason).Bool("job", s.busy).Msg("interrupting the listener")
	s.signalListener()
}

// interruptTimeout is how long a listener may take to end when no stop presses:
// its session's deletion takes up to 30 s when GitHub does not answer, a
// step's end 10 s.
const interruptTimeout = 45 * time.Second

// removedPatience is the same for a listener whose runner is off GitHub: it has
// nothing to finish and nobody to tell.
const removedPatience = 2 * time.Second

// signalListener interrupts the listener. While it updates itself or is only
// being started there is none; then nothing is lost if the tree is killed once
// GitHub has no such runner, and otherwise it is tried again.
func (s *session) signalListener() {
	switch {
	case s.phase != cancelling || s.listener.interrupt():
	case s.removed:
		s.kill("there is no listener yet")
	default:
		s.retry.Reset(50 * time.Millisecond)
	}
}

// kill ends the whole tree now.
func (s *session) kill(reason string) {
	if s.phase == killing {
		return
	}
	s.Log.Warn().Str("reason", reason).Bool("job", s.busy).Msg("killing the runner")
	s.phase = killing
	s.deadline.Stop()
	killTree(time.Now().Add(time.Second))
}
