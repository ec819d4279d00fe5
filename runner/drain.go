//go:build linux

package runner

import (
	"context"
	"os"
	"syscall"
	"time"
)

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
		s.setLimits()
		return
	}
	s.phase = draining
	s.deadline.Reset(time.Until(since.Add(s.plan.cancelAt)))
	s.seeWorker()
	switch {
	case s.Ephemeral && s.over:
		s.drained()
	case s.GitHub != nil:
		s.ask()
	case s.work.running():
		s.Log.Info().Dur("drain", s.plan.cancelAt).Msg("stop requested: waiting for the running job")
	default:
		s.interrupt("no job is running")
	}
}

// notComing goes on with a stop that has waited for a job of which only a line told.
func (s *session) notComing() {
	switch {
	case s.phase != draining:
	case s.GitHub != nil:
		s.ask()
	default:
		s.interrupt("no job is running")
	}
}

// drained goes on with a stop that has waited for a job.
func (s *session) drained() {
	switch {
	case s.phase != draining:
	case s.Ephemeral:
		// The listener is about to end, and GitHub removes the runner by itself.
		_, since := s.stop.first()
		s.deadline.Reset(min(endPatience, time.Until(since.Add(s.plan.cancelAt))))
	case s.GitHub != nil:
		s.ask()
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
	// sweepPause is the time between two kills of what runs below the worker.
	sweepPause = 20 * time.Millisecond
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
	s.seeWorker()
	busy := s.work.running()
	switch {
	case s.removed:
		s.interrupt("idle, and taken off GitHub")
	case a.err != nil && !busy:
		s.Log.Warn().Err(a.err).Msg("GitHub did not answer whether a job is on its way: stopping the listener")
		s.interrupt("no job is running")
	case a.err != nil:
		s.Log.Warn().Err(a.err).Msg("GitHub could not be asked: waiting for the running job")
	case busy:
		_, since := s.stop.first()
		s.Log.Info().Str("job", s.job).Dur("drain", time.Until(since.Add(s.plan.cancelAt))).Msg("stop requested: waiting for the running job")
	default:
		s.retry.Reset(askAgain)
	}
}

// phaseIsOver is called when a phase has used up its time.
func (s *session) phaseIsOver() {
	switch s.phase {
	case draining:
		if s.seeWorker(); s.work.running() {
			s.Log.Warn().Str("job", s.job).Dur("drained", s.plan.cancelAt).Stringer("RUNNER_STOP_GRACE", s.StopGrace).
				Msg("the job did not finish in time: cancelling it. Raise RUNNER_STOP_GRACE and the engine's stop timeout above your longest job")
		}
		s.interrupt("the time to drain is over")
	case cancelling:
		s.endSteps()
	default:
		s.kill("the time to cancel is over")
	}
}

// tryAgain repeats what a phase has not achieved yet.
func (s *session) tryAgain() {
	switch s.phase {
	case draining:
		s.ask()
	case cancelling:
		s.signalListener()
	case reporting:
		s.sweepSteps()
	}
}

// interrupt ends the drain: the listener gets its SIGINT, cancels the job if
// there is one and tells GitHub.
func (s *session) interrupt(reason string) {
	if s.phase >= cancelling {
		return
	}
	s.phase = cancelling
	s.setLimits()
	s.Log.Info().Str("reason", reason).Bool("job", s.work.running()).Msg("stopping the listener")
	s.signalListener()
}

// setLimits says until when an interrupted listener may work, by what is known now.
func (s *session) setLimits() {
	s.seeWorker()
	_, since := s.stop.first()
	// Of a job that is over at GitHub nobody has to be told.
	l := s.plan.limits(time.Now(), since, s.work.running() && !s.hung, s.removed || s.hung || s.Ephemeral && s.over)
	s.killBy = l.kill
	if s.phase == cancelling {
		s.deadline.Reset(time.Until(l.steps))
	} else {
		s.deadline.Reset(time.Until(l.kill))
	}
}

// endSteps kills what runs below the worker, and not the worker: it tells GitHub
// then, and the listener ends.
func (s *session) endSteps() {
	if s.seeWorker(); !s.work.running() && !time.Now().Before(s.killBy) {
		s.kill("the time to cancel is over")
		return
	}
	s.phase = reporting
	s.deadline.Reset(time.Until(s.killBy))
	if s.work.running() {
		s.Log.Warn().Str("job", s.job).Msg("the job's steps have not ended in time: killing them, so that GitHub is told")
	}
	s.sweepSteps()
}

// sweepSteps kills what is there, again and again, for some of it may just have
// forked.
func (s *session) sweepSteps() {
	if s.seeWorker(); s.work.running() {
		s.killAll(s.official(s.work.worker).strays(processes(), os.Getpid()))
	}
	s.retry.Reset(sweepPause)
}

// signalListener interrupts the listener. While it updates itself or is only
// being started there is none; then nothing is lost if the tree is killed once
// GitHub has no such runner, and otherwise it is tried again. A worker whose
// listener is gone takes SIGTERM for the same word.
func (s *session) signalListener() {
	switch {
	case s.listener.interrupt():
	case s.work.stage == working:
		_ = syscall.Kill(s.work.worker.pid, syscall.SIGTERM)
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
	s.seeWorker()
	event := s.Log.Warn()
	if s.removed && !s.work.running() {
		event = s.Log.Info() // nothing is lost
	}
	event.Str("reason", reason).Bool("job", s.work.running()).Msg("killing the runner")
	s.phase = killing
	s.killedJob = s.killedJob || s.work.running()
	s.deadline.Stop()
	s.endTree()
}
