//go:build linux

package runner

import (
	"context"
	"os"
	"sync"
	"time"
)

// plan is how a stop spends the time that the engine gives between SIGTERM and
// SIGKILL (RUNNER_STOP_GRACE). Its fields are times after the signal.
//
//	0 ........ cancelAt ........ stepsAt ....... killAt ........ giveUp ..... grace
//	  drain     cancel            report          deregister      margin
//
// The parts, from the end:
//
//	margin      1/20, at most 1 s   our own exit, and the engine's clock
//	deregister  1/10, at most 10 s  DELETE of the runner, retried
//	report      2/5,  at most 2 s   what runs below the worker is killed; the worker
//	                                tells GitHub 0.4 to 0.6 s later, the listener ends
//	cancel      10 s                the listener is interrupted: the worker sends the
//	                                step's shell SIGINT, 7.5 s later SIGTERM, 2.5 s
//	                                later SIGKILL. Below 16 s there is no room for
//	                                that beside a job that may finish: 1/8
//	drain       the rest            the job may finish
//
// A shell waits for its child and does not act on SIGINT, and whoever of its
// children holds the output costs the worker 5 s more: 13.6 s until it tells GitHub.
// So the report does not wait for the steps, it ends them.
//
// For docker stop's 10 s: drain 5.25 s, cancel 1.25 s, report 2 s, deregister 1 s,
// margin 0.5 s. For 16 s: 1.6, 10, 2, 1.6, 0.8. For 60 s: 41, 10, 2, 6, 1. The kill
// itself takes no time that could be planned.
type plan struct{ cancelAt, stepsAt, killAt, giveUp time.Duration }

const (
	// escalation is what the official worker takes from a step's SIGINT to its
	// SIGKILL.
	escalation = 10 * time.Second
	// roomForEscalation is the shortest grace that has all of it.
	roomForEscalation = 16 * time.Second
	// reportTime is what worker and listener need at most, once nothing runs below
	// the worker, to tell GitHub and to end.
	reportTime = 2 * time.Second
)

func planFor(grace time.Duration) plan {
	giveUp := grace - min(grace/20, time.Second)
	killAt := giveUp - min(grace/10, 10*time.Second)
	stepsAt := killAt - min(grace*2/5, reportTime)
	cancel := escalation
	if grace < roomForEscalation {
		cancel = grace / 8
	}
	return plan{cancelAt: stepsAt - cancel, stepsAt: stepsAt, killAt: killAt, giveUp: giveUp}
}

const (
	// interruptTimeout is how long a listener may take to end when no stop presses:
	// its session's deletion takes up to 30 s when GitHub does not answer, a
	// step's end 10 s.
	interruptTimeout = 45 * time.Second
	// endPatience is the same for a listener that has nothing to finish and nobody
	// to tell: its runner is off GitHub, or its one job is over.
	endPatience = 2 * time.Second
)

// limits are until when an interrupted listener may work: steps, when what runs
// below its worker is killed, and kill, when all of it is.
type limits struct{ steps, kill time.Time }

// limits of an interrupt at a time. since is when a stop began; zero: none has.
// free: the listener has nobody to tell but a job's worker.
func (p plan) limits(now, since time.Time, working, free bool) limits {
	l := limits{kill: now.Add(interruptTimeout)}
	l.steps = l.kill.Add(-reportTime)
	if !since.IsZero() {
		l = limits{steps: since.Add(p.stepsAt), kill: since.Add(p.killAt)}
	}
	if working {
		return l
	}
	if soon := now.Add(endPatience); free && soon.Before(l.kill) {
		l.kill = soon
	}
	l.steps = l.kill
	return l
}

// stopper turns signals into the three steps of a stop: the first drains, the
// second cancels the job, the third kills it.
type stopper struct {
	drain, cancel, kill chan struct{} // closed when their signal has come

	mu     sync.Mutex
	signal os.Signal
	since  time.Time
}

// watchSignals starts a stopper that lives until its context ends; the context
// that it returns is cancelled by the first signal, with a cause that says so.
func watchSignals(ctx context.Context, signals <-chan os.Signal) (*stopper, context.Context) {
	s := &stopper{drain: make(chan struct{}), cancel: make(chan struct{}), kill: make(chan struct{})}
	stoppable, cancel := context.WithCancelCause(ctx)
	go func() {
		defer cancel(nil)
		for _, step := range []chan struct{}{s.drain, s.cancel, s.kill} {
			select {
			case <-ctx.Done():
				return
			case signal := <-signals:
				s.mu.Lock()
				if s.signal == nil {
					s.signal, s.since = signal, time.Now()
				}
				s.mu.Unlock()
				close(step)
				cancel(stopCause{signal})
			}
		}
		<-ctx.Done()
	}()
	return s, stoppable
}

// first returns the signal that began the stop and when; nil before it.
func (s *stopper) first() (os.Signal, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signal, s.since
}

// passed is how far a stop is in its plan: by its time, or by its second and third
// signal.
func (s *stopper) passed(p plan, since time.Duration) time.Duration {
	for _, step := range []struct {
		signal chan struct{}
		at     time.Duration
	}{{s.cancel, p.cancelAt}, {s.kill, p.killAt}} {
		select {
		case <-step.signal:
			since = max(since, step.at)
		default:
		}
	}
	return since
}
