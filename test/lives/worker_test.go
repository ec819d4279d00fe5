//go:build linux

package lives

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

// date is how the listener begins a line.
const date = "2026-11-25 10:11:12Z: "

// namesOfOthers were all seen to be believed by what reads lines alone: the listener
// prints a job's name as it is.
var namesOfOthers = map[string]string{
	"two lines":        "build\nwith two lines",
	"an end":           "build\n" + date + "Job build completed with result: Succeeded",
	"an end, and more": "build\n" + date + "Job build completed with result: Failed\nx",
	"idle":             "build\n" + date + "Listening for Jobs",
	"another job":      "build\n" + date + "Running job: another\nx",
	"a fatal error":    "build\nRunner listener exit with terminated error, stop the service, no retry needed.",
	"an exit code":     "build\nExiting with unknown error code: 137",
	"an update":        "build\nRunner update in progress, do not shutdown runner.",
	"a restart":        "build\nRunner listener exit with retryable error, re-launch runner in 5 seconds.",
	"a deletion":       "build\nFailed to create a session. The runner registration has been deleted from the server, please re-configure.",
	"a version":        "build\nCurrent runner version: '9.9.9'\nx",
	"carriage returns": "build\r" + date + "Listening for Jobs\rx",
}

// Whatever stands in a job's name, the job is busy while it runs, is left alone by
// the watchdog and by a stop that has the time, and its end is seen.
func TestNamesOfOthers(t *testing.T) {
	t.Parallel()
	for name, text := range namesOfOthers {
		for _, ephemeral := range []string{"true", "false"} {
			t.Run(name+"/ephemeral="+ephemeral, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
				records := filepath.Join(t.TempDir(), "jobs.jsonl")
				script, mark := marked(t, "while ! [ -e ../../../go ]; do sleep 0.05; done")
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: text, Steps: []string{script}})
				l := w.start("EPHEMERAL="+ephemeral, "RUNNER_WATCHDOG=1s", "RUNNER_RECORDS="+records, "RUNNER_STOP_GRACE=120s")
				w.poll("the step", func() bool { return exists(mark) })
				asked := w.Count("get-runner")
				w.until("six looks", func() bool { return w.Count("get-runner") > asked+6 })
				if _, status := w.command("status"); !strings.Contains(status, "busy") || strings.Contains(status, "9.9.9") {
					t.Errorf("status while it runs:\n%s", status)
				}
				l.signal(syscall.SIGTERM)
				w.until("the question whether it is busy", func() bool { return w.Count("delete-runner") > 0 })
				if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				l.end(0)
				w.none()
				if j := w.Job(id); j.Result != "success" {
					t.Errorf("the job: %+v", j)
				}
				all := w.jobRecords(records)
				if len(all) != 1 || all[0].Result != "Succeeded" || all[0].Repository != "acme/coach" || all[0].Finished.Sub(all[0].Started) < time.Second {
					t.Errorf("records %+v", all)
				}
			})
		}
	}
}

// Without access to the API a stop asks the worker's process, not the lines.
func TestDrainWithoutAPIAsksTheWorker(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"an end": namesOfOthers["an end"], "idle": namesOfOthers["idle"], "plain": "build"} {
		for _, ephemeral := range []string{"true", "false"} {
			t.Run(name+"/ephemeral="+ephemeral, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
				w.env["RUNNER_TOKEN"], w.env["GITHUB_TOKEN"] = w.RegistrationToken("acme"), ""
				script, mark := marked(t, "while ! [ -e ../../../go ]; do sleep 0.05; done")
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: text, Steps: []string{script}})
				l := w.start("EPHEMERAL="+ephemeral, "RUNNER_STOP_GRACE=120s")
				w.poll("the step", func() bool { return exists(mark) })
				l.signal(syscall.SIGTERM)
				w.poll("the drain", func() bool { return strings.Contains(l.out.String(), "draining") })
				time.Sleep(time.Second) // an interrupt would have come at once
				if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				<-l.ended
				if j := w.Job(id); j.Result != "success" {
					t.Errorf("the job: %+v", j)
				}
			})
		}
	}
}

// A condition's values come through the worker's diagnostic log, which the official
// image prints: a carriage return in a commit message makes a line of it.
func TestTextOfACondition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	w.env["ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT"] = "1"
	message := "fix\r" + date + "Listening for Jobs\rthanks\r" + date + "Job build completed with result: Succeeded\rx"
	script, mark := marked(t, "while ! [ -e ../../../go ]; do sleep 0.05; done")
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "build", Plan: []githubtest.Step{
		{Run: "true", If: "contains('" + message + "', 'deploy')"}, {Run: script, If: "always()"},
	}})
	l := w.start("RUNNER_WATCHDOG=1s")
	w.poll("the step", func() bool { return exists(mark) })
	asked := w.Count("get-runner")
	w.until("six looks", func() bool { return w.Count("get-runner") > asked+6 })
	if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.end(0)
	w.none()
	if j := w.Job(id); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
}

// pidOf is the process of a runner's folder with these words in its command line.
func (w *world) pidOf(what string) (pid int) {
	w.t.Helper()
	w.poll(what, func() bool {
		for _, p := range processes(w.home) {
			if strings.Contains(p, what) {
				_, err := fmt.Sscan(p, &pid)
				return err == nil
			}
		}
		return false
	})
	return pid
}

// A worker ends its job without its listener.
func TestDeadListenerDoesNotCostTheJob(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, grace, step, result string }{
		{"it ends by itself", "", "sleep 3", "success"},
		{"a stop waits for it", "60s", "sleep 3", "success"},
		{"a stop cancels it", "5s", "sleep 300", "failure"},
	} {
		for _, classic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/classic=%t", row.name, classic), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
				w.Behave(githubtest.Behaviour{Classic: classic})
				records := filepath.Join(t.TempDir(), "jobs.jsonl")
				w.env["RUNNER_RECORDS"] = records
				if row.grace != "" {
					w.env["RUNNER_STOP_GRACE"] = row.grace
				}
				script, mark := marked(t, row.step)
				l := withJob(w, script)
				w.poll("the step", func() bool { return exists(mark) })
				if err := syscall.Kill(w.pidOf("Runner.Listener run"), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				code := 75
				if row.grace != "" {
					code = 0
					l.signal(syscall.SIGTERM)
				}
				l.end(code)
				w.none()
				if j := w.Jobs()[0]; j.Result != row.result || j.Lost {
					t.Errorf("the job: %+v", j)
				}
				want := map[string]string{"success": "Succeeded", "failure": "Failed"}[row.result]
				if all := w.jobRecords(records); len(all) != 1 || all[0].Result != want && all[0].Result != "unknown" {
					t.Errorf("records %+v", all)
				}
			})
		}
	}
}

// A worker that dies is told to GitHub by its listener in v2; in classic by nobody.
// Exit 0 means that no runner is left.
func TestDeadWorker(t *testing.T) {
	t.Parallel()
	for _, classic := range []bool{false, true} {
		t.Run(fmt.Sprintf("classic=%t", classic), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{LostAfter: 3 * time.Second})
			w.Behave(githubtest.Behaviour{Classic: classic})
			script, mark := marked(t, "sleep 300")
			l := withJob(w, script)
			w.poll("the step", func() bool { return exists(mark) })
			if err := syscall.Kill(w.pidOf("Runner.Worker"), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			l.end(0)
			w.none()
		})
	}
}

// After its job an ephemeral listener has nothing to do: one that hangs, as on a disk
// that the job has filled, is ended.
func TestListenerThatHangsAfterItsJob(t *testing.T) {
	t.Parallel()
	for _, stop := range []bool{false, true} {
		t.Run(fmt.Sprintf("stop=%t", stop), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.Behave(githubtest.Behaviour{HangAfterJob: true})
			id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			l := w.start("RUNNER_STOP_GRACE=60s")
			w.poll("the job's end", func() bool { return strings.Contains(l.out.String(), "completed with result: Succeeded") })
			began := time.Now()
			if stop {
				l.signal(syscall.SIGTERM)
			}
			l.end(0)
			if took := time.Since(began); stop && took > 15*time.Second || took > 45*time.Second {
				t.Errorf("it took %s", took)
			}
			w.none()
			if w.Job(id).Result != "success" {
				t.Errorf("the job: %+v", w.Job(id))
			}
		})
	}
}

// Without ephemeral what a job has left running is ended before the next one, also
// what has left its tracking behind, and the runner's logs do not grow.
func TestNothingOfAJobSeesTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	daemon := filepath.Join(t.TempDir(), "daemon")
	first := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{
		"env -u RUNNER_TRACKING_ID setsid bash -c 'echo $$ > " + daemon + "; trap \"\" TERM INT HUP; while true; do sleep 0.1; done' </dev/null >/dev/null 2>&1 &\nwhile ! [ -s " + daemon + " ]; do sleep 0.05; done",
		"cd ../../../_diag; for i in $(seq 300); do echo $i > old-$i.log; done; touch -d '1 hour ago' old-*"}})
	l := w.start("EPHEMERAL=false")
	w.until("the first job", func() bool { return w.Job(first).Status == "completed" })
	second := w.Enqueue(githubtest.Job{Repository: "acme/mcp", Steps: []string{"! kill -0 $(cat " + daemon + ")", "cd ../../../_diag; [ $(find . -type f | wc -l) -lt 120 ]"}})
	w.until("the second job", func() bool { return w.Job(second).Status == "completed" })
	if w.Job(first).Result != "success" || w.Job(second).Result != "success" {
		t.Errorf("the jobs: %+v\n%+v", w.Job(first), w.Job(second))
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A failed poll makes no runner unhealthy for the rest of its life: its listener may
// never say that the connection is back, so GitHub is asked soon.
func TestFailedPollAsksGitHubSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.env["STAND_IN_SPEED"] = "20"
	l := w.start() // the watchdog looks every five minutes
	w.untilOnline()
	lift := w.Inject(githubtest.Fault{Operation: "runner:message", Status: 503})
	w.poll("the lost connection", func() bool { return strings.Contains(l.out.String(), "Runner connect error") })
	lift()
	w.until("a look", func() bool { return w.Count("get-runner") > 0 })
	if code, status := w.command("healthcheck", "--live"); code != 0 {
		t.Errorf("healthcheck: %d %s", code, status)
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A registration that GitHub has deleted is replaced at once, however it says so.
func TestEveryFormOfADeletedRegistration(t *testing.T) {
	t.Parallel()
	for _, classic := range []bool{false, true} {
		for _, form := range []githubtest.Deleted{"", githubtest.DeletedSession, githubtest.DeletedToken, githubtest.DeletedUnauthorized} {
			t.Run(fmt.Sprintf("classic=%t/%s", classic, form), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				w.env["STAND_IN_SPEED"] = "20"
				w.Behave(githubtest.Behaviour{Classic: classic, Deleted: form})
				l := w.start("RUNNER_WATCHDOG=1s")
				w.untilOnline()
				old := w.Runners()[0].ID
				w.RemoveRunner(old)
				w.untilOnline()
				if now := w.Runners()[0].ID; now == old {
					t.Errorf("it is still %d", now)
				}
				job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
				l.end(0)
				w.none()
				if w.Job(job).Result != "success" {
					t.Errorf("the job: %+v", w.Job(job))
				}
			})
		}
	}
}

// A stop whose DELETE makes the listener end for another start ends it at once, and
// without a warning.
func TestStopWhoseListenerWouldStartAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Behave(githubtest.Behaviour{TokenRefused: "always"})
	l := w.start("EPHEMERAL=false")
	w.untilOnline()
	began := time.Now()
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	if strings.Contains(l.out.String(), "WRN") {
		t.Errorf("it warns:\n%s", l.out.String())
	}
}
