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
//	0 ......... cancelAt ....... killAt ........ giveUp ...... grace
//	  drain      cancel           deregister      margin
//
// The parts, as shares of the grace with a ceiling each:
//
//	margin      1/20, at most 1 s   our own exit, and the engine's clock
//	deregister  1/8,  at most 10 s  DELETE of the runner, retried
//	cancel      3/10, at most 15 s  the step's SIGINT, 7.5 s later its SIGTERM,
//	                                2.5 s later its end; then GitHub is told
//	drain       the rest            the job may finish
//
// For docker stop's 10 s: drain 5.25 s, cancel 3 s, deregister 1.25 s, margin
// 0.5 s. The kill itself takes no time that could be planned.
type plan struct{ cancelAt, killAt, giveUp time.Duration }

func planFor(grace time.Duration) plan {
	giveUp := grace - min(grace/20, time.Second)
	killAt := giveUp - min(grace/8, 10*time.Second)
	return plan{
		cancelAt: killAt - min(grace*3/10, 15*time.Second),
		killAt:   killAt,
		giveUp:   giveUp,
	}
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
