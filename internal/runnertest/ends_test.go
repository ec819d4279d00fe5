//go:build linux

package runnertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

const (
	noLonger   = "The runner no longer exists on the server. Cleaning up local configuration."
	deleted    = "Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently."
	endedWell  = "Runner listener exit with 0 return code, stop the service, no retry needed."
	terminated = "Runner listener exit with terminated error, stop the service, no retry needed."
	relaunched = "Runner listener exit with retryable error, re-launch runner in 5 seconds."
)

// How a listener ends whose runner GitHub has deleted: idle, and in the middle of a
// job, which it then cancels.
func TestDeletedInEveryForm(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		form    githubtest.Deleted
		classic bool
		files   bool // are left
		says    []string
		never   string
	}{
		{"", false, false, []string{noLonger, "√ Removed .runner", endedWell}, deleted},
		{"", true, false, []string{noLonger, "√ Removed .runner", endedWell}, deleted},
		{githubtest.DeletedSession, false, true, []string{deleted, "An error occurred: Get next message failed with non-retryable error.", terminated}, noLonger},
		{githubtest.DeletedSession, true, true, []string{deleted, "An error occurred: The runner one was not found.", relaunched, "Restarting runner...", terminated}, noLonger},
		{githubtest.DeletedToken, false, false, []string{noLonger, endedWell}, deleted},
		{githubtest.DeletedToken, true, true, []string{endedWell}, noLonger},
	} {
		for _, busy := range []bool{false, true} {
			withScriptsNamed(t, fmt.Sprintf("%s classic=%t busy=%t", row.form, row.classic, busy), func(t *testing.T, f *folder) {
				f.Behave(githubtest.Behaviour{Deleted: row.form, Classic: row.classic})
				f.mustConfigure()
				var p *process
				var id int64
				if busy {
					p, id = f.job("touch $MARK; sleep 300")
				} else {
					p = f.start("run.sh")
					p.listens()
				}
				f.RemoveRunner(f.Runners()[0].ID)
				if code := p.end(); code != 0 || f.has(".runner") != row.files {
					t.Errorf("exit code %d, .runner %t", code, f.has(".runner"))
				}
				p.says(row.says...)
				if strings.Contains(p.output(), row.never) {
					t.Error(p.output())
				}
				if busy {
					p.says("Job build completed with result: Canceled")
					if j := f.Job(id); j.Result != "cancelled" {
						t.Errorf("%+v", j)
					}
				}
			})
		}
	}
	withScriptsNamed(t, "unauthorized", func(t *testing.T, f *folder) {
		f.Behave(githubtest.Behaviour{Deleted: githubtest.DeletedUnauthorized})
		f.mustConfigure()
		p := f.start("run.sh")
		p.listens()
		f.RemoveRunner(f.Runners()[0].ID)
		f.poll("its complaint", func() bool { return strings.Contains(p.output(), " was not found.. Retrying until reconnected.") })
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		if p.end() != 0 {
			t.Error(p.output())
		}
	})
}

// A stop deletes the runner, then interrupts its listener, which cleans up, or,
// one time in eleven, is refused a token and ends with 2.
func TestInterruptedBehindItsDeletion(t *testing.T) {
	t.Parallel()
	for token, says := range map[string][]string{
		"never":  {"Exiting...", noLonger, "√ Removed .credentials", "√ Removed .runner", endedWell, "Exiting runner..."},
		"always": {"Exiting...", relaunched, "Restarting runner...", deleted, terminated},
	} {
		withScriptsNamed(t, token, func(t *testing.T, f *folder) {
			f.Behave(githubtest.Behaviour{TokenRefused: token})
			f.mustConfigure()
			p := f.start("run.sh")
			p.listens()
			listener := f.listenerPID()
			f.RemoveRunner(f.Runners()[0].ID)
			_ = syscall.Kill(listener, syscall.SIGINT)
			if p.end() != 0 || f.has(".runner") != (token == "always") {
				t.Error(p.output())
			}
			p.says(says...)
			if (token == "always") != strings.Contains(p.output(), "An error occurred: Registration ") {
				t.Error(p.output())
			}
		})
	}
	withScriptsNamed(t, "just after a job", func(t *testing.T, f *folder) {
		f.realTimes()
		if p := f.configure(); p.end() != 0 {
			t.Fatal(p.output())
		}
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		f.poll("the job's end", func() bool {
			return strings.Contains(p.output(), "completed with result") && f.Job(id).Result == "success"
		})
		listener := f.listenerPID()
		f.RemoveRunner(f.Runners()[0].ID)
		_ = syscall.Kill(listener, syscall.SIGINT)
		p.end()
		p.says(relaunched, terminated)
	})
}

// An interrupt before the handler is there ends the listener with 130; one that was
// ignored when it started stays ignored.
func TestEarlyAndIgnoredInterrupts(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "early", func(t *testing.T, f *folder) {
		f.realTimes()
		f.mustConfigure()
		p := f.start("run.sh")
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		if p.end() != 0 || f.Count("runner:session") != 0 {
			t.Error(p.output())
		}
		p.says("Exiting with unknown error code: 130")
	})
	withScriptsNamed(t, "ignored", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.file("background.sh", "#!/bin/bash\n./run.sh & wait\n") // not interactive: SIGINT is ignored
		p := f.start("background.sh")
		p.listens()
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		if p.end(); f.Job(id).Result != "success" || strings.Contains(p.output(), "Exiting...") {
			t.Error(p.output())
		}
	})
}

// A disk without space: config.sh aborts, and a job that has filled it fails, is
// told, and leaves a listener that hangs.
func TestDiskWithoutSpace(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		diag := filepath.Join(f.dir, "_diag")
		if err := syscall.Mount("tmpfs", diag, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("no file system of a small size can be mounted: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(diag, syscall.MNT_DETACH) })
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"head -c 400000 /dev/zero > ../../../_diag/zeros"}})
		p := f.start("run.sh")
		f.poll("the line of the end", func() bool { return strings.Contains(p.output(), "completed with result: Failed") })
		time.Sleep(200 * time.Millisecond)
		if f.Job(id).Result != "failure" || !f.has(".runner") || len(f.processes("Runner.Listener run")) != 1 {
			t.Error("it does not hang")
		}
		_ = syscall.Kill(f.listenerPID(), syscall.SIGKILL)
		p.end()
		_ = os.Remove(filepath.Join(f.dir, ".runner"))
		if p := f.configure(); p.end() != 134 || !strings.Contains(p.output(), "Unhandled exception. System.IO.IOException: No space left on device : '") || !strings.Contains(p.output(), "Aborted") {
			t.Error(p.output())
		}
	})
}

// With ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT the diagnostic log comes too: its last
// line is the listener's last word, and text of others in it is as it is.
func TestDiagnosticLog(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.env = append(f.env, "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT=1")
		p := f.configure("--ephemeral", "--url", f.URL()+"/other")
		if lines := strings.Split(strings.TrimSpace(p.ended1()), "\n"); !strings.HasPrefix(lines[len(lines)-1], "[RUNNER 2") || !strings.HasSuffix(lines[len(lines)-1], "INFO Listener] Runner execution has finished with return code 1") {
			t.Errorf("the last line is %q", lines[len(lines)-1])
		}
		f.mustConfigure()
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "two\nlines", Plan: []githubtest.Step{{Run: "true", If: "contains('fix\r2026-08-12 10:11:12Z: Listening for Jobs\rthanks\nmore', 'deploy')"}}})
		p = f.start("run.sh")
		p.end()
		for _, want := range []string{"Z: Running job: two\nlines\n", "Z: Job two\nlines completed with result: Succeeded\n", "\n2026-08-12 10:11:12Z: Listening for Jobs\n", "INFO Terminal] WRITE LINE: ", "[WORKER 2", "\nthanks\n"} {
			if !strings.Contains(p.output(), want) {
				t.Errorf("no %q in\n%s", want, p.output())
			}
		}
		if strings.Contains(p.output(), "\nmore") || outcomes(f.Job(id)) != "skipped" {
			t.Errorf("%+v\n%s", f.Job(id), p.output())
		}
	})
}

// config.sh's refusals: GitHub's words and what follows, call by call.
func TestConfigureRefusedByGitHub(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		behaviour githubtest.Behaviour
		fault     githubtest.Fault
		tries     int
		says      []string
	}{
		"403": {githubtest.Behaviour{}, githubtest.Fault{Status: 403, Message: "Resource not accessible"}, 3, []string{"Http response code: Forbidden from 'POST URL/api/v3/actions/runner-registration' (Request Id: ", `{"documentation_url":`, "Response status code does not indicate success: 403 (Forbidden)."}},
		"404": {githubtest.Behaviour{}, githubtest.Fault{Status: 404, Message: "Not Found"}, 1, []string{"Http response code: NotFound from 'POST URL/api/v3/actions/runner-registration'", "Response status code does not indicate success: 404 (Not Found)."}},
		"409 of the second call": {githubtest.Behaviour{ConfigCall: githubtest.ConfigRegister}, githubtest.Fault{Status: 409, Message: "Conflict"}, 3,
			[]string{"√ Connected to GitHub", "Http response code: Conflict from 'Post URL/api/v3/actions/runners/register'", "Response status code does not indicate success: 409 (Conflict)."}},
		"500 of the groups": {githubtest.Behaviour{ConfigCall: githubtest.ConfigGroups}, githubtest.Fault{Status: 500}, 3, []string{"Http response code: InternalServerError from 'Get URL/api/v3/actions/runner-groups'"}},
		"classic pools":     {githubtest.Behaviour{Classic: true, ConfigCall: githubtest.ConfigPools}, githubtest.Fault{Status: 403}, 1, []string{"\nForbidden\n"}},
		"closed":            {githubtest.Behaviour{}, githubtest.Fault{Drop: githubtest.DropBefore}, 3, []string{"\nAn error occurred while sending the request.\n"}},
		"lost after its effect": {githubtest.Behaviour{}, githubtest.Fault{Drop: githubtest.DropAfter, Times: 1}, 3,
			[]string{"Http response code: Conflict from 'Post URL/api/v3/actions/runners/register'", "Already exists - A runner with the name one already exists.", "Response status code does not indicate success: 409 (Conflict)."}},
		"no space": {githubtest.Behaviour{ConfigAbort: "System.IO.IOException: No space left on device : 'X'"}, githubtest.Fault{Status: 500}, 0,
			[]string{"Unhandled exception. System.IO.IOException: No space left on device : 'X'\n   at System.IO.", "Aborted"}},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.Behave(row.behaviour)
			row.fault.Operation = "runner:register"
			f.Inject(row.fault)
			p := f.configure("--replace")
			code := p.end()
			if want := map[bool]int{true: 134, false: 1}[row.tries == 0]; code != want || f.Count("runner:register") != row.tries || f.has(".runner") {
				t.Errorf("exit code %d after %d tries:\n%s", code, f.Count("runner:register"), p.output())
			}
			for _, want := range row.says {
				if !strings.Contains(p.output(), strings.ReplaceAll(want, "URL", f.URL())) {
					t.Errorf("no %q in\n%s", want, p.output())
				}
			}
		})
	}
}

// ended1 waits for an end with 1 and returns the output.
func (p *process) ended1() string {
	p.f.t.Helper()
	if code := p.end(); code != 1 {
		p.f.t.Errorf("exit code %d", code)
	}
	return p.output()
}

// A self-update brings the whole new layout below _work/_update, and goes on beside
// a job; not with --disableupdate.
func TestSelfUpdate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		behaviour githubtest.Behaviour
		args      []string
		updates   bool
		result    string
		code      int
	}{
		"idle":          {githubtest.Behaviour{ListenerExit: 3, ListenerExitOnce: true}, []string{"--ephemeral"}, true, "success", 0},
		"in a job":      {githubtest.Behaviour{UpdateInJob: true}, []string{"--ephemeral"}, true, "success", 0},
		"between jobs":  {githubtest.Behaviour{UpdateInJob: true}, nil, true, "success", 0},
		"disabled":      {githubtest.Behaviour{ListenerExit: 3, ListenerExitOnce: true}, []string{"--ephemeral", "--disableupdate"}, false, "success", 0},
		"disabled, job": {githubtest.Behaviour{UpdateInJob: true}, []string{"--ephemeral", "--disableupdate"}, false, "success", 0},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.Behave(row.behaviour)
			f.file("externals/node20/bin/node", "#!/bin/sh\n")
			if p := f.configure(row.args...); p.end() != 0 {
				t.Fatal(p.output())
			}
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 0.2"}})
			p := f.start("run.sh")
			if row.args == nil {
				f.until("the first job", func() bool { return f.Job(id).Result == "success" })
				f.poll("the new version", func() bool { return strings.Contains(p.output(), "Current runner version: '2.337.0'") })
				id = f.Enqueue(githubtest.Job{Repository: "acme/coach"})
				f.until("the second job", func() bool { return f.Job(id).Result == "success" })
				_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
			}
			if code := p.end(); code != row.code || f.Job(id).Result != row.result {
				t.Errorf("exit code %d, %+v", code, f.Job(id))
			}
			for _, left := range []string{"bin.2.336.0/Runner.Listener", "bin.2.337.0/Runner.Worker", "externals.2.337.0/node20/bin/node", "externals.2.336.0", "_work/_update/bin/Runner.Listener", "_work/_update/run.sh", "_work/_update.sh"} {
				if f.has(left) != row.updates {
					t.Errorf("%s: %t", left, f.has(left))
				}
			}
			if !row.updates {
				if strings.Contains(p.output(), "update") {
					t.Error(p.output())
				}
				return
			}
			p.says("Runner update in progress, do not shutdown runner.", "Downloading 2.337.0 runner", "Waiting for current job finish running.", "Generate and execute update script.",
				"Runner will exit shortly for update, should be back online within 10 seconds.", "Runner update process finished.", "Runner listener exit because of updating, re-launch runner after successful update", "Restarting runner...")
			if name == "in a job" {
				p.says(deleted, terminated)
			}
		})
	}
}
