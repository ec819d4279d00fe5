//go:build linux

package lives

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A job leaves a process behind whose first thread has ended: /proc calls it a
// zombie, and it works on. It is ended before the next token is in anybody's
// environment.
func TestHeadlessProcessReadsNoToken(t *testing.T) {
	t.Parallel()
	for name, ready := range map[string]bool{"the next registration": false, "a ready token": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.ownListener()
			headless := filepath.Join(t.TempDir(), "headless")
			if out, err := exec.Command("go", "build", "-o", headless, "./headless").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if ready {
				w.env["RUNNER_TOKEN"], w.env["GITHUB_TOKEN"] = w.RegistrationToken("acme"), ""
			}
			loot := filepath.Join(t.TempDir(), "loot")
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{
				"env -u RUNNER_TRACKING_ID setsid " + headless + " " + w.home + " " + loot + " > /dev/null 2>&1 & echo $! > " + loot + ".pid; until test -e " + loot + ".ready; do sleep 0.01; done"}})
			l := w.start("EPHEMERAL=false", "RUNNER_WATCHDOG=1s")
			w.until("the job's end", func() bool { return w.Job(job).Status == "completed" })
			if _, err := os.Stat(loot + ".ready"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { killPid(loot + ".pid") })
			if !ready {
				w.untilOnline()
				old := w.Runners()[0].ID
				w.RemoveRunner(old)
				w.until("another runner", func() bool { return w.online() && w.Runners()[0].ID != old })
			}
			l.signal(syscall.SIGTERM)
			l.end(0)
			w.none()
			if token, err := os.ReadFile(loot); err == nil {
				t.Errorf("the job has read a token of %d characters", len(token))
			}
		})
	}
}

// killPid ends the process whose pid is in a file.
func killPid(path string) {
	data, _ := os.ReadFile(path)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
