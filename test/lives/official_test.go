//go:build linux

package lives

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// The official runner's own scripts in place of ours, as user runner where that
// user exists: the stand-ins must not be easier to live with than the original.
func TestOfficialScripts(t *testing.T) {
	t.Parallel()
	scripts := os.Getenv("ORG_RUNNER_OFFICIAL_SCRIPTS")
	if scripts == "" {
		t.Skip("ORG_RUNNER_OFFICIAL_SCRIPTS does not name a folder with the official runner's src/Misc/layoutroot")
	}
	w := newWorld(t, githubtest.Options{})
	group := w.AddGroup("acme", githubtest.Group{Name: "Fleet A"})
	for _, name := range []string{"config.sh", "run.sh", "run-helper.sh.template", "env.sh", "safe_sleep.sh"} {
		data, err := os.ReadFile(filepath.Join(scripts, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.home, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := runnertest.InstallListener(w.home, listener); err != nil {
		t.Fatal(err)
	}
	if _, err := user.Lookup("runner"); err == nil && os.Getuid() == 0 {
		if out, err := exec.Command("chown", "-R", "runner", w.home).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.Chmod(filepath.Dir(listener), 0o755); err != nil {
			t.Fatal(err)
		}
		w.env["RUNNER_USER"] = "runner"
		delete(w.env, "RUNNER_ALLOW_RUNASROOT")
	}
	l := w.start("RUNNER_GROUP=fleet a", "LABELS=gpu,acme/coach", "RUNNER_WORKDIR=jobs")
	w.untilOnline()
	r := w.Runners()[0]
	if r.GroupID != group || !slices.Contains(r.Labels, "gpu") || !slices.Contains(r.Labels, "acme/coach") || !r.Ephemeral || r.WorkDir != "jobs" {
		t.Errorf("GitHub has %+v", r)
	}
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"acme/coach"}, Steps: []string{"id -un; sleep 1"}})
	w.until("the job's start", func() bool { return w.Job(job).Status == "in_progress" })
	l.signal(15)
	l.end(0)
	w.none()
	if j := w.Job(job); j.Result != "success" || w.env["RUNNER_USER"] == "runner" && !strings.Contains(j.Log, "runner") {
		t.Errorf("the job: %+v", j)
	}
	l = w.start()
	w.untilOnline()
	l.signal(15)
	l.end(0)
	w.none()
}
