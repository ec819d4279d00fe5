//go:build linux

package runnertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

func TestOneJob(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure("--work", "jobs")
		f.env = append(f.env, "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT=1", "OF_THE_CONTAINER=seen", "ACTIONS_RUNNER_INPUT_SECRET=hidden")
		if err := os.WriteFile(filepath.Join(f.dir, ".setup_info"), []byte(`[{"group":"Fleet","detail":"host seven"}]`), 0o644); err != nil {
			t.Fatal(err)
		}
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "unit tests", Steps: []string{"pwd; env", "echo $OF_THE_WORKFLOW"}, Env: map[string]string{"OF_THE_WORKFLOW": "hello"}})
		p := f.start("run.sh")
		if code := p.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		p.says("√ Connected to GitHub", "Current runner version: '2.336.0'", "Listening for Jobs", "Running job: unit tests", "Job unit tests completed with result: Succeeded",
			"√ Removed .runner", "Runner listener exit with 0 return code, stop the service, no retry needed.", "Exiting runner...")
		if !strings.Contains(p.output(), "INFO Terminal] WRITE LINE: ") {
			t.Errorf("no diagnostic log:\n%s", p.output())
		}
		j := f.Job(id)
		for _, want := range []string{filepath.Join(f.dir, "jobs", "coach", "coach") + "\n", "OF_THE_CONTAINER=seen\n", "GITHUB_REPOSITORY=acme/coach\n", "GITHUB_JOB=unit tests\n",
			fmt.Sprintf("GITHUB_RUN_ID=%d\n", j.RunID), "RUNNER_NAME=one\n", "LANG=C.UTF-8\n", "hello\n", "Fleet\nhost seven\n"} {
			if !strings.Contains(j.Log, want) {
				t.Errorf("no %q in the job's log:\n%s", want, j.Log)
			}
		}
		if strings.Contains(j.Log, "hidden") || j.Result != "success" || j.RunnerName != "one" {
			t.Errorf("the job: %+v", j)
		}
		if len(f.Runners()) != 0 || f.has(".runner") || f.has(".credentials") || !f.has("_diag") {
			t.Errorf("left: %+v, .runner %t", f.Runners(), f.has(".runner"))
		}
	})
}

func TestJobsOfAPersistentRunner(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		if p := f.configure(); p.end() != 0 {
			t.Fatal(p.output())
		}
		first := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"exit 3", "echo never"}})
		p := f.start("run.sh")
		f.until("the first job", func() bool { return f.Job(first).Status == "completed" })
		if j := f.Job(first); j.Result != "failure" || strings.Contains(j.Log, "never") || !strings.Contains(j.Log, "exit code 3") {
			t.Errorf("%+v", j)
		}
		second := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		f.until("the second job", func() bool { return f.Job(second).Result == "success" })
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		if code := p.end(); code != 0 || len(f.Runners()) != 1 || !f.has(".runner") {
			t.Errorf("exit code %d, %+v", code, f.Runners())
		}
		p.says("Exiting...")
	})
}

func TestJITConfiguration(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"environment", "argument", "files"} {
		withScriptsNamed(t, by, func(t *testing.T, f *folder) {
			config := f.JITConfig("acme", "one", "self-hosted")
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo .runner is; cat ../../../.runner; env"}})
			var p *process
			switch by {
			case "environment":
				f.env = append(f.env, "ACTIONS_RUNNER_INPUT_JITCONFIG="+config)
				p = f.start("run.sh")
			case "argument":
				p = f.start("run.sh", "--jitconfig", config)
			case "files": // an earlier start has written them
				f.env = append(f.env, "ACTIONS_RUNNER_INPUT_JITCONFIG="+config)
				f.Behave(githubtest.Behaviour{ListenerExit: 1, ListenerExitOnce: true})
				f.start("run.sh").end()
				f.env = f.env[:len(f.env)-1]
				p = f.start("run.sh")
			}
			if p.end() != 0 {
				t.Error(p.output())
			}
			if j := f.Job(id); j.Result != "success" || !strings.Contains(j.Log, `"AgentId":"`) || strings.Contains(j.Log, config) {
				t.Errorf("the job: %+v", j)
			}
			if len(f.Runners()) != 0 || f.has(".runner") {
				t.Errorf("left: %+v", f.Runners())
			}
		})
	}
}

// What run.sh makes of the listener's exit codes.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		listener int
		env      string
		code     int
		says     string
	}{
		{1, "", 0, "Runner listener exit with terminated error, stop the service, no retry needed."},
		{5, "", 0, "Runner listener exit with Session Conflict error, stop the service, no retry needed."},
		{6, "", 0, "Exiting with unknown error code: 6"},
		{7, "", 0, "Exiting with unknown error code: 7"},
		{7, "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1", 7, "Runner listener exit with deprecated version exit code: 7."},
		{42, "", 0, "Exiting with unknown error code: 42"},
	} {
		withScriptsNamed(t, fmt.Sprint(row.listener, row.env), func(t *testing.T, f *folder) {
			f.mustConfigure()
			f.Behave(githubtest.Behaviour{ListenerExit: row.listener})
			f.env = append(f.env, row.env)
			p := f.start("run.sh")
			if code := p.end(); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			p.says("Listening for Jobs", row.says)
		})
	}
}

// After an update and a retryable error run.sh starts the listener again.
func TestRestarts(t *testing.T) {
	t.Parallel()
	for code, says := range map[int]string{
		2: "Runner listener exit with retryable error, re-launch runner in 5 seconds.",
		3: "Runner listener exit because of updating, re-launch runner after successful update",
		4: "Runner listener exit because of updating, re-launch runner after successful update",
	} {
		withScriptsNamed(t, fmt.Sprint(code), func(t *testing.T, f *folder) {
			f.mustConfigure()
			f.Behave(githubtest.Behaviour{ListenerExit: code, ListenerExitOnce: true})
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
			p := f.start("run.sh")
			if p.end() != 0 || f.Job(id).Result != "success" || f.Count("runner:session") != 2 || f.has("update.finished") {
				t.Errorf("%+v, %d sessions\n%s", f.Job(id), f.Count("runner:session"), p.output())
			}
			p.says(says, "Restarting runner...")
		})
	}
}

// GitHub has deleted the registration: before the listener starts, and while it
// listens.
func TestDeletedAtGitHub(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "before", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.RemoveRunner(f.Runners()[0].ID)
		p := f.start("run.sh")
		if p.end() != 0 || !f.has(".runner") {
			t.Error(p.output())
		}
		p.says("Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently.",
			"Runner listener exit with terminated error, stop the service, no retry needed.")
	})
	withScriptsNamed(t, "while it listens", func(t *testing.T, f *folder) {
		f.mustConfigure()
		p := f.start("run.sh")
		p.listens()
		f.RemoveRunner(f.Runners()[0].ID)
		if p.end() != 0 || f.has(".runner") {
			t.Error(p.output())
		}
		p.says("The runner no longer exists on the server. Cleaning up local configuration.", "Runner listener exit with 0 return code, stop the service, no retry needed.")
	})
	withScriptsNamed(t, "ghost", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Behave(githubtest.Behaviour{Ghost: true})
		p := f.start("run.sh")
		p.listens()
		polls := f.Count("runner:message")
		f.RemoveRunner(f.Runners()[0].ID)
		f.until("the poll that finds it gone", func() bool {
			return slices.ContainsFunc(f.Calls("runner:message"), func(c githubtest.Call) bool { return c.Status == 404 })
		})
		if len(f.processes("Runner.Listener run")) != 1 || !f.has(".runner") {
			t.Errorf("it noticed, after %d polls:\n%s", polls, p.output())
		}
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		p.end()
	})
}

func TestHooks(t *testing.T) {
	t.Parallel()
	hook := func(t *testing.T, f *folder, which, script string) {
		t.Helper()
		path := filepath.Join(f.dir, which+".sh")
		if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		f.env = append(f.env, "ACTIONS_RUNNER_HOOK_JOB_"+which+"="+path)
	}
	for _, row := range []struct {
		name, started, completed, result string
		logged, never                    []string
	}{
		{"good", "echo before $GITHUB_REPOSITORY; test -f $GITHUB_EVENT_PATH", "echo after $GITHUB_RUN_ATTEMPT", "success", []string{"before acme/coach\n", "the step\n", "after 1\n"}, nil},
		{"started fails", "false\necho on", "echo after", "failure", []string{"after\n"}, []string{"on\n", "the step\n"}},
		{"completed fails", "true", "exit 9", "failure", []string{"the step\n"}, nil},
	} {
		withScriptsNamed(t, row.name, func(t *testing.T, f *folder) {
			f.mustConfigure()
			hook(t, f, "STARTED", row.started)
			hook(t, f, "COMPLETED", row.completed)
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo the step"}})
			f.start("run.sh").end()
			j := f.Job(id)
			if j.Result != row.result {
				t.Errorf("%+v", j)
			}
			for _, text := range row.logged {
				if !strings.Contains(j.Log, text) {
					t.Errorf("no %q in\n%s", text, j.Log)
				}
			}
			for _, text := range row.never {
				if strings.Contains(j.Log, "\n"+text) {
					t.Errorf("%q in\n%s", text, j.Log)
				}
			}
		})
	}
}

const obedient = "trap 'echo interrupted; exit 1' INT; touch $MARK; for i in {1..600}; do sleep 0.1; done"

// SIGINT and SIGTERM to the listener, alone: idle it ends cleanly, busy it ends
// its job first.
func TestListenerIsStopped(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		withScriptsNamed(t, "idle "+signal.String(), func(t *testing.T, f *folder) {
			f.mustConfigure()
			p := f.start("run.sh")
			p.listens()
			_ = syscall.Kill(f.listenerPID(), signal)
			if p.end() != 0 || f.Count("runner:end-session") != 1 || !f.has(".runner") || len(f.Runners()) != 1 || f.Runners()[0].Online {
				t.Errorf("%+v\n%s", f.Runners(), p.output())
			}
			p.says("Runner listener exit with 0 return code, stop the service, no retry needed.")
		})
		withScriptsNamed(t, "busy "+signal.String(), func(t *testing.T, f *folder) {
			f.mustConfigure()
			f.env = append(f.env, "ACTIONS_RUNNER_HOOK_JOB_COMPLETED="+filepath.Join(f.dir, "hook.sh"))
			if err := os.WriteFile(filepath.Join(f.dir, "hook.sh"), []byte("echo the hook"), 0o644); err != nil {
				t.Fatal(err)
			}
			p, id := f.job(obedient)
			_ = syscall.Kill(f.listenerPID(), signal)
			if code := p.end(); code != 0 || !f.has(".runner") {
				t.Errorf("exit code %d, .runner %t", code, f.has(".runner"))
			}
			p.says("Job build completed with result: Canceled", map[syscall.Signal]string{
				syscall.SIGINT: "Runner listener exit with 0 return code, stop the service, no retry needed.", syscall.SIGTERM: "Exiting with unknown error code: 143",
			}[signal])
			j := f.Job(id)
			if j.Result != "failure" || !j.Shutdown || !strings.Contains(j.Log, "\ninterrupted\n") || !strings.Contains(j.Log, "The runner has received a shutdown signal.") ||
				strings.Contains(j.Log, "the second step") || strings.Contains(j.Log, "the hook") {
				t.Errorf("%+v", j)
			}
		})
	}
}

// A step that is deaf is killed with its whole tree, ten seconds after.
func TestDeafStepIsKilled(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.realTimes()
		f.mustConfigure()
		p, id := f.job("trap '' INT TERM; (trap '' INT TERM; touch $MARK; sleep 987) & wait; sleep 987")
		began := time.Now()
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		if p.end() != 0 || time.Since(began) < 10*time.Second {
			t.Errorf("after %s:\n%s", time.Since(began), p.output())
		}
		if j := f.Job(id); j.Result != "failure" || !j.Shutdown {
			t.Errorf("%+v", j)
		}
		f.poll("an end of the tree", func() bool { return len(f.processes("987")) == 0 })
	})
}

// A person cancels the job: the hook runs, the runner is gone, as after any job.
func TestJobIsCancelledAtGitHub(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		hook := filepath.Join(f.dir, "hook.sh")
		if err := os.WriteFile(hook, []byte("echo the hook"), 0o644); err != nil {
			t.Fatal(err)
		}
		f.env = append(f.env, "ACTIONS_RUNNER_HOOK_JOB_COMPLETED="+hook)
		p, id := f.job(obedient)
		f.CancelJob(id)
		if p.end() != 0 || f.has(".runner") || len(f.Runners()) != 0 {
			t.Errorf("%+v\n%s", f.Runners(), p.output())
		}
		p.says("Job build completed with result: Canceled")
		if j := f.Job(id); j.Result != "cancelled" || j.Shutdown || !strings.Contains(j.Log, "\ninterrupted\n") || !strings.Contains(j.Log, "the hook\n") {
			t.Errorf("%+v", j)
		}
	})
}

// With RUNNER_MANUALLY_TRAP_SIG a signal to run.sh becomes SIGINT to the whole
// group of helper, listener, worker and step, and run.sh returns 143. Without
// it the listener goes on, an orphan.
func TestRunShIsStopped(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "trapped", func(t *testing.T, f *folder) {
		f.mustConfigure()
		// Only the step that got a signal of its own says so before the worker acts.
		p, id := f.job(obedient)
		_ = p.Process.Signal(syscall.SIGTERM)
		if code := p.end(); code != 143 {
			t.Errorf("exit code %d", code)
		}
		f.until("the job's end", func() bool { return f.Job(id).Status == "completed" })
		if j := f.Job(id); !strings.Contains(j.Log, "\ninterrupted\n") || j.Result != "failure" {
			t.Errorf("%+v", j)
		}
		f.poll("an end of all", func() bool { return len(f.processes("Runner.")) == 0 })
	})
	withScriptsNamed(t, "not trapped", func(t *testing.T, f *folder) {
		f.env = slices.DeleteFunc(f.env, func(v string) bool { return strings.HasPrefix(v, "RUNNER_MANUALLY_TRAP_SIG=") })
		f.mustConfigure()
		p, id := f.job("touch $MARK; sleep 1")
		_ = p.Process.Signal(syscall.SIGTERM)
		if code := p.end(); code != 143 {
			t.Errorf("exit code %d", code)
		}
		f.until("the job's end", func() bool { return f.Job(id).Status == "completed" })
		if j := f.Job(id); j.Result != "success" {
			t.Errorf("%+v", j)
		}
	})
}

func TestOtherBehaviours(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "no lines", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Behave(githubtest.Behaviour{LoseLines: true})
		f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		p.end()
		if strings.Contains(p.output(), "Z: ") {
			t.Error(p.output())
		}
	})
	withScriptsNamed(t, "output held", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Behave(githubtest.Behaviour{HoldOutput: true})
		f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		f.start("run.sh").end()
		if len(f.processes("sleep 600")) != 1 {
			t.Error("nothing holds the output")
		}
	})
	withScriptsNamed(t, "interrupt ignored", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Behave(githubtest.Behaviour{IgnoreInterrupt: true})
		p := f.start("run.sh")
		p.listens()
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		if p.end() != 0 || f.Job(id).Result != "success" {
			t.Errorf("%+v\n%s", f.Job(id), p.output())
		}
	})
	withScriptsNamed(t, "hangs in cancel", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Behave(githubtest.Behaviour{HangInCancel: true})
		_, id := f.job(obedient)
		f.CancelJob(id)
		f.until("the word", func() bool {
			return slices.ContainsFunc(f.Calls("runner:message"), func(c githubtest.Call) bool { return strings.Contains(string(c.Response.Body), `"cancel":true`) })
		})
		if j := f.Job(id); j.Status != "in_progress" || len(f.processes("Runner.Worker")) != 1 {
			t.Errorf("%+v", j)
		}
	})
}
