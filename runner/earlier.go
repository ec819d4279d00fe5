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
	past bool    // it has been waited for already
}

// owns tells whether the runner that GitHub has under the name is that one. An
// earlier life that never learned its runner's id had no listener with it, so one
// that is online is another container's.
func (e earlier) owns(id int64, state string) bool {
	if len(e.ids) > 0 {
		return slices.Contains(e.ids, id)
	}
	return state != Online && state != Working
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
	for _, old := range left {
		if old.past {
			continue
		}
		busy, err := l.awaitDeleted(ctx, old)
		switch {
		case l.ctx.Err() != nil:
			return context.Cause(l.ctx)
		case err != nil:
			return err
		case busy:
			l.keepLeft(old)
		}
	}
	if _, err := l.deleteLeft(ctx); err != nil {
		l.Log.Debug().Err(err).Msg("an earlier life's runner is still at GitHub")
	}
	if _, still := l.record.Left[l.name]; still {
		l.leaveBusy()
	}
	return nil
}

// keepLeft notes a runner that GitHub goes on to call busy, for a later start or stop.
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

// deleteLeft tries those once, and returns the name of one that is still there.
func (l *Life) deleteLeft(ctx context.Context) (still string, err error) {
	for name, id := range l.record.Left {
		old := earlier{name: name, past: true}
		if id != 0 {
			old.ids = []int64{id}
		}
		busy, problem := false, error(nil)
		if l.GitHub != nil && l.isOfFleet(name) {
			busy, problem = l.deleteOne(ctx, old)
		}
		if busy {
			problem = errStillBusy
		}
		if problem != nil {
			still, err = name, problem
			continue
		}
		delete(l.record.Left, name)
		l.record.save()
	}
	return still, err
}

// awaitDeleted deletes a runner of an earlier life; busy: it is still running a job
// at the end of ctx. It asks after 1 s, and then less and less.
func (l *Life) awaitDeleted(ctx context.Context, old earlier) (busy bool, err error) {
	began, told := time.Now(), time.Time{}
	for pause := busyPause; ; pause = min(2*pause, mostBusyPause) {
		if busy, err = l.deleteOne(ctx, old); err != nil || !busy {
			return false, err
		}
		most := time.Until(began.Add(l.RegisterTimeout)).Round(time.Second)
		l.waits.Set(fmt.Sprintf("runner %s is still busy at GitHub with a job of the last run: waiting up to %s until GitHub gives that job up", old.name, most))
		if time.Since(told) >= time.Minute {
			told = time.Now()
			l.Log.Warn().Str("runner", old.name).Dur("waited", time.Since(began).Round(time.Second)).Dur("most", most).
				Msg("the runner is still busy at GitHub with a job of the last run: waiting until GitHub gives that job up")
		}
		if sleep(ctx, pause) != nil {
			return true, nil
		}
	}
}

// mostBusyPause is the longest time between two tries.
const mostBusyPause = 15 * time.Second

// deleteOne looks for an earlier life's runner by its name, and deletes what is its own.
func (l *Life) deleteOne(ctx context.Context, old earlier) (busy bool, err error) {
	id, state, err := l.GitHub.FindRunner(ctx, old.name)
	if err != nil || id == 0 {
		return false, err
	}
	if !old.owns(id, state) {
		l.Log.Info().Str("runner", old.name).Msg("the runner of this name belongs to another container: not deleting it")
		return false, nil
	}
	return l.GitHub.DeleteRunner(ctx, id)
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
		busy, err := false, errors.New("without access to the API it cannot be deleted before it is registered again")
		if l.GitHub != nil {
			busy, err = l.deleteOne(ctx, old)
		}
		if busy {
			err = errStillBusy
		}
		if err != nil {
			return unclean(old.name, err, reason)
		}
	}
	l.forget()
	if err := wipeRegistration(l.Home); err != nil {
		l.Log.Warn().Err(err).Msg("what the registration left in the runner's folder cannot be removed")
	}
	if still, err := l.deleteLeft(ctx); err != nil {
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
			at, left = len(left), append(left, earlier{name: name})
		}
		if id != 0 {
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
