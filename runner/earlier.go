//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// earlier is a runner that an earlier life in this folder may have left at GitHub.
type earlier struct {
	name string
	ids  []int64 // what is known of its id; none: it was being made
	here bool    // we have noted it here, since this machine was booted
	past bool    // it has been waited for already
}

// knows tells whether the runner that GitHub has under the name may be that one.
func (e earlier) knows(id int64) bool { return len(e.ids) == 0 || slices.Contains(e.ids, id) }

// owns tells whether it is, dead as that one must be. GitHub can call it online for
// a while after its death; but an earlier life that never learned its runner's id had
// no listener with it, and a folder that was copied may be another machine's.
func (e earlier) owns(id int64, state string) bool {
	alive := state == Online || state == Working
	return e.knows(id) && (!alive || e.here && len(e.ids) > 0)
}

// repair takes off GitHub what a killed life has left there, before anything
// new is registered. Normally there is nothing, and nothing is asked.
func (l *Life) repair() error {
	left := l.leftover()
	if len(left) == 0 {
		return l.wipe()
	}
	for _, old := range left {
		if !old.past {
			l.Log.Warn().Str("runner", old.name).Msg("the last run did not stop cleanly: deleting its runner first")
		}
	}
	killLeftovers(l.Home)
	if l.GitHub == nil {
		l.replaces = slices.ContainsFunc(left, func(old earlier) bool { return old.name == l.name })
	} else if err := l.deleteEarlier(left); err != nil {
		return err
	}
	l.forget()
	return l.wipe()
}

// deleteEarlier waits for those that GitHub calls busy, for as long as registering
// may take: GitHub gives the job of a dead runner up after some minutes.
func (l *Life) deleteEarlier(left []earlier) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.RegisterTimeout)
	defer cancel()
	defer l.waits.Set("")
	if stays := l.deleteLeft(ctx); errors.Is(stays[l.name], errStillBusy) {
		l.leaveBusy()
	}
	for _, old := range left {
		if old.past {
			continue
		}
		found, err := l.awaitDeleted(ctx, old)
		switch {
		case l.ctx.Err() != nil:
			return context.Cause(l.ctx)
		case err != nil:
			return err
		case found == isGone:
			continue
		}
		l.keepLeft(old)
		switch {
		case old.name != l.name:
		case found == isBusy:
			l.leaveBusy()
		default:
			if err := l.giveWay("and it is online"); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepLeft notes a runner that stays at GitHub, for a later start or stop.
func (l *Life) keepLeft(old earlier) {
	if l.record.Left == nil {
		l.record.Left = map[string]int64{}
	}
	l.record.Left[old.name] = 0
	if len(old.ids) > 0 {
		l.record.Left[old.name] = old.ids[0]
	}
	l.record.save()
}

// deleteLeft tries those once, and returns why which of them stay. One that is alive
// is not ours to delete.
func (l *Life) deleteLeft(ctx context.Context) (stays map[string]error) {
	ctx, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	stays = map[string]error{}
	for name, id := range l.record.Left {
		old := earlier{name: name, past: true}
		if id != 0 {
			old.ids = []int64{id}
		}
		found, err := isGone, error(nil)
		if l.GitHub != nil && l.isOfFleet(name) {
			found, err = l.deleteOne(ctx, old)
		}
		switch {
		case err != nil:
			stays[name] = err
		case found == isBusy, found == isAlive && slices.Contains(l.owed, name):
			stays[name] = errStillBusy
		case found == isGone:
			delete(l.record.Left, name)
			l.record.save()
		}
	}
	return stays
}

// awaitDeleted deletes a runner of an earlier life. It stays if it is still running a
// job at the end of ctx, or is alive and so may be another machine's, of which this
// one is a clone. It asks after 1 s, and then less and less.
func (l *Life) awaitDeleted(ctx context.Context, old earlier) (fate, error) {
	began, told := time.Now(), time.Time{}
	alive := 0
	for pause := busyPause; ; pause = min(2*pause, mostBusyPause) {
		found, err := l.deleteOne(ctx, old)
		switch {
		case err != nil || found == isGone:
			return isGone, err
		case found == isAlive:
			if alive++; alive == nameLooks {
				l.Log.Warn().Str("runner", old.name).Msg("the saved runner is online at GitHub, and nothing of it runs here: this folder is a copy of another machine's. Not deleting that one's runner")
				return isAlive, nil
			}
			pause = min(nameAgain, l.RegisterTimeout/8)
			l.waits.Set(fmt.Sprintf("runner %s of the last run is online at GitHub: seeing whether it stays so", old.name))
		default:
			most := time.Until(began.Add(l.RegisterTimeout)).Round(time.Second)
			l.waits.Set(fmt.Sprintf("runner %s is still busy at GitHub with a job of the last run: waiting up to %s until GitHub gives that job up", old.name, most))
			if time.Since(told) >= time.Minute {
				told = time.Now()
				l.Log.Warn().Str("runner", old.name).Dur("waited", time.Since(began).Round(time.Second)).Dur("most", most).
					Msg("the runner is still busy at GitHub with a job of the last run: waiting until GitHub gives that job up")
			}
		}
		if sleep(ctx, pause) != nil {
			return found, nil
		}
	}
}

// mostBusyPause is the longest time between two tries.
const mostBusyPause = 15 * time.Second

// What came of an earlier life's runner.
type fate int

const (
	isGone  fate = iota // deleted, or it was not there any more
	isBusy              // GitHub says that it runs a job
	isAlive             // it is online: it may be another container's
)

// deleteOne looks for an earlier life's runner by its name, and deletes what is its own.
func (l *Life) deleteOne(ctx context.Context, old earlier) (fate, error) {
	id, state, err := l.GitHub.FindRunner(ctx, old.name)
	switch {
	case err != nil || id == 0:
		return isGone, err
	case !old.owns(id, state) && len(old.ids) > 0 && old.knows(id):
		return isAlive, nil
	case !old.owns(id, state):
		l.Log.Info().Str("runner", old.name).Msg("the runner of this name belongs to another container: not deleting it")
		return isGone, nil
	}
	busy, err := l.GitHub.DeleteRunner(ctx, id)
	if busy {
		return isBusy, err
	}
	return isGone, err
}

// stopEarly is the end of a life that was stopped before it had registered
// anything. What an earlier life has left is tried once more.
func (l *Life) stopEarly(reason error) error {
	if signal, _ := l.stop.first(); signal == nil {
		return reason
	}
	if l.Refused != nil {
		if l.record.Name == "" {
			return reason
		}
		return unclean(l.record.Name, errors.New("it cannot be deleted without a good configuration"), reason)
	}
	left := l.leftover()
	if len(left) == 0 || l.GitHub == nil && l.Token.IsZero() {
		return reason
	}
	ctx, cancel := l.cleanupContext(leaveBudget)
	defer cancel()
	for _, old := range left {
		if old.past {
			continue
		}
		found, err := isGone, errors.New("without access to the API it cannot be deleted before it is registered again")
		if l.GitHub != nil {
			found, err = l.deleteOne(ctx, old)
		}
		switch {
		case err != nil:
		case found == isBusy:
			err = errStillBusy
		case found == isAlive:
			l.keepLeft(old)
			err = errors.New("GitHub calls it online")
		}
		if err != nil {
			return unclean(old.name, err, reason)
		}
	}
	l.forget()
	if err := wipeRegistration(l.Home); err != nil {
		l.Log.Warn().Err(err).Msg("what the registration left in the runner's folder cannot be removed")
	}
	for still, err := range l.deleteLeft(ctx) {
		return unclean(still, err, reason)
	}
	return reason
}

// wipe makes room for a new registration.
func (l *Life) wipe() error {
	if err := wipeRegistration(l.Home); err != nil {
		return fmt.Errorf("%w: %s cannot be cleaned of an earlier registration: %w: recreate the container", ErrConfiguration, l.Home, err)
	}
	return nil
}

// leftover returns the runners that an earlier life in this folder may have left
// at GitHub. Jobs can write to both places that tell them, so only those with a
// name of this fleet count, and no id without its name.
func (l *Life) leftover() (left []earlier) {
	var consider func(name string, id int64)
	consider = func(name string, id int64) {
		if !l.isOfFleet(name) {
			l.Log.Warn().Str("runner", records.Bounded(name)).Msg("the saved runner name does not belong to this fleet: not deleting it")
			consider(l.name, 0)
			return
		}
		at := slices.IndexFunc(left, func(e earlier) bool { return e.name == name })
		if at < 0 {
			at, left = len(left), append(left, earlier{name: name, here: name == l.record.Name && l.record.isOurs()})
		}
		if id != 0 && !(left[at].here && len(left[at].ids) > 0) { // what we have noted needs no other word
			left[at].ids = append(left[at].ids, id)
		}
	}
	if l.record.Name != "" {
		consider(l.record.Name, l.record.ID)
	}
	settings, err := readSettings(l.Home)
	switch {
	case err == nil && settings.Name != "":
		consider(settings.Name, settings.ID)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		// Torn by the kill: the record has the name, and ours is the same unless
		// it is random.
		l.Log.Warn().Err(err).Msg("the registration that an earlier life left is damaged")
		if l.record.Name == "" {
			consider(l.name, 0)
		}
	}
	for name := range l.record.Left {
		left = append(left, earlier{name: name, past: true})
	}
	return left
}

// longestRunnerName is GitHub's bound, in characters.
const longestRunnerName = 64

// isOfFleet tells whether a life of this container may have had a name: its
// hostname may have been another one, if its folder is on a volume.
func (l *Life) isOfFleet(name string) bool {
	base := l.Base[:min(len(l.Base), longestRunnerName-len("-0000"))]
	return name == l.name || name == l.Name || base != "" && strings.HasPrefix(name, base+"-")
}
