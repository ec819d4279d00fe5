//go:build linux

package lives

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/monitor"
)

// monitoring is a running org-runner monitor.
type monitoring struct {
	*exec.Cmd
	address, data, log string
}

func (w *world) monitor(more ...string) *monitoring {
	w.t.Helper()
	m := &monitoring{address: freeAddress(w.t), data: w.t.TempDir(), log: filepath.Join(w.t.TempDir(), "log")}
	f, err := os.Create(m.log)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	m.Cmd = exec.Command(product, "monitor", "--listen", m.address, "--data", m.data)
	m.Stdout, m.Stderr = f, f
	for name, value := range w.env {
		m.Env = append(m.Env, name+"="+value)
	}
	m.Env = append(m.Env, more...)
	if err := m.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = m.Process.Kill(); _ = m.Wait() })
	return m
}

// end sends a signal and waits for the exit code.
func (m *monitoring) end(signal syscall.Signal) int {
	_ = m.Process.Signal(signal)
	_ = m.Wait()
	return m.ProcessState.ExitCode()
}

// The monitor sees a fleet and its jobs, changes nothing at GitHub, tells whether it
// is well, shows no secret, and ends at once.
func TestMonitor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	// With a proxy's echo of the token in it.
	const hostile = "<script>\x1b[31m\nbuild\xff " + goodToken
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Workflow: hostile, Name: hostile, Branch: hostile, Actor: hostile, Steps: []string{"true"}})
	records := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.start("RUNNER_RECORDS=" + records).end(0)
	if j := w.Job(id); j.Result != "success" {
		t.Fatalf("the job: %+v", j)
	}
	before := len(w.Calls(""))
	m := w.monitor("RUNNER_RECORDS="+records, "ALLOWED_REPOSITORIES=coach,not-there", "MONITOR_HOSTS=ci.example.com")
	var o monitor.Overview
	w.poll("the job", func() bool {
		_, text := get(m.address, "/api/overview")
		return json.Unmarshal([]byte(text), &o) == nil && len(o.Repositories) == 2 && o.Repositories[0].Jobs != nil && o.Repositories[0].Jobs.Hour.Succeeded == 1 && o.Runners != nil
	})
	if name := o.Slowest[0].Workflow; strings.ContainsAny(name, "\x1b\n") {
		t.Errorf("the workflow is called %q", name)
	}
	if len(o.Unknown) != 1 || !strings.Contains(o.Unknown[0].What, "acme/not-there") {
		t.Errorf("unknown: %+v", o.Unknown)
	}
	for _, path := range []string{"/healthz", "/readyz", "/", "/app.js", "/style.css", "/metrics", "/api/overview"} {
		code, text := get(m.address, path)
		if code != 200 || text == "" || strings.Contains(text, "\x1b") {
			t.Errorf("%s: %d, %.200q", path, code, text)
		}
		w.noSecretIn(path, text)
	}
	if !strings.Contains(o.Slowest[0].Workflow, "[redacted]") {
		t.Errorf("the workflow is called %q", o.Slowest[0].Workflow)
	}
	if code, out := w.command("healthcheck", "--url", "http://"+m.address+"/healthz"); code != 0 || out != "ok\n" {
		t.Errorf("healthcheck: exit code %d, %q", code, out)
	}
	if code, out := w.command("healthcheck", "--url", "http://"+freeAddress(t)); code != 1 {
		t.Errorf("healthcheck of nobody: exit code %d, %q", code, out)
	}
	for host, want := range map[string]int{"ci.example.com": 200, "localhost:80": 200, "evil": 421, "evil.example.com": 421} {
		request, _ := http.NewRequest("GET", "http://"+m.address+"/api/overview", nil)
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("asked as %s: %d, want %d", host, response.StatusCode, want)
		}
	}
	for _, c := range w.Calls("")[before:] {
		if c.Method != "GET" {
			t.Errorf("the monitor has called %s %s", c.Method, c.Path)
		}
	}
	if code := m.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(m.log)
	if err != nil || strings.Contains(string(log), "\x1b") {
		t.Errorf("%v, log %q", err, log)
	}
	w.noSecretIn("the monitor's log", string(log))
}

// With wrong credentials the monitor stays and says what to do: who looks at the
// page learns it there.
func TestMonitorRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	m := w.monitor("GITHUB_TOKEN=ghp_revoked")
	var o monitor.Overview
	w.poll("the refusal", func() bool {
		_, text := get(m.address, "/api/overview")
		return json.Unmarshal([]byte(text), &o) == nil && o.StaleSince != nil
	})
	if len(o.Problems) != 1 || !o.Problems[0].Now || !strings.Contains(o.Problems[0].Remedy, "GITHUB_TOKEN") || o.Runners != nil || o.Queue != nil {
		t.Errorf("%+v", o)
	}
	if code, text := get(m.address, "/readyz"); code != 503 {
		t.Errorf("/readyz says %d: %s", code, text)
	}
	if code, text := get(m.address, "/healthz"); code != 200 {
		t.Errorf("/healthz says %d: %s", code, text)
	}
	if code := m.end(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What is wrong at the start ends it, with the remedy.
func TestMonitorMisconfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		arguments []string
		code      int
		want      string
	}{
		{[]string{"--listen", taken.Addr().String()}, 78, "give a free address"},
		{[]string{"--listen", freeAddress(t), "--data", file}, 78, "--data"},
		{[]string{"--calls-per-hour", "5"}, 64, "give 60 to 15000"},
		{[]string{"--hosted-cores", "0"}, 64, "give 1 to 96"},
		{[]string{"--host", "http://ci.example.com"}, 64, "a name without scheme"},
		{[]string{"--host", "*"}, 64, "a name without scheme"},
		{[]string{"now"}, 64, `"now"`},
	} {
		if code, out := w.command(append([]string{"monitor"}, row.arguments...)...); code != row.code || !strings.Contains(out, row.want) {
			t.Errorf("%q: exit code %d, %s", row.arguments, code, out)
		}
	}
}
