package runnertest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/runnertest"
)

func TestOfficialRunnerFromAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	for name, text := range map[string]string{"run.sh": "run", "bin/Runner.Listener": "listener", ".runner": "somebody's", "_work/x": "somebody's"} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pristine, home := filepath.Join(dir, "pristine"), filepath.Join(dir, "home")
	if err := runnertest.FetchOfficial(source, pristine); err != nil {
		t.Fatal(err)
	}
	if err := runnertest.CopyOfficial(pristine, home); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"run.sh": true, "bin/Runner.Listener": true, ".runner": false, "_work": false} {
		if _, err := os.Stat(filepath.Join(home, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "run.sh"), []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(pristine, "run.sh")); string(text) != "run" {
		t.Error("a life's run.sh is the one of all lives")
	}
	if err := runnertest.FetchOfficial(filepath.Join(dir, "none"), filepath.Join(dir, "x")); err == nil || !strings.Contains(err.Error(), "there is no bin/Runner.Listener in it") {
		t.Errorf("a folder without a runner: %v", err)
	}
}
