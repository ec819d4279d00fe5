//go:build linux

package lives

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// unstoppable is a job whose steps run whatever happened before, if one can.
func unstoppable(repository string) githubtest.Job {
	return githubtest.Job{Repository: repository, Plan: []githubtest.Step{
		{Run: "echo ran anyway"}, {Run: "echo ran anyway", If: "always()"}, {Run: "echo ran anyway", If: "failure()"},
		{Run: "echo ran anyway", If: "!success()"}, {Run: "echo ran anyway", If: "cancelled()"},
	}}
}

// file writes a file beside the runner's folder and returns its path.
func (w *world) file(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// ranNothing checks that GitHub has heard a clean end of a job that was refused:
// failed, every step skipped, the reason in the log and as an annotation.
func (w *world) ranNothing(id int64, reason string) {
	w.t.Helper()
	j := w.Job(id)
	if j.Result != "failure" || !j.Shutdown || strings.Contains(j.Log, "ran anyway") {
		w.t.Errorf("the job: %+v", j)
	}
	for i, o := range j.Outcomes {
		if want := map[bool]string{true: "cancelled", false: "skipped"}[i == 0]; o.Result != want {
			w.t.Errorf("%s is %s, want %s", o.Step, o.Result, want)
		}
	}
	if !strings.Contains(j.Log, "\n::error title=org-runner refused this job::") || strings.Count(j.Log, reason) != 2 {
		w.t.Errorf("the log does not give the reason %q:\n%s", reason, j.Log)
	}
}

// No step of a refused job runs, whatever its condition, nor the operator's hooks.
func TestRefusedJobRunsNoStep(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		classic bool
		env     []string
	}{
		"v2, config":      {false, []string{"RUNNER_REGISTRATION=config"}},
		"v2, jit":         {false, []string{"RUNNER_REGISTRATION=jit"}},
		"classic, config": {true, []string{"RUNNER_REGISTRATION=config"}},
		"classic, jit":    {true, []string{"RUNNER_REGISTRATION=jit"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.Behave(githubtest.Behaviour{Classic: row.classic})
			id := w.Enqueue(unstoppable("acme/coach"))
			w.start(append(row.env, "ALLOWED_REPOSITORIES=mcp", "ACTIONS_RUNNER_HOOK_JOB_STARTED="+w.file("s.sh", "echo ran anyway"), "ACTIONS_RUNNER_HOOK_JOB_COMPLETED="+w.file("c.sh", "echo ran anyway"))...).end(0)
			w.ranNothing(id, "a job of acme/coach may not run on this runner: ALLOWED_REPOSITORIES is")
			w.none()
		})
	}
}

// A persistent runner goes on with the next job, with the same session.
func TestPersistentRunnerGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(unstoppable("acme/coach"))
	l := w.start("EPHEMERAL=false", "ALLOWED_REPOSITORIES=mcp")
	w.until("the refusal", func() bool { return w.Job(id).Status == "completed" })
	w.ranNothing(id, "a job of acme/coach may not run on this runner")
	next := w.Enqueue(githubtest.Job{Repository: "acme/mcp", Steps: []string{"true"}})
	w.until("the next job", func() bool { return w.Job(next).Result == "success" })
	if sessions := w.Count("runner:session"); sessions != 1 {
		t.Errorf("%d sessions", sessions)
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A job whose hook nobody answers is refused as well.
func TestUnansweredJobRunsNoStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	l := w.start("ALLOWED_REPOSITORIES=*")
	w.untilOnline()
	// The job's runner is cut off from its supervisor: the socket is gone.
	if err := os.Remove(filepath.Join(w.home, ".org-runner", "life.sock")); err != nil {
		t.Fatal(err)
	}
	id := w.Enqueue(unstoppable("acme/coach"))
	l.end(0)
	w.ranNothing(id, "this job does not run")
	w.none()
}

// The operator's hook behind ours: as the official runner would have run it, with
// its own exit code, for every ending that is good.
func TestOperatorsHook(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		file, content string
		result        string
		log           string
	}{
		"sh":             {"own hook.sh", "echo in $GITHUB_REPOSITORY, $0", "success", "in acme/coach, "},
		"sh with a pipe": {"own.sh", "false | true\necho on", "failure", "Process completed with exit code 1."},
		"its code":       {"own.sh", "exit 42", "failure", "Process completed with exit code 42."},
		"js":             {"own.js", "", "success", "our own node runs "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.node("node20", "echo our own node runs $1")
			w.node("node24", "echo a newer node")
			id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo the step"}})
			w.start("ACTIONS_RUNNER_HOOK_JOB_STARTED=" + w.file(row.file, row.content)).end(0)
			if j := w.Job(id); j.Result != row.result || !strings.Contains(j.Log, row.log) || strings.Contains(j.Log, "the step") != (row.result == "success") || strings.Contains(j.Log, "newer") {
				t.Errorf("%+v", j)
			}
		})
	}
}

// node puts a program below the runner's externals.
func (w *world) node(version, script string) {
	w.t.Helper()
	dir := filepath.Join(w.home, "externals", version, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(dir, "node"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// A stop reaches the operator's hook: it is the process that the worker interrupts.
func TestOperatorsHookIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	mark := filepath.Join(t.TempDir(), "mark")
	hook := w.file("own.sh", "trap 'echo interrupted > "+mark+"; exit 1' INT\ntouch "+mark+"\nfor i in {1..600}; do sleep 0.1; done")
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	l := w.start("ACTIONS_RUNNER_HOOK_JOB_STARTED="+hook, "RUNNER_STOP_GRACE=1h")
	w.poll("the hook", func() bool { _, err := os.Stat(mark); return err == nil })
	l.signal(syscall.SIGTERM)
	l.signal(syscall.SIGINT) // the second skips the drain
	l.end(0)
	if text, _ := os.ReadFile(mark); string(text) != "interrupted\n" {
		t.Errorf("the hook's mark says %q", text)
	}
	if j := w.Job(id); !j.Shutdown || strings.Contains(j.Log, "exit code 130") {
		t.Errorf("%+v", j)
	}
	w.none()
}

// A hook that cannot run is named before anything is registered.
func TestHooksAreCheckedFirst(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"ACTIONS_RUNNER_HOOK_JOB_STARTED", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"} {
		for name, row := range map[string]struct{ file, says string }{
			"none":         {"/nowhere/hook.sh", "/nowhere/hook.sh, which does not exist"},
			"a folder":     {"FOLDER.sh", "which is no file"},
			"another kind": {"hook.py", "ends in .sh, .ps1 or .js"},
			"capitals":     {"hook.SH", "ends in .sh, .ps1 or .js"},
			"relative":     {"./hook.sh", "begins with /"},
			"no node":      {"hook.js", "there is no node in"},
		} {
			t.Run(variable+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				path := row.file
				switch {
				case strings.HasPrefix(path, "hook."):
					path = w.file(path, "")
				case strings.HasPrefix(path, "FOLDER"):
					path = filepath.Join(t.TempDir(), path)
					if err := os.Mkdir(path, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				l := w.start(variable + "=" + path)
				l.end(78)
				w.counts(map[string]int{})
				if out := l.out.String(); !strings.Contains(out, variable+" is ") || !strings.Contains(out, row.says) {
					t.Errorf("it says\n%s", out)
				}
			})
		}
	}
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach"})
		w.start("ACTIONS_RUNNER_HOOK_JOB_STARTED=", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED=").end(0)
		if w.Job(id).Result != "success" {
			t.Errorf("%+v", w.Job(id))
		}
	})
}

// The official listener prefers .env of its own folder to the environment: a hook
// that stands there takes the place of ours.
func TestHookInTheRunnersOwnEnv(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	if err := os.WriteFile(filepath.Join(w.home, ".env"), fmt.Appendf(nil, "LANG=C\nACTIONS_RUNNER_HOOK_JOB_STARTED=%s\n", w.file("own.sh", "true")), 0o644); err != nil {
		t.Fatal(err)
	}
	l := w.start("ALLOWED_REPOSITORIES=mcp")
	l.end(78)
	w.counts(map[string]int{})
	if out := l.out.String(); !strings.Contains(out, filepath.Join(w.home, ".env")) {
		t.Error(out)
	}
}
