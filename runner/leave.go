//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// leaveBudget is how long a life that ends by itself tries to take its runner
	// off GitHub. A stop has what its plan gives.
	leaveBudget = 30 * time.Second
	// busyPause is the time between two tries to delete a runner that GitHub
	// calls busy: it can say so for tens of seconds after the job's end.
	busyPause = time.Second
	// killedTries is how often that is tried when the job was killed.
	killedTries = 3
	// removeTimeout bounds config.sh remove, the only way to deregister with a
	// ready token.
	removeTimeout = 20 * time.Second
)

// leave takes the runner off GitHub, whatever is known of it, and removes what
// its registration left here. It returns the reason it was given, joined with
// ErrUnclean if something had to be left; the next start in this container
// then repairs it.
func (l *Life) leave(reason error) error {
	l.endTree()
	ctx, cancel := l.cleanupContext(leaveBudget)
	defer cancel()

	if !l.machine.is(Starting, Finished) {
		l.machine.to(Deregistering, "")
	}
	var left error
	if l.mayBeRegistered() {
		left = l.deregister(ctx)
	}
	if left == nil {
		l.forget()
		if err := wipeRegistration(l.Home); err != nil {
			l.Log.Warn().Err(err).Msg("what the registration left in the runner's folder cannot be removed")
		}
	}
	signal, _ := l.stop.first()
	if signal != nil && reason == nil {
		reason = stopCause{signal}
	}
	if left != nil {
		return unclean(l.name, left, reason)
	}
	for still, err := range l.deleteLeft(ctx) {
		if signal != nil {
			return unclean(still, err, reason)
		}
	}
	return reason
}

// unclean is the end of a life that leaves a runner at GitHub.
func unclean(name string, left, reason error) error {
	left = fmt.Errorf("%w: runner %q may still be registered: %w: the next start in this container removes it, or remove it in the settings under Actions, Runners", ErrUnclean, name, left)
	if reason == nil {
		return left
	}
	return fmt.Errorf("%w (%w)", left, reason)
}

// mayBeRegistered tells whether GitHub may have a runner of ours. A listener
// that ended its ephemeral life has removed .runner, and GitHub the runner.
func (l *Life) mayBeRegistered() bool { return l.record.Name != "" || l.id != 0 }

// forget is called when GitHub is known to have no runner of ours any more.
func (l *Life) forget() {
	l.identify(l.name, 0)
	l.record.setRunner("", 0)
}

func (l *Life) deregister(ctx context.Context) error {
	if l.id == 0 && !l.jobRan {
		// config.sh has not ended, or not well.
		if registered, err := readSettings(l.Home); err == nil {
			l.identify(l.name, registered.ID)
		}
	}
	if l.GitHub == nil {
		return l.deregisterWithoutAPI(ctx)
	}
	if l.id == 0 {
		return l.deleteByName(ctx, l.record.Name)
	}
	return l.deleteByID(ctx, l.id)
}

// deleteByID deletes until GitHub has answered that the runner is gone. Of one whose
// job was killed GitHub says busy until it gives the job up, after minutes: then a
// few tries are enough.
func (l *Life) deleteByID(ctx context.Context, id int64) error {
	for try := 1; ; try++ {
		busy, err := l.GitHub.DeleteRunner(ctx, id)
		if err != nil {
			return err
		}
		if !busy {
			return nil
		}
		if try == 1 {
			l.Log.Warn().Str("runner", l.name).Msg("the runner is still busy at GitHub: trying to delete it again, not for long")
		}
		if l.killedJob && try == killedTries || sleep(ctx, busyPause) != nil {
			return errStillBusy
		}
	}
}

// deleteByName looks for a runner that was being made when something went
// wrong. The request that makes it may still be on its way to GitHub when the
// first look finds nothing, so there is a second one. No listener of ours has run
// with it: one that is online is another container's.
func (l *Life) deleteByName(ctx context.Context, name string) error {
	for look := range 2 {
		if look > 0 && sleep(ctx, busyPause) != nil {
			return errOnItsWay
		}
		id, state, err := l.GitHub.FindRunner(ctx, name)
		switch {
		case err != nil:
			return err
		case state == Online, state == Working:
			return nil
		case id != 0:
			return l.deleteByID(ctx, id)
		}
	}
	return nil
}

// deregisterWithoutAPI does what can be done with a ready token: config.sh
// remove takes a registration token as well as a remove token.
func (l *Life) deregisterWithoutAPI(ctx context.Context) error {
	if l.Token.IsZero() {
		l.Log.Info().Msg("the ready JIT configuration stays good: the next start with it takes the same runner again; unused, GitHub removes it within a day")
		return nil
	}
	if l.id == 0 {
		return errors.New("without access to the API it cannot be looked up by its name")
	}
	if changed := l.changedByJob(); changed != "" {
		return fmt.Errorf("%s is not as it was before a job ran here, so config.sh gets no token to remove it with", changed)
	}
	timeout := removeTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	_, err := l.runConfig(context.WithoutCancel(ctx), timeout, l.Token, "remove")
	return err
}

// cleanupContext goes on after a stop, for as long as the stop's plan allows, also
// when the stop comes later. Its end always counts as a deadline, so that an error
// names what GitHub has said, and not that we have stopped asking.
func (l *Life) cleanupContext(budget time.Duration) (context.Context, context.CancelFunc) {
	stoppable, giveUp := context.WithCancelCause(context.WithoutCancel(l.ctx))
	ctx, cancel := context.WithDeadline(stoppable, l.notAfterGiveUp(time.Now().Add(budget)))
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-l.stop.drain:
		}
		timer := time.NewTimer(time.Until(l.notAfterGiveUp(time.Now().Add(budget))))
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			giveUp(context.DeadlineExceeded)
		}
	}()
	return ctx, func() { cancel(); giveUp(nil) }
}

// notAfterGiveUp is a time, or when a stop's plan gives up, if that comes before.
func (l *Life) notAfterGiveUp(until time.Time) time.Time {
	if signal, since := l.stop.first(); signal != nil {
		if end := since.Add(planFor(l.StopGrace).giveUp); end.Before(until) {
			return end
		}
	}
	return until
}
