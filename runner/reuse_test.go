//go:build linux

package runner

import (
	"os"
	"path/filepath"
	"slices"
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

// pristineFolder makes a runner folder and returns a reset for it whose
// container has "run" from now on. The kernel's coarse clock, which stamps
// files, may be behind ours by a tick: wait until it has passed.
func pristineFolder(t *testing.T) (string, *reset) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"config.sh", "run.sh", "bin/Runner.Listener", "externals/node/bin/node", ".bashrc", "kept/file", ".org-runner/life.json"} {
		write(t, filepath.Join(home, name), "as the image has it")
	}
	pristine := time.Now()
	probe := filepath.Join(t.TempDir(), "probe")
	for {
		write(t, probe, "")
		info, err := os.Stat(probe)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(pristine) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return home, &reset{home: home, work: "_work", pristine: pristine, keep: filepath.Join(home, ".org-runner")}
}

func TestResetHomeRemovesWhatJobsWrote(t *testing.T) {
	home, r := pristineFolder(t)
	for _, name := range []string{".bashrc", ".bash_profile", ".gitconfig", ".cache/deep/file", "run-helper.sh", ".env", "_diag/Worker.log", "_work/coach/x", "_work/_tool/poisoned", "kept/poison"} {
		write(t, filepath.Join(home, name), "poison")
	}
	write(t, filepath.Join(home, ".runner"), "repair's to remove")
	write(t, filepath.Join(home, firstStartFile), "kept")
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
	for _, name := range []string{"config.sh", "bin/Runner.Listener", "externals/node/bin/node", ".org-runner/life.json", ".runner", firstStartFile} {
		if _, err := os.Stat(filepath.Join(home, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// The record may be on a tmpfs, the runner's folder on a volume: what the one has
// lost the other one still knows. The earlier time counts, and a file that says
// nothing sensible is no time.
func TestFirstStart(t *testing.T) {
	early, late := time.Unix(1_800_000_000, 5).UTC(), time.Unix(1_800_000_900, 0).UTC()
	for name, row := range map[string]struct {
		record time.Time
		file   string
		want   time.Time
	}{
		"new container":        {},
		"both":                 {record: early, file: early.Format(time.RFC3339Nano) + "\n", want: early},
		"the record is lost":   {file: early.Format(time.RFC3339Nano), want: early},
		"the file is gone":     {record: early, want: early},
		"the file is older":    {record: late, file: early.Format(time.RFC3339Nano), want: early},
		"the file is younger":  {record: early, file: late.Format(time.RFC3339Nano), want: early},
		"the file is nonsense": {record: early, file: "yesterday", want: early},
	} {
		home := t.TempDir()
		if row.file != "" {
			write(t, filepath.Join(home, firstStartFile), row.file)
		}
		l := &Life{Options: Options{Home: home}, record: &record{Pristine: row.record}}
		if got := l.firstStart(); !got.Equal(row.want) {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}

	// What is noted is found by a life that has lost its record.
	l := &Life{Options: Options{Home: t.TempDir()}, record: &record{}}
	if err := l.noteFirstStart(early); err != nil {
		t.Fatal(err)
	}
	if got := (&Life{Options: l.Options, record: &record{}}).firstStart(); !got.Equal(early) {
		t.Errorf("found %s, want %s", got, early)
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
}
