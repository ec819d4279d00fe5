//go:build linux

package lives

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Outside of a container a killed life leaves its listener and its job running: the
// next start waits for the job, and then has its own.
func TestJobOfAKilledLifeMayFinish(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		victims []string
		stop    bool
		step    string
		result  string
	}{
		"with its listener":    {nil, false, "sleep 4", "success"},
		"without its listener": {[]string{"/run.sh", "/run-helper.sh", "Runner.Listener run"}, false, "sleep 4", "success"},
		"a stop cancels it":    {nil, true, "sleep 300", "failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
			w.env["RUNNER_STOP_GRACE"] = "6s"
			script, mark := marked(t, row.step)
			l := withJob(w, script)
			w.poll("the step", func() bool { return exists(mark) })
			l.killed = true
			_ = l.Process.Kill()
			w.poll("its end", func() bool { return syscall.Kill(l.Process.Pid, 0) != nil })
			for _, victim := range row.victims {
				_ = syscall.Kill(w.pidOf(victim), syscall.SIGKILL)
			}
			next := w.start("LABELS=after")
			if row.stop {
				w.poll("the wait", func() bool { return strings.Contains(next.out.String(), "still runs here") })
				next.signal(syscall.SIGTERM)
				next.end(0)
			} else {
				w.until("the job's end", func() bool { return w.Jobs()[0].Status == "completed" })
				w.Enqueue(githubtest.Job{Repository: "acme/mcp", RunsOn: []string{"after"}, Steps: []string{"true"}})
				next.end(0)
			}
			w.none()
			if j := w.Jobs()[0]; j.Result != row.result || j.Lost {
				t.Errorf("the job: %+v", j)
			}
		})
	}
}

// nobody is a user without a name.
const nobody = 54321

// publicDir is a folder that everybody can read.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "public")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// asNobody makes a world's runner that of another user, who has a sudo.
func (w *world) asNobody() {
	w.t.Helper()
	dir := publicDir(w.t)
	sudo := filepath.Join(dir, "sudo")
	if out, err := exec.Command("go", "build", "-o", sudo, "./sudo").CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	for _, err := range []error{
		os.Link(sudo, filepath.Join(dir, "as")), os.Chmod(sudo, 0o4755|os.ModeSetuid), os.Chmod(filepath.Dir(filepath.Dir(product)), 0o755), os.Chmod(filepath.Dir(w.env["HOME"]), 0o755),
		exec.Command("chown", "-R", strconv.Itoa(nobody), w.home, w.env["HOME"]).Run(),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.env["PATH"] = dir + ":" + w.env["PATH"]
	w.wrapper = []string{filepath.Join(dir, "as"), strconv.Itoa(nobody)}
}

// What a step has started through sudo is ended through sudo, so that the job's end
// is told and nothing is left.
func TestRootsProcessesOfAStep(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a program with another user's id can be made by root only")
	}
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	w.asNobody()
	w.env["RUNNER_STOP_GRACE"] = "6s"
	l := withJob(w, "sudo -n -- sleep 300 & sudo -n setsid sleep 301 & sleep 302")
	w.poll("root's processes", func() bool {
		all := processes(w.home)
		return slices.ContainsFunc(all, func(p string) bool { return strings.HasSuffix(p, "sleep 301 ") })
	})
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if j := w.Jobs()[0]; !j.Shutdown || j.Result != "failure" {
		t.Errorf("GitHub was not told: %+v", j)
	}
}
