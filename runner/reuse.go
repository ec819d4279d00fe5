//go:build linux

package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/virtuoso902/org-runner/runner/reset"
)

// sharedPlaces can be written by every user of a container.
var sharedPlaces = []string{"/tmp", "/var/tmp", "/dev/shm"}

// ourPlaces are the folders that the image has for volumes, and its user can write.
var ourPlaces = []string{"/var/lib/org-runner", "/var/lib/org-runner/records"}

const startNew = "start a new container (docker compose up -d --force-recreate)"

// readyForReuse makes sure that a job finds nothing of an earlier one: under a
// restart policy the same container comes back with all that was written in it,
// and a volume comes back in a new one.
func (l *Life) readyForReuse() error {
	var kind whose
	l.note, kind = l.readNote()
	l.used, l.looked = l.around.Before || kind != nobodys, true
	if !l.around.Inside {
		return l.reuseOutside()
	}
	old := released == kind && !l.around.Before // once: in a new container
	if kind != ours && !old {
		l.note = note{}
	}
	l.fromReleased = old
	set, err := reset.Take(l.places(old), l.around)
	if errors.Is(err, reset.ErrInUse) {
		return fmt.Errorf("%w: %w: give each container a RUNNER_HOME and a RUNNER_WORKDIR of its own", ErrConfiguration, err)
	}
	if err != nil {
		return fmt.Errorf("%w: what earlier jobs left cannot be looked at: %w: %s", ErrConfiguration, err, startNew)
	}
	l.kept = set
	l.used = l.used || set.Used()
	if l.OnReuse == Refuse {
		if err := l.refuse(set.Stays()); err != nil {
			return err
		}
	}
	if set.Work != filepath.Clean(absolute(l.Home, l.WorkDir)) {
		l.WorkDir = set.Work
		l.Log.Info().Str("folder", l.WorkDir).Msg("another runner uses the work folder: this one has a folder of its own below it")
	}
	if l.used {
		if err := l.resetPlaces(set); err != nil {
			return err
		}
	}
	if err := l.keepMarks(set); err != nil {
		return err
	}
	for _, why := range set.Stays() {
		l.Log.Warn().Msg(why + ": to have it reset, stop the runners, empty it, and start a new container")
	}
	return nil
}

// Survey looks at what a life of these options would reset and what not, and
// changes nothing. nil: not in a container of org-runner's image.
func Survey(o Options) (*reset.Set, error) {
	l := &Life{Options: o, around: reset.Around(o.StateDir)}
	if !l.around.Inside {
		return nil, nil
	}
	var err error
	if l.account, err = accountFor(l.User); err != nil {
		return nil, err
	}
	note, kind := l.readNote()
	if l.note = note; kind != ours && kind != released {
		l.note.First = time.Time{}
	}
	return reset.Survey(l.places(kind == released && !l.around.Before), l.around)
}

// places tells the reset what is where.
func (l *Life) places(old bool) reset.Options {
	o := reset.Options{
		Home: filepath.Clean(l.Home), Work: filepath.Clean(absolute(l.Home, l.WorkDir)), Shared: sharedPlaces, Own: ourPlaces, State: l.StateDir,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		Notes: append([]string{noteFile, noteFile + ".new"}, registrationFiles...), // the registration is repair's
		Part:  isInstalled, Outdated: outdated(l.Home), Noted: l.note.First, Updated: l.note.Updated,
		Slots: l.JITConfig.IsZero(),
	}
	if l.account != nil {
		o.UID, o.GID = l.account.uid, l.account.gid
	}
	if l.note.Updating {
		o.Updated = time.Now()
	}
	if old {
		o.Old = l.note.First
	}
	return o
}

// refuse says why a job would not be the first one here.
func (l *Life) refuse(stays []string) error {
	if l.used {
		return fmt.Errorf("%w: this container, or a volume of it, has run before, and RUNNER_ON_REUSE is refuse: %s, docker run --rm, new volumes), or set RUNNER_ON_REUSE=reset", ErrConfiguration, strings.TrimSuffix(startNew, ")"))
	}
	if len(stays) > 0 {
		return fmt.Errorf("%w: RUNNER_ON_REUSE is refuse, and %s: do not mount it, or set RUNNER_ON_REUSE=reset", ErrConfiguration, stays[0])
	}
	return nil
}

// reuseOutside is for who runs us on a machine of his own, or in a container that
// is not org-runner's: there nothing is deleted.
func (l *Life) reuseOutside() error {
	if l.OnReuse == Refuse {
		if err := l.refuse(nil); err != nil {
			return err
		}
	}
	if l.used {
		l.Log.Warn().Msg("not in a container of org-runner's image: what earlier jobs left stays")
	}
	if l.note.First.IsZero() {
		l.note.First = l.began
	}
	if err := l.keepNote(); err != nil {
		l.Log.Warn().Err(err).Msg("cannot note that a runner has been here: RUNNER_ON_REUSE=refuse will not know it")
	}
	return nil
}

// resetPlaces removes what earlier jobs wrote, if the runner's own files are as they
// should be.
func (l *Life) resetPlaces(set *reset.Set) error {
	began := time.Now()
	intact := set.Intact()
	if at := set.Updated; at.After(intact) {
		intact = at
	}
	if !intact.IsZero() {
		if changed := changedPart(l.Home, intact); changed != "" {
			return fmt.Errorf("%w: a job has changed %s, a part of the runner itself%s: %s", ErrConfiguration, changed, l.orUpdate(intact), startNew)
		}
	}
	free := freeSpace(l.Home)
	removed, err := set.Reset(l.used)
	if err != nil {
		return fmt.Errorf("%w: this container cannot be reset for a new job: %w: %s", ErrConfiguration, err, remedy(err))
	}
	l.Log.Info().Int("removed", removed).Int64("freed_bytes", max(freeSpace(l.Home)-free, 0)).Dur("took", time.Since(began)).Msg("container reused: deleted files of earlier jobs")
	if mounts := set.Kept(); len(mounts) > 0 {
		l.Log.Debug().Strs("mounts", mounts).Msg("what is mounted below a place is never reset")
	}
	return nil
}

// freeSpace is how much room is left where a folder is, in bytes; 0 if unknown.
func freeSpace(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}

// remedy is what helps against a reset that cannot be done: what is on a mount is
// found by every new container again.
func remedy(err error) string {
	var stuck *reset.Stuck
	if !errors.As(err, &stuck) || !stuck.OnMount {
		return startNew
	}
	const most = 20 // of them in one line; the next start names the rest
	paths := stuck.Paths[:min(len(stuck.Paths), most)]
	var quoted []string
	for _, p := range paths {
		for p != stuck.Place && strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
			p = filepath.Dir(p) // a terminal would not show, or obey, what is in the name
		}
		// Jobs choose names, and a person pastes this into a shell.
		if q := "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"; p != stuck.Place && !slices.Contains(quoted, q) {
			quoted = append(quoted, q)
		}
	}
	if len(quoted) == 0 {
		return fmt.Sprintf("delete %q as root, with the same volumes", paths[0])
	}
	return "delete it as root, with the same volumes: docker compose run --rm --user root --entrypoint rm runner -rf -- " + strings.Join(quoted, " ")
}

// orUpdate names the other cause, if there are traces of it: an update that came
// while the job ran.
func (l *Life) orUpdate(intact time.Time) string {
	entries, _ := os.ReadDir(l.Home)
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasPrefix(e.Name(), "bin.") && firstChanged(absolute(l.Home, e.Name()), intact) != ""
	}) {
		return ""
	}
	return " (or the runner has updated itself meanwhile: a newer image, or DISABLE_AUTO_UPDATE=true, keeps it from that)"
}

// keepMarks notes what the next life has to know, before any job can begin.
func (l *Life) keepMarks(set *reset.Set) error {
	err := set.Keep()
	if err == nil {
		if l.note.Updating {
			l.note.Updated, l.note.Updating = time.Now(), false
		}
		if l.note.First.IsZero() {
			l.note.First = l.began
		}
		err = l.keepNote()
	}
	if err != nil {
		return fmt.Errorf("%w: %s cannot be written, so the next start could not tell that jobs have run here: %w: make RUNNER_HOME writable", ErrConfiguration, l.Home, err)
	}
	return nil
}
