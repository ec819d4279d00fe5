//go:build linux

package runnertest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A step that is cancelled, with the official runner's own times: from the
// listener's SIGINT to its line of the job's end.
func TestTimesOfACancellation(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		script      string
		kill        bool // what runs below the worker, 0.3 s after
		least, most time.Duration
	}{
		"a shell that waits for its child": {"touch $MARK; sleep 300", false, 12500 * time.Millisecond, 15 * time.Second},
		"deaf to both signals":             {"trap '' INT TERM; touch $MARK; while :; do sleep 0.1; done", false, 10 * time.Second, 12500 * time.Millisecond},
		"ends on SIGINT":                   {": > $MARK; exec sleep 300", false, 300 * time.Millisecond, 2500 * time.Millisecond},
		"killed from outside":              {"touch $MARK; sleep 300", true, 500 * time.Millisecond, 2500 * time.Millisecond},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.realTimes()
			f.mustConfigure()
			p, id := f.job(row.script)
			worker := f.processes("bin/Runner.Worker spawnclient 3 4")
			if len(worker) != 1 || parent(t, worker[0]) != f.listenerPID() {
				t.Fatalf("the worker %v is no child of the listener %d", worker, f.listenerPID())
			}
			began := time.Now()
			_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
			if row.kill {
				time.Sleep(300 * time.Millisecond)
				// All of them are listed first: without its shell the child is below no worker.
				step := slices.DeleteFunc(f.processes(""), func(pid int) bool { return !below(t, pid, worker[0]) })
				for _, pid := range step {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if code := p.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(began); took < row.least || took > row.most {
				t.Errorf("it took %s, want %s to %s", took, row.least, row.most)
			}
			p.says("Exiting...", "Job build completed with result: Canceled")
			j := f.Job(id)
			if j.Result != "failure" || !j.Shutdown || len(j.Outcomes) != 2 || j.Outcomes[0].Result != "cancelled" || j.Outcomes[1].Result != "skipped" {
				t.Errorf("%+v", j)
			}
			f.poll("an end of all", func() bool { return len(f.processes("Runner.")) == 0 })
		})
	}
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

func below(t *testing.T, pid, root int) bool {
	t.Helper()
	for pid > 1 {
		if pid = parent(t, pid); pid == root {
			return true
		}
	}
	return false
}

// What a worker leaves of files, and with which modes config.sh writes its own.
func TestFiles(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		for name, mode := range map[string]os.FileMode{".runner": 0o644, ".credentials": 0o644, ".credentials_rsaparams": 0o600, "svc.sh": 0o755, "_work": 0o755 | os.ModeDir} {
			if info, err := os.Stat(filepath.Join(f.dir, name)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"ls ../../_temp; sleep 986 >/dev/null 2>&1 & env -u RUNNER_TRACKING_ID sleep 987 >/dev/null 2>&1 & until [ $(cat /proc/$!/comm) = sleep ]; do sleep 0.01; done"}})
		f.start("run.sh").end()
		for _, name := range []string{"_diag/pages", "_diag/blocks", "_work/_PipelineMapping/acme/coach/PipelineFolder.json", "_work/_temp", "_work/_tool", "_work/coach/coach", ".env", ".path"} {
			if !f.has(name) {
				t.Errorf("no %s", name)
			}
		}
		if logs, _ := filepath.Glob(filepath.Join(f.dir, "_diag", "Worker_*.log")); len(logs) != 1 {
			t.Errorf("worker's logs: %v", logs)
		}
		if left, _ := os.ReadDir(filepath.Join(f.dir, "_work", "_temp")); len(left) != 0 || f.has(".runner") || f.has(".credentials_rsaparams") {
			t.Errorf("left: %v", left)
		}
		if j := f.Job(id); !strings.Contains(j.Log, "_runner_file_commands\n") || !strings.Contains(j.Log, "Terminate orphan process: pid (") || len(f.processes("sleep 986")) != 0 || len(f.processes("sleep 987")) != 1 {
			t.Errorf("%+v, %v", j, f.processes("sleep"))
		}
	})
}

// A work folder that cannot be written fails the job without a step and without a
// line of log.
func TestWorkFolderCannotBeWritten(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		if err := os.WriteFile(filepath.Join(f.dir, "_work", "_temp"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		if code := p.end(); code != 0 || f.has(".runner") {
			t.Errorf("exit code %d", code)
		}
		p.says("Job build completed with result: Failed")
		if j := f.Job(id); j.Result != "failure" || len(j.Outcomes) != 0 || j.Log != "" {
			t.Errorf("%+v", j)
		}
	})
}

// Which steps run: a failed hook ends no job, nor does a cancellation end what has
// the condition always().
func TestConditions(t *testing.T) {
	t.Parallel()
	plan := []githubtest.Step{
		{Run: "exit 4", ContinueOnError: true}, {Run: "echo one; [ -z \"$FAILS\" ]"}, {Run: "true"}, {Run: "true", If: "always()"},
		{Run: "true", If: "failure()"}, {Run: "true", If: "!success()"}, {Run: "true", If: "cancelled()"}, {Run: "true", If: "false"}, {Run: "true", If: "always() && contains('It''s [DEPLOY]', '[deploy]')"},
	}
	for name, row := range map[string]struct {
		hook, fails, want, result string
	}{
		"good":        {"true", "", "success success success success success skipped skipped skipped skipped success success", "success"},
		"a step":      {"true", "1", "success success failure skipped success success success skipped skipped success success", "failure"},
		"the hook":    {"exit 1", "", "failure skipped skipped skipped success success success skipped skipped success success", "failure"},
		"a shutdown":  {"kill -TERM $PPID; sleep 300", "", "cancelled skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped", "failure"},
		"a js hook":   {"js", "", "success success success success success skipped skipped skipped skipped success success", "success"},
		"no such":     {"none", "", "failure skipped skipped skipped success success success skipped skipped success success", "failure"},
		"another one": {"py", "", "failure skipped skipped skipped success success success skipped skipped success success", "failure"},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.mustConfigure()
			hook := f.file("hook.sh", row.hook)
			switch row.hook {
			case "none":
				hook += ".none.sh"
			case "py":
				hook = f.file("hook.py", "")
			case "js":
				hook = f.file("hook.js", "")
				f.file("externals/node20/bin/node", "#!/bin/sh\necho node runs $1\n")
			}
			f.env = append(f.env, "ACTIONS_RUNNER_HOOK_JOB_STARTED="+hook, "ACTIONS_RUNNER_HOOK_JOB_COMPLETED="+f.file("completed.sh", "true"))
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Plan: plan, Env: map[string]string{"FAILS": row.fails}})
			p := f.start("run.sh")
			p.end()
			j := f.Job(id)
			if got := outcomes(j); got != row.want || j.Result != row.result || f.has(".runner") {
				t.Errorf("%s: %s, want %s\n%s", j.Result, got, row.want, j.Log)
			}
			p.says(map[string]string{"success": "Job build completed with result: Succeeded", "failure": "Job build completed with result: Failed"}[row.result])
		})
	}
}

func outcomes(j githubtest.Job) string {
	var all []string
	for _, o := range j.Outcomes {
		all = append(all, o.Result)
	}
	return strings.Join(all, " ")
}

// A cancellation at GitHub ends a plain step and what has always() not; a started
// hook is given five minutes, and then the worker is killed.
func TestCancelledAtGitHub(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "in a step", func(t *testing.T, f *folder) {
		f.mustConfigure()
		mark := filepath.Join(f.dir, "mark")
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Env: map[string]string{"MARK": mark}, Plan: []githubtest.Step{
			{Run: "touch $MARK; sleep 300"}, {Run: "true"}, {Run: "true", If: "always()"}, {Run: "true", If: "cancelled()"}, {Run: "true", If: "failure()"},
		}})
		p := f.start("run.sh")
		f.poll("the step", func() bool { return f.has("mark") })
		f.CancelJob(id)
		p.end()
		if j := f.Job(id); j.Result != "cancelled" || outcomes(j) != "cancelled skipped success success skipped" {
			t.Errorf("%+v", j)
		}
		p.says("Job build completed with result: Canceled")
	})
	withScriptsNamed(t, "in the hook", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.env = append(f.env, "STAND_IN_SPEED=100", "ACTIONS_RUNNER_HOOK_JOB_STARTED="+f.file("hook.sh", "touch "+f.dir+"/mark; sleep 300"))
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		f.poll("the hook", func() bool { return f.has("mark") })
		began := time.Now()
		f.CancelJob(id)
		p.end()
		if j := f.Job(id); j.Result != "cancelled" || j.Log != "" || time.Since(began) < 3*time.Second {
			t.Errorf("after %s: %+v", time.Since(began), j)
		}
		p.says("Job build completed with result: Canceled")
	})
}

// A worker whose listener dies ends its job and reports. One that dies itself is
// reported as failed by a v2 listener, and by nobody with classic.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		victim  string
		classic bool
		result  string
		lost    bool
		files   bool // are left
	}{
		"listener":          {"Runner.Listener run", false, "success", false, true},
		"listener, classic": {"Runner.Listener run", true, "success", false, true},
		"worker":            {"Runner.Worker", false, "failure", false, false},
		"worker, classic":   {"Runner.Worker", true, "failure", true, false},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.Behave(githubtest.Behaviour{Classic: row.classic})
			f.mustConfigure()
			p, id := f.job("touch $MARK; until [ -e $MARK.go ]; do sleep 0.02; done")
			for _, pid := range f.processes(row.victim) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			p.end()
			if j := f.Job(id); j.Status == "completed" != (name == "worker") {
				t.Errorf("too early: %+v", j)
			}
			f.poll("the step's end", func() bool {
				_ = os.WriteFile(filepath.Join(f.dir, "mark.go"), nil, 0o644)
				return len(f.processes("_temp")) == 0
			})
			f.until("the job's end", func() bool { return f.Job(id).Status == "completed" })
			if j := f.Job(id); j.Result != row.result || j.Lost != row.lost || f.has(".runner") != row.files {
				t.Errorf(".runner %t, %+v", f.has(".runner"), j)
			}
			p.says(map[bool]string{true: "Exiting with unknown error code: 137", false: "Job build completed with result: Failed"}[row.files])
		})
	}
}
