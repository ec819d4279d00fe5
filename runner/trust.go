//go:build linux

package runner

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// installed are the names that unpacking the official runner makes in its
// folder. All else there was written by us, by the runner or by a job.
var installed = []string{"bin", "externals", "config.sh", "run.sh", "env.sh", "safe_sleep.sh", "k8s", "k8s-novolume", "run-helper.sh.template", "run-helper.cmd.template"}

// isInstalled also knows the copies that the runner's self-update makes: bin and
// externals are links to them from then on.
func isInstalled(name string) bool {
	return slices.Contains(installed, name) || strings.HasPrefix(name, "bin.") || strings.HasPrefix(name, "externals.")
}

// outdated are the versions that the runner's update of itself has left behind, 200
// MB and more each: bin and externals are links to others by now.
func outdated(home string) (names []string) {
	for _, kind := range []string{"bin", "externals"} {
		target, err := os.Readlink(filepath.Join(home, kind))
		if err != nil {
			continue
		}
		versions, _ := filepath.Glob(filepath.Join(home, kind+".*"))
		for _, path := range versions {
			if name := filepath.Base(path); name != filepath.Base(target) {
				names = append(names, name)
			}
		}
	}
	return names
}

// environmentFiles are read by the listener when it starts, for config.sh too: a
// proxy and its certificates can stand in them.
var environmentFiles = []string{".env", ".path"}

// updating is called when the runner begins to update itself: what is found of it
// by the next life, should this one not see its end, is no job's doing, if no job
// has run. One that has can say the same, and change the files after that.
func (l *Life) updating() {
	l.updateIsClean = !l.jobRan
	l.noteUpdate(func(n *note) { n.Updating = true })
}

// updated is called when that has ended: the files are as GitHub made them.
func (l *Life) updated() {
	now := time.Now()
	if !l.jobRan {
		l.intact = now
	}
	l.noteUpdate(func(n *note) { n.Updated, n.Updating = now, false })
}

func (l *Life) noteUpdate(change func(*note)) {
	if !l.around.Inside || !l.updateIsClean {
		return // no life after this one looks, or it shall look closely
	}
	change(&l.note)
	if err := l.keepNote(); err != nil {
		l.Log.Warn().Err(err).Msg("cannot note the runner's update of itself: the next start of this container may take it for a job's doing")
	}
}

// changedByJob names what a job of this life may have changed of what config.sh
// runs or reads; "" if no job has run, or if all is as it was before. config.sh is
// given a token that can register runners, so it must be the runner's own.
func (l *Life) changedByJob() string {
	if !l.jobRan {
		return ""
	}
	l.endTree() // root's processes too, through sudo
	if err := killEverything(time.Now().Add(time.Second)); err != nil {
		return err.Error()
	}
	return changedPart(l.Home, l.intact, environmentFiles...)
}

// changedPart returns a file of the runner's own, or one of the others named, that
// was changed after a time. "" if there is none.
func changedPart(home string, after time.Time, others ...string) string {
	entries, err := os.ReadDir(home)
	if err != nil {
		return home
	}
	left := outdated(home)
	for _, entry := range entries {
		name := entry.Name()
		if slices.Contains(left, name) || !isInstalled(name) && !slices.Contains(others, name) {
			continue
		}
		if changed := firstChanged(filepath.Join(home, name), after); changed != "" {
			return changed
		}
	}
	return ""
}

// firstChanged returns a file at or below path that was changed after a time: by
// the inode's change time, which no user can set. "" if there is none.
func firstChanged(path string, after time.Time) string {
	changed := ""
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			changed = path // made unreadable
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err != nil {
			return nil // gone meanwhile
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && time.Unix(stat.Ctim.Unix()).After(after) {
			changed = path
			return fs.SkipAll
		}
		return nil
	})
	return changed
}
