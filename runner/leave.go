//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
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
	if signal, _ := l.stop.first(); signal != nil && reason == nil {
		reason = stopCause{signal}
	}
	if left != nil {
		left = fmt.Errorf("%w: runner %q may still be registered: %w: the next start in this container removes it, or remove it in the settings under Actions, Runners", ErrUnclean, l.name, left)
		if reason == nil {
			return left
		}
		return fmt.Errorf("%w (%w)", left, reason)
	}
	return reason
}

// mayBeRegistered tells whether GitHub may have a runner of ours. A listener
// that ended its ephemeral life has removed .runner, and GitHub the runner.
func (l *Life) mayBeRegistered() bool { return l.record.Name != "" || l.id != 0 }

// forget is called when GitHub is known to have no runner of ours any more.
func (l *Life) forget() {
	l.identify(l.name, 0)
	l.record.setName("")
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
		if l.killedJob && try == killedTries || sleep(ctx, busyPause) != nil {
			return errStillBusy
		}
	}
}

// deleteByName looks for a runner that was being made when something went
// wrong. The request that makes it may still be on its way to GitHub when the
// first look finds nothing, so there is a second one.
func (l *Life) deleteByName(ctx context.Context, name string) error {
	for look := range 2 {
		if look > 0 && sleep(ctx, busyPause) != nil {
			return errOnItsWay
		}
		id, err := l.GitHub.FindRunner(ctx, name)
		if err != nil {
			return err
		}
		if id != 0 {
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

// repair takes off GitHub what a killed life has left there, before anything
// new is registered. Normally there is nothing, and nothing is asked.
func (l *Life) repair() error {
	old := l.leftover()
	if len(old) == 0 {
		return l.wipe()
	}
	l.Log.Warn().Strs("runner", old).Msg("an earlier life in this container did not end cleanly: removing its runner first")
	killLeftovers(l.Home)
	if l.GitHub != nil {
		ctx, cancel := context.WithTimeout(l.ctx, l.RegisterTimeout)
		defer cancel()
		for _, name := range old {
			err := l.deleteByName(ctx, name)
			switch {
			case l.ctx.Err() != nil:
				return context.Cause(l.ctx)
			case errors.Is(err, errStillBusy) && name == l.name:
				l.takeAnotherName()
			case err != nil && !errors.Is(err, errStillBusy):
				return err
			}
		}
	}
	l.forget()
	return l.wipe()
}

// wipe makes room for a new registration.
func (l *Life) wipe() error {
	if err := wipeRegistration(l.Home); err != nil {
		return fmt.Errorf("%w: %s cannot be cleaned of an earlier registration: %w: recreate the container", ErrConfiguration, l.Home, err)
	}
	return nil
}

// leftover returns the names of the runners that an earlier life in this folder may
// have left at GitHub. Jobs can write to both places that tell them, so it is the
// name that counts, never the id, and only one of this fleet's.
func (l *Life) leftover() (names []string) {
	var consider func(name string)
	consider = func(name string) {
		switch {
		case !l.isOfFleet(name):
			l.Log.Warn().Str("runner", records.Bounded(name)).Msg("what an earlier life left names a runner that is none of ours: it is left alone")
			consider(l.name)
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	if l.record.Name != "" {
		consider(l.record.Name)
	}
	settings, err := readSettings(l.Home)
	switch {
	case err == nil && settings.Name != "":
		consider(settings.Name)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		// Torn by the kill: the record has the name, and ours is the same unless
		// it is random.
		l.Log.Warn().Err(err).Msg("the registration that an earlier life left is damaged")
		if l.record.Name == "" {
			consider(l.name)
		}
	}
	return names
}

// longestRunnerName is GitHub's bound, in characters.
const longestRunnerName = 64

// isOfFleet tells whether a life of this container may have had a name: its
// hostname may have been another one, if its folder is on a volume.
func (l *Life) isOfFleet(name string) bool {
	base := l.Base[:min(len(l.Base), longestRunnerName-len("-0000"))]
	return name == l.name || base != "" && strings.HasPrefix(name, base+"-")
}

// takeAnotherName is for a runner that GitHub keeps busy although nothing of it
// lives: to replace it would break its job's last words, to wait might take
// hours.
func (l *Life) takeAnotherName() {
	suffix := fmt.Sprintf("-%04x", rand.N(1<<16))
	old, name := l.name, l.Name[:min(len(l.Name), longestRunnerName-len(suffix))]+suffix
	l.Log.Warn().Str("old", old).Str("new", name).Msg("GitHub still calls the old runner busy: taking another name; GitHub removes the old one when it gives its job up")
	l.identify(name, 0)
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
