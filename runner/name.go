//go:build linux

package runner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	// nameLooks is how many sightings in a row must find a runner of our name in the
	// same state before it counts as dead (offline) or, where no other name may be
	// taken, as alive. Another container that has just registered is offline until
	// its listener is up, for some seconds; one that is being replaced goes within
	// some seconds too.
	nameLooks = 3
	// nameAgain is the time between two of them. It is less where registering may
	// take only seconds.
	nameAgain = 5 * time.Second
)

// clearName is called when GitHub has a runner of our name that this life has not
// made for sure. One that is offline has been left by a dead container of the same
// name, and is deleted. One that is alive is never touched: this one takes another
// name.
func (l *Life) clearName(ctx context.Context) error {
	if l.GitHub == nil {
		return l.giveWay("and this container cannot ask GitHub whether it is alive")
	}
	defer l.waits.Set("")
	var last int64
	var lastAlive bool
	for look := 1; ; look++ {
		id, state, err := l.GitHub.FindRunner(ctx, l.name)
		if err != nil || id == 0 {
			return err
		}
		alive := state == Online || state == Working
		if look == 1 {
			l.Log.Warn().Str("runner", l.name).Str("at GitHub", state).Msg("a runner of this name is registered already, and it is not this container's")
		} else if id != last || alive != lastAlive {
			look = 1
		}
		last, lastAlive = id, alive
		if alive && (!l.Fixed || look == nameLooks) {
			return l.giveWay("and it is " + state)
		}
		if look == nameLooks {
			busy, err := l.GitHub.DeleteRunner(ctx, id)
			if busy {
				return l.giveWay("and it is running a job")
			}
			return err
		}
		l.waits.Set(fmt.Sprintf("a runner %s is %s at GitHub: seeing whether it stays so", l.name, state))
		if err := sleep(ctx, min(nameAgain, l.RegisterTimeout/8)); err != nil {
			return err
		}
	}
}

// giveWay leaves our name to the other runner.
func (l *Life) giveWay(why string) error {
	if l.Fixed {
		return fmt.Errorf("%w: a runner named %s is registered at GitHub already, %s: set RUNNER_NAME_SUFFIX to hostname or random, or give each container a RUNNER_NAME of its own", ErrConfiguration, l.name, why)
	}
	old := l.takeAnotherName()
	l.Log.Warn().Str("old", old).Str("new", l.name).
		Msgf("another container has a runner named %s, %s: registering as %s. Set RUNNER_NAME_SUFFIX=random, or give each container a hostname of its own", old, why, l.name)
	l.record.Instead = l.name
	l.record.save()
	return nil
}

// leaveBusy takes another name because GitHub keeps our old runner busy although
// nothing of it lives: to wait might take hours.
func (l *Life) leaveBusy() {
	old := l.takeAnotherName()
	l.Log.Warn().Str("old", old).Str("new", l.name).
		Msgf("runner %s is still busy at GitHub: registering as %s. GitHub removes the old one when its job ends", old, l.name)
}

func (l *Life) takeAnotherName() (old string) {
	old = l.name
	suffix := fmt.Sprintf("-%04x", rand.N(1<<16))
	l.identify(l.Name[:min(len(l.Name), longestRunnerName-len(suffix))]+suffix, 0)
	return old
}

// keepOtherName goes on with the name that an earlier life in this container has
// taken in place of its own: the other container most likely still has that.
func (l *Life) keepOtherName() {
	const suffix = len("-0000")
	name := l.record.Instead
	if l.Fixed || l.name != l.Name || len(name) <= suffix || len(name) > longestRunnerName ||
		!strings.HasPrefix(l.Name, name[:len(name)-suffix]) || len(name) != min(len(l.Name), longestRunnerName-suffix)+suffix {
		return
	}
	l.identify(name, 0)
}
