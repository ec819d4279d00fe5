//go:build linux

package runner

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

// installed are the names that unpacking the official runner makes in its
// folder. All else there was written by us, by the runner or by a job.
var installed = []string{"bin", "externals", "config.sh", "run.sh", "env.sh", "safe_sleep.sh", "run-helper.sh.template", "run-helper.cmd.template"}

// isInstalled also knows the copies that the runner's self-update makes: bin and
// externals are links to them from then on.
func isInstalled(name string) bool {
	return slices.Contains(installed, name) || strings.HasPrefix(name, "bin.") || strings.HasPrefix(name, "externals.")
}

// environmentFiles are read by the listener when it starts, for config.sh too: a
// proxy and its certificates can stand in them.
var environmentFiles = []string{".env", ".path"}

// marks are the times by which a job's changes are told from what it found: by the
// inode's change time, which no user can set.
type marks struct {
	first   time.Time // the first life of this container began; zero: this one is it
	updated time.Time // the runner had finished its last update of itself; zero: none

	updating bool // it had begun one, and nobody saw its end
}

// marksFile is kept in the runner's folder, because it must last as long as what
// jobs write there: our state folder may be on a tmpfs that is new at every start,
// and the runner's on a volume that is not. A line for each of the times, and one
// for an update without an end.
const (
	marksFile    = ".org-runner-first-start"
	updatingWord = "updating"
)

// marks returns what the record or the file says, the earlier first start and the
// later update.
func (l *Life) marks() marks {
	m := marks{l.record.Pristine, l.record.Updated, l.record.Updating}
	data, err := safefile.Read(filepath.Join(l.Home, marksFile))
	if err != nil {
		return m
	}
	first, updated, _ := bytes.Cut(data, []byte("\n"))
	updated, updating, _ := bytes.Cut(updated, []byte("\n"))
	m.updating = m.updating || string(bytes.TrimSpace(updating)) == updatingWord
	if at, err := time.Parse(time.RFC3339Nano, string(bytes.TrimSpace(first))); err == nil && (m.first.IsZero() || at.Before(m.first)) {
		m.first = at
	}
	if at, err := time.Parse(time.RFC3339Nano, string(bytes.TrimSpace(updated))); err == nil && at.After(m.updated) {
		m.updated = at
	}
	return m
}

// keepMarks writes them in both places.
func (l *Life) keepMarks(m marks) error {
	l.record.Pristine, l.record.Updated, l.record.Updating = m.first, m.updated, m.updating
	l.record.save()
	text := m.first.Format(time.RFC3339Nano) + "\n"
	if !m.updated.IsZero() || m.updating {
		text += m.updated.Format(time.RFC3339Nano) + "\n"
	}
	if m.updating {
		text += updatingWord + "\n"
	}
	path := filepath.Join(l.Home, marksFile)
	if data, err := safefile.Read(path); err == nil && string(data) == text {
		return nil
	}
	return safefile.Write(path, []byte(text))
}

// until is when the runner's own files were last as they should be.
func (m marks) until() time.Time {
	if m.updated.After(m.first) {
		return m.updated
	}
	return m.first
}

// updating is called when the runner begins to update itself before any job could
// have changed it: what is found of it by the next life, should this one not see
// its end, is no job's doing.
func (l *Life) updating() {
	l.noteUpdate(func(m *marks) { m.updating = true })
}

// updated is called when that has ended: the files are as GitHub made them.
func (l *Life) updated() {
	now := time.Now()
	if !l.jobRan {
		l.intact = now
	}
	l.noteUpdate(func(m *marks) { m.updated, m.updating = now, false })
}

func (l *Life) noteUpdate(change func(*marks)) {
	if os.Getpid() != 1 {
		return // no life after this one looks
	}
	m := l.marks()
	change(&m)
	if err := l.keepMarks(m); err != nil {
		l.Log.Warn().Err(err).Msg("the runner's update of itself could not be noted: the next start of this container may take it for a job's doing")
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
	entries, err := os.ReadDir(l.Home)
	if err != nil {
		return l.Home
	}
	for _, entry := range entries {
		if name := entry.Name(); isInstalled(name) || slices.Contains(environmentFiles, name) {
			if changed := firstChanged(filepath.Join(l.Home, name), l.intact); changed != "" {
				return changed
			}
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
