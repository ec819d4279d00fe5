//go:build linux

package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// pristineFolder makes a runner folder and returns a reset for it whose
// container has "run" from now on.
func pristineFolder(t *testing.T) (string, *reset) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"config.sh", "run.sh", "bin/Runner.Listener", "externals/node/bin/node", ".bashrc", "kept/file", ".org-runner/life.json"} {
		write(t, filepath.Join(home, name), "as the image has it")
	}
	return home, &reset{home: home, work: "_work", marks: marks{first: tick(t)}, keep: filepath.Join(home, ".org-runner")}
}

func TestResetHomeRemovesWhatJobsWrote(t *testing.T) {
	home, r := pristineFolder(t)
	for _, name := range []string{".bashrc", ".bash_profile", ".gitconfig", ".cache/deep/file", "run-helper.sh", "svc.sh", ".env", "_diag/Worker.log", "_work/coach/x", "_work/_tool/poisoned", "kept/poison"} {
		write(t, filepath.Join(home, name), "poison")
	}
	write(t, filepath.Join(home, ".runner"), "repair's to remove")
	write(t, filepath.Join(home, marksFile), "kept")
	work := filepath.Join(home, "_work")
	if err := r.empty(work); err != nil {
		t.Fatal(err)
	}
	if err := r.resetHome(work); err != nil {
		t.Fatal(err)
	}
	var left []string
	_ = filepath.WalkDir(home, func(path string, entry os.DirEntry, _ error) error {
		if data, err := os.ReadFile(path); err == nil && string(data) == "poison" {
			left = append(left, path)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("still poisoned: %v", left)
	}
	for _, name := range []string{"config.sh", "bin/Runner.Listener", "externals/node/bin/node", ".org-runner/life.json", ".runner", marksFile} {
		if _, err := os.Stat(filepath.Join(home, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// The record may be on a tmpfs, the runner's folder on a volume: what the one has
// lost the other one still knows. The earlier first start and the later update
// count, and a file that says nothing sensible is no time.
func TestMarks(t *testing.T) {
	early, late := time.Unix(1_800_000_000, 5).UTC(), time.Unix(1_800_000_900, 0).UTC()
	line := func(at time.Time) string { return at.Format(time.RFC3339Nano) + "\n" }
	for name, row := range map[string]struct {
		record marks
		file   string
		want   marks
	}{
		"new container":            {},
		"both":                     {record: marks{first: early, updated: late}, file: line(early) + line(late), want: marks{first: early, updated: late}},
		"the record is lost":       {file: line(early) + line(late), want: marks{first: early, updated: late}},
		"the file is gone":         {record: marks{first: early, updated: late}, want: marks{first: early, updated: late}},
		"the file is older":        {record: marks{first: late}, file: line(early), want: marks{first: early}},
		"the file is younger":      {record: marks{first: early}, file: line(late), want: marks{first: early}},
		"the file is nonsense":     {record: marks{first: early}, file: "yesterday\ntoday", want: marks{first: early}},
		"the update is older":      {record: marks{first: early, updated: late}, file: line(early) + line(early), want: marks{first: early, updated: late}},
		"an update without an end": {file: line(early) + line(time.Time{}) + "updating\n", want: marks{first: early, updating: true}},
		"the update is not there":  {record: marks{first: early, updated: late}, file: line(early), want: marks{first: early, updated: late}},
	} {
		home := t.TempDir()
		if row.file != "" {
			write(t, filepath.Join(home, marksFile), row.file)
		}
		l := &Life{Options: Options{Home: home}, record: &record{Pristine: row.record.first, Updated: row.record.updated, Updating: row.record.updating}}
		if got := l.marks(); !got.first.Equal(row.want.first) || !got.updated.Equal(row.want.updated) || got.updating != row.want.updating {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}

	// What is noted is found by a life that has lost its record.
	l := &Life{Options: Options{Home: t.TempDir()}, record: &record{}}
	for _, m := range []marks{{first: early}, {first: early, updating: true}, {first: early, updated: late}, {first: early, updated: late, updating: true}} {
		if err := l.keepMarks(m); err != nil {
			t.Fatal(err)
		}
		if got := (&Life{Options: l.Options, record: &record{}}).marks(); !got.first.Equal(m.first) || !got.updated.Equal(m.updated) || got.updating != m.updating {
			t.Errorf("found %v, want %v", got, m)
		}
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
	for _, name := range []string{"run.sh", "new-in-this-version.sh"} {
		write(t, filepath.Join(home, name), "the new version")
	}
}

// What an update has changed is no job's doing, and stays; what a job changes after
// it is found.
func TestResetAfterAnUpdate(t *testing.T) {
	home, r := pristineFolder(t)
	update(t, home)
	if err := r.resetHome(filepath.Join(home, "_work")); err == nil || !strings.Contains(err.Error(), "has updated itself meanwhile") {
		t.Errorf("an update that nobody knows of: %v", err)
	}
	r.marks.updated = tick(t)
	if err := r.resetHome(filepath.Join(home, "_work")); err != nil {
		t.Errorf("after an update: %v", err)
	}
	for _, name := range []string{"bin/new", "bin.2.336.0/Runner.Listener", "externals/new", "new-in-this-version.sh"} {
		if _, err := os.Stat(filepath.Join(home, name)); err != nil {
			t.Error(err)
		}
	}
	write(t, filepath.Join(home, "bin/new"), "poison")
	if err := r.resetHome(filepath.Join(home, "_work")); err == nil {
		t.Error("bin was changed after the update and nobody minds")
	}
}

func TestResetGivesUpOnAChangedRunner(t *testing.T) {
	for _, name := range []string{"run.sh", "bin/Runner.Listener", "externals/node/bin/node", "bin/new.dll"} {
		home, r := pristineFolder(t)
		write(t, filepath.Join(home, name), "poison")
		// A job can set a file's modification time back, not its change time.
		old := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(filepath.Join(home, name), old, old); err != nil {
			t.Fatal(err)
		}
		if err := r.resetHome(filepath.Join(home, "_work")); err == nil {
			t.Errorf("%s was changed and nobody minds", name)
		}
	}
}

func TestMountPoints(t *testing.T) {
	if !slices.Contains(mountPoints(), "/") {
		t.Errorf("no root among %v", mountPoints())
	}
	r := reset{}
	if !r.holdsMount("/proc") {
		t.Error("/proc is not seen as mounted")
	}
	if r.holdsMount(t.TempDir()) {
		t.Error("a plain folder is seen as mounted")
	}
	if !onVolume("/proc") || !onVolume("/proc/self") || onVolume("/etc") {
		t.Error("what is on a volume is not known")
	}
}
