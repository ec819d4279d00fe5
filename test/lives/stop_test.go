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

// state brings a life to where something is to happen to it.
type state struct {
	name  string
	bring func(w *world) *life
	job   bool // a job runs then, of one second
}

func withJob(w *world, script string) *life {
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
	l := w.start()
	w.until("a running job", func() bool { return w.Jobs()[0].Status == "in_progress" })
	return l
}

// started waits until config.sh's or run.sh's listener runs.
func (w *world) started(what string) {
	w.t.Helper()
	w.poll(what, func() bool {
		for _, p := range processes(w.home) {
			if strings.Contains(p, "Runner.Listener "+what) {
				return true
			}
		}
		return false
	})
}

var states = []state{
	{name: "waiting in a retry", bring: func(w *world) *life {
		w.Inject(githubtest.Fault{Operation: "registration-token", Status: 500, Message: "Server Error"})
		l := w.start()
		w.until("a refused call", func() bool { return w.Count("registration-token") > 0 })
		return l
	}},
	{name: "token request hangs", bring: func(w *world) *life {
		w.Inject(githubtest.Fault{Operation: "registration-token", Hang: true})
		l := w.start()
		w.until("the request", func() bool { return w.Count("registration-token") > 0 })
		return l
	}},
	{name: "JIT request hangs after its effect", bring: func(w *world) *life {
		w.Inject(githubtest.Fault{Operation: "generate-jitconfig", Drop: githubtest.DropAfter, Times: 1})
		w.Inject(githubtest.Fault{Operation: "generate-jitconfig", Hang: true})
		l := w.start("RUNNER_REGISTRATION=jit")
		w.until("a registration", func() bool { return len(w.Runners()) == 1 && w.Count("generate-jitconfig") > 1 })
		return l
	}},
	{name: "config.sh hangs before it registers", bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{ConfigHang: true})
		l := w.start()
		w.started("configure")
		return l
	}},
	{name: "config.sh hangs after it has registered", bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{ConfigHangAfter: true})
		l := w.start()
		w.until("a registration", func() bool { return len(w.Runners()) == 1 })
		return l
	}},
	{name: "the listener starts", bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{StartDelay: time.Hour})
		l := w.start()
		w.started("run")
		return l
	}},
	{name: "idle", bring: func(w *world) *life {
		l := w.start()
		w.untilOnline()
		return l
	}},
	{name: "idle with a listener that ignores SIGINT", bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{IgnoreInterrupt: true})
		l := w.start()
		w.untilOnline()
		return l
	}},
	{name: "idle with JIT", bring: func(w *world) *life {
		l := w.start("RUNNER_REGISTRATION=jit")
		w.untilOnline()
		return l
	}},
	{name: "busy", job: true, bring: func(w *world) *life { return withJob(w, "sleep 1") }},
	{name: "busy with JIT", job: true, bring: func(w *world) *life {
		w.env["RUNNER_REGISTRATION"] = "jit"
		return withJob(w, "sleep 1")
	}},
	{name: "busy without ephemeral", job: true, bring: func(w *world) *life {
		w.env["EPHEMERAL"] = "false"
		return withJob(w, "sleep 1")
	}},
	{name: "busy, with a daemon that holds the output", job: true, bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{HoldOutput: true})
		return withJob(w, "sleep 1")
	}},
	{name: "self-update", bring: func(w *world) *life {
		w.Behave(githubtest.Behaviour{ListenerExit: 3})
		l := w.start()
		w.until("a second session", func() bool { return w.Count("runner:session") > 1 })
		return l
	}},
}

// A stop in every state: nothing is left anywhere, and the job that had time
// has finished.
func TestStopInEveryState(t *testing.T) {
	t.Parallel()
	for _, s := range states {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(fmt.Sprintf("%s/%s", s.name, signal), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				l := s.bring(w)
				l.signal(signal)
				l.end(0)
				w.none()
				if s.job {
					if j := w.Jobs()[0]; j.Result != "success" {
						t.Errorf("the job had time: %+v", j)
					}
				}
			})
		}
	}
}

// A life that is killed in any state is repaired by the next one in the same
// folder, which then does its own job.
func TestKillInEveryStateIsRepaired(t *testing.T) {
	t.Parallel()
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			l := s.bring(w)
			l.kill()
			w.Behave(githubtest.Behaviour{})
			w.lift()
			job := w.Enqueue(githubtest.Job{Repository: "acme/mcp", RunsOn: []string{"after"}, Steps: []string{"true"}})
			l = w.start("EPHEMERAL=true", "LABELS=after")
			l.end(0)
			if j := w.Job(job); j.Result != "success" {
				t.Errorf("the next life's job: %+v", j)
			}
			w.none()
		})
	}
}

// One of the runner's own processes is killed: nothing is left.
func TestRunnersProcessIsKilled(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		victim string
		busy   bool
		code   int
		result string // of the job
	}{
		{"/run.sh", false, 0, ""}, // its listener goes on, until it is stopped
		{"/run.sh", true, 0, "success"},
		{"/run-helper.sh", true, 0, "success"},
		{"Runner.Listener run", false, 75, ""},
		{"Runner.Listener run", true, 75, "failure"},
		{"Runner.Worker", true, 0, "failure"},
	} {
		t.Run(fmt.Sprintf("%s/busy=%t", row.victim, row.busy), func(t *testing.T) {
			t.Parallel()
			options := githubtest.Options{LostAfter: time.Minute} // a busy machine's listener is slow to ask
			if row.result != "success" {
				options.LostAfter = 300 * time.Millisecond
			}
			w := newWorld(t, options)
			var l *life
			if row.busy {
				l = withJob(w, "sleep 2")
				w.started("run")
				w.poll("the worker", func() bool {
					return strings.Contains(strings.Join(processes(w.home), "\n"), "Runner.Worker spawnclient")
				})
			} else {
				l = w.start()
				w.untilOnline()
			}
			killed := false
			for _, p := range processes(w.home) {
				var pid int
				if _, err := fmt.Sscan(p, &pid); err == nil && strings.Contains(p, row.victim) {
					killed = syscall.Kill(pid, syscall.SIGKILL) == nil
				}
			}
			if !killed {
				t.Fatalf("no %s among %v", row.victim, processes(w.home))
			}
			if !row.busy && row.code == 0 {
				l.signal(syscall.SIGTERM)
			}
			l.end(row.code)
			w.none()
			if row.busy {
				if j := w.Jobs()[0]; j.Result != row.result {
					t.Errorf("the job: %+v", j)
				}
			}
		})
	}
}

// A job longer than the grace: its step is interrupted and has time to end,
// GitHub is told, nothing is left.
func TestJobLongerThanTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	mark := filepath.Join(t.TempDir(), "mark")
	l := func() *life {
		w.env["RUNNER_STOP_GRACE"] = "4s"
		return withJob(w, "trap 'echo interrupted > "+mark+"; exit 1' INT; touch "+mark+"; sleep 600 & wait")
	}()
	w.poll("the step", func() bool { _, err := os.Stat(mark); return err == nil })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if text, _ := os.ReadFile(mark); string(text) != "interrupted\n" {
		t.Errorf("the step's mark says %q", text)
	}
	if j := w.Jobs()[0]; !j.Shutdown || j.Result != "failure" {
		t.Errorf("GitHub was not told: %+v", j)
	}
}

// The second signal skips the drain, the third the cancellation.
func TestSignalsEscalate(t *testing.T) {
	t.Parallel()
	for _, signals := range []int{2, 3} {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			t.Parallel()
			options := githubtest.Options{LostAfter: time.Minute}
			if signals == 3 { // nobody tells GitHub
				options.LostAfter = 300 * time.Millisecond
			}
			w := newWorld(t, options)
			w.env["RUNNER_STOP_GRACE"] = "1h" // nothing but the signals can end it in time
			mark := filepath.Join(t.TempDir(), "mark")
			script := "touch " + mark + "; sleep 600"
			if signals == 3 {
				script = "trap '' INT TERM; " + script // deaf
			}
			l := withJob(w, script)
			w.poll("the step", func() bool { _, err := os.Stat(mark); return err == nil })
			for range signals {
				l.signal(syscall.SIGTERM)
				// Signals of one kind that come together are one.
				time.Sleep(100 * time.Millisecond)
			}
			l.end(0)
			w.none()
			if j := w.Jobs()[0]; j.Result != "failure" || j.Shutdown != (signals == 2) {
				t.Errorf("the job: %+v", j)
			}
		})
	}
}

// GitHub is out of reach while we stop: the runner ends in time, the exit code
// says that something is left, and the next start removes it.
func TestStopWithoutGitHub(t *testing.T) {
	t.Parallel()
	for _, grace := range []string{"1s", "3s"} {
		t.Run(grace, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_STOP_GRACE"] = grace
			l := w.start()
			w.untilOnline()
			w.SetDown(true)
			l.signal(syscall.SIGTERM)
			l.end(128 + int(syscall.SIGTERM))
			w.SetDown(false)
			if len(w.Runners()) != 1 {
				t.Fatalf("GitHub has %+v", w.Runners())
			}
			w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			w.start().end(0)
			w.none()
		})
	}
}
