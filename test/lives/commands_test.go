//go:build linux

package lives

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// command runs another command of the product beside a life, with the same
// environment.
func (w *world) command(arguments ...string) (code int, output string) {
	w.t.Helper()
	c := exec.Command(product, arguments...)
	for name, value := range w.env {
		c.Env = append(c.Env, name+"="+value)
	}
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		w.t.Fatal(err)
	}
	w.noSecretIn("the output of "+arguments[0], string(out))
	return c.ProcessState.ExitCode(), string(out)
}

func TestStatusBesideALife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	if code, out := w.command("status"); code != 75 {
		t.Errorf("without a life: exit code %d, %s", code, out)
	}
	l := w.start()
	w.untilOnline()
	var s struct {
		State, GitHub, Name string
		ID                  int64
	}
	// Ours follows the listener's line, GitHub's its session.
	w.poll("idle here", func() bool {
		_, out := w.command("status", "--json")
		return json.Unmarshal([]byte(out), &s) == nil && s.State == "idle"
	})
	if s.GitHub != "online" || s.Name != "fleet" || s.ID != w.Runners()[0].ID {
		t.Errorf("status: %+v", s)
	}
	if code, out := w.command("status"); code != 0 || !strings.Contains(out, "at GitHub      online\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out := w.command("healthcheck"); code != 0 || !strings.HasPrefix(out, "idle for ") {
		t.Errorf("healthcheck: exit code %d, %s", code, out)
	}
	lift := w.Inject(githubtest.Fault{Operation: "get-runner", Status: 503})
	if code, out := w.command("status"); code != 0 || !strings.Contains(out, "unknown: GitHub could not be reached") {
		t.Errorf("with GitHub down: exit code %d:\n%s", code, out)
	}
	lift()
	l.signal(syscall.SIGTERM)
	l.end(0)
	if code, out := w.command("status", "now"); code != 64 {
		t.Errorf("exit code %d, %s", code, out)
	}
}

// An idle life holds no more open than it needs, and makes no call.
func TestIdleBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	l := w.start("RUNNER_WATCHDOG=0")
	w.untilOnline()
	const most = 16 // 13 when this was written: 3 standard, 4 of the runtime, lock, socket, reaper, 2 pipes, 1 connection
	w.poll("few open files", func() bool {
		entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(l.Process.Pid), "fd"))
		return err == nil && len(entries) <= most
	})
	w.counts(map[string]int{"registration-token": 1})
	l.signal(syscall.SIGTERM)
	l.end(0)
}

// An idle life keeps no more goroutines than it needs.
func TestIdleGoroutines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	address := freeAddress(t)
	l := w.start("METRICS_ADDR=" + address)
	w.untilOnline()
	const most = 14 // 12 when this was written, 5 of them to serve and answer this question
	w.poll("few goroutines", func() bool {
		_, text := get(address, "/metrics")
		_, rest, _ := strings.Cut(text, "\ngo_goroutines ")
		count, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(count)
		return err == nil && n <= most
	})
	l.signal(syscall.SIGTERM)
	l.end(0)
}

// The emergency: the job of a busy runner is cancelled, and the runner goes.
func TestPruneCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 600"}})
	l := w.start("RUNNER_WATCHDOG=0")
	w.until("the job", func() bool { return w.Job(id).Status == "in_progress" })
	if code, out := w.command("prune", "--all", "--yes"); code != 0 || !strings.Contains(out, "busy, kept: fleet") {
		t.Errorf("without --cancel: exit code %d: %s", code, out)
	}
	if j := w.Job(id); j.Status != "in_progress" {
		t.Errorf("the job: %+v", j)
	}
	if code, out := w.command("prune", "--all", "--cancel", "--yes"); code != 0 || !strings.Contains(out, "removed: fleet") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if j := w.Job(id); j.Result != "cancelled" {
		t.Errorf("the job: %+v", j)
	}
	w.none()
	l.end(0)
}

// Ctrl-C while prune waits for its second look removes nothing.
func TestPruneInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-dead", Labels: []string{"org-runner"}})
	path := filepath.Join(t.TempDir(), "output")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(product, "prune", "--yes")
	c.Stdout, c.Stderr = f, f
	for name, value := range w.env {
		c.Env = append(c.Env, name+"="+value)
	}
	c.Env = append(c.Env, "LABELS=org-runner", "RUNNER_PRUNE_AGE=1h")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.poll("the first look", func() bool { data, _ := os.ReadFile(path); return strings.Contains(string(data), "looking again") })
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	if len(w.Runners()) != 1 || len(w.Calls("delete-runner")) != 0 {
		t.Errorf("runners %+v", w.Runners())
	}
}
