//go:build linux

package official

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// flows are those that GitHub sends runners to.
var flows = []actions.Flow{actions.V2, actions.Classic}

// each runs a test in every flow.
func each(t *testing.T, run func(t *testing.T, flow actions.Flow)) {
	t.Helper()
	needsRunner(t)
	for _, flow := range flows {
		name := "v2"
		if flow != actions.V2 {
			name = string(flow)
		}
		t.Run(name, func(t *testing.T) {
			if *standin {
				t.Parallel() // nothing is measured
			}
			run(t, flow)
		})
	}
}

// credentials are the ways to register.
var credentials = map[string]func(*world) []string{
	"config": func(*world) []string { return nil },
	"jit":    func(*world) []string { return []string{"RUNNER_REGISTRATION=jit"} },
	"token": func(w *world) []string {
		return []string{"GITHUB_TOKEN=", "RUNNER_TOKEN=" + w.RegistrationToken("acme")}
	},
	"ready jit": func(w *world) []string {
		return []string{"GITHUB_TOKEN=", "RUNNER_JITCONFIG=" + w.JITConfig("acme", "ready", "self-hosted")}
	},
}

// One job with all that a step can say; its end, its outputs and its steps are right
// at GitHub, and nothing is left.
func TestOneJob(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		for name, credential := range credentials {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, flow, githubtest.Options{})
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Env: map[string]string{"COLOUR": "blue"},
					Outputs: map[string]string{"shade": "${{ steps.first.outputs.shade }}"},
					Plan: []githubtest.Step{
						{ID: "first", Name: "first", Run: `echo "the colour is $COLOUR"; echo "shade=dark $COLOUR" >> "${GITHUB_OUTPUT:-/dev/null}"`},
						{Name: "second", Run: "exit 3", ContinueOnError: true},
						{Name: "third", If: "failure()", Run: "echo never"},
						{Name: "fourth", If: "always()", Run: "echo in the end"},
					}})
				l := w.start(credential(w)...)
				l.clean()
				j := w.Job(id)
				if j.Result != "success" {
					t.Fatalf("the job: %+v", j)
				}
				if *standin {
					return
				}
				if j.Produced["shade"] != "dark blue" {
					t.Errorf("outputs %v", j.Produced)
				}
				for step, result := range map[string]string{"first": "success", "third": "skipped", "fourth": "success"} {
					if !slices.Contains(j.Outcomes, githubtest.Outcome{Step: step, Result: result}) {
						t.Errorf("%s did not end as %s: %v", step, result, j.Outcomes)
					}
				}
				figure(t, "end of the job to exit", l.over.Sub(j.Completed))
			})
		}
	})
}

// figure logs one of the figures of docs/performance.md.
func figure(t testing.TB, what string, took time.Duration) {
	t.Logf("FIGURE %s: %s", what, took.Round(time.Millisecond))
}

// What docs/performance.md has of a life: see the lines that begin with FIGURE.
func TestFigures(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		for _, name := range []string{"config", "jit"} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, flow, githubtest.Options{})
				script, mark := w.marked("true")
				l := w.start(credentials[name](w)...)
				w.untilOnline()
				figure(t, "start to listening", time.Since(l.began))
				queued := time.Now()
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
				w.poll("the step", func() bool { return exists(mark) })
				figure(t, "queued to running its first step", time.Since(queued))
				l.clean()
				figure(t, "end of the job to exit", l.over.Sub(w.Job(id).Completed))
			})
		}
	})
}

// BenchmarkLife is a life with one short job, from the start to the exit.
func BenchmarkLife(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, actions.V2, githubtest.Options{})
		w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start().clean()
	}
}

func TestThreeJobs(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		l := w.start("EPHEMERAL=false")
		for i := range 3 {
			id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{fmt.Sprint("echo job ", i)}})
			if j := w.untilDone(id); j.Result != "success" {
				t.Errorf("the job: %+v", j)
			}
		}
		w.untilOnline()
		l.signal(syscall.SIGTERM)
		l.clean()
	})
}

func TestIdleStop(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		for name, credential := range credentials {
			if name == "ready jit" || name == "token" {
				continue // without the API nobody can delete an idle runner's registration
			}
			for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
				t.Run(fmt.Sprint(name, " ", signal), func(t *testing.T) {
					w := newWorld(t, flow, githubtest.Options{})
					l := w.start(credential(w)...)
					w.untilOnline()
					began := time.Now()
					l.signal(signal)
					l.clean()
					figure(t, "signal to exit, idle", l.over.Sub(began))
				})
			}
		}
	})
}

// A job that has time ends as if there had been no stop.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		script, mark := w.marked("sleep 4")
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
		l := w.start("RUNNER_STOP_GRACE=60s")
		w.poll("the step", func() bool { return exists(mark) })
		l.signal(syscall.SIGTERM)
		l.clean()
		if j := w.Job(id); j.Result != "success" {
			t.Errorf("the job: %+v", j)
		}
	})
}

// A job that has not is cancelled within the default grace, and GitHub is told:
// whatever its step does.
func TestCancelWithinTheGrace(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		for name, step := range map[string]string{
			"a plain step": "sleep 300", "it ignores signals": "trap '' INT TERM; sleep 300; sleep 300", "a daemon holds its output": "(setsid sleep 300 &); sleep 300",
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, flow, githubtest.Options{})
				script, mark := w.marked(step)
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
				l := w.start("RUNNER_STOP_GRACE=10s")
				w.poll("the step", func() bool { return exists(mark) })
				began := time.Now()
				l.signal(syscall.SIGTERM)
				l.clean()
				took := l.over.Sub(began)
				figure(t, "signal to exit, busy with "+name, took)
				if took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if j := w.Job(id); j.Status != "completed" || j.Result == "success" || j.Lost {
					t.Errorf("the job: %+v", j)
				}
			})
		}
	})
}

// A job that is cancelled at GitHub ends the life like any other.
func TestCancelledAtGitHub(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		script, mark := w.marked("exec sleep 300")
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
		l := w.start()
		w.poll("the step", func() bool { return exists(mark) })
		w.CancelJob(id)
		l.clean()
		if j := w.Job(id); j.Result != "cancelled" {
			t.Errorf("the job: %+v", j)
		}
	})
}

// What kill -9 of everything leaves, the next start takes off GitHub.
func TestKillAndRepair(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		for _, busy := range []bool{false, true} {
			t.Run(fmt.Sprint("busy=", busy), func(t *testing.T) {
				w := newWorld(t, flow, githubtest.Options{LostAfter: 15 * time.Second})
				l := w.start()
				w.untilOnline()
				old := w.Runners()[0].ID
				if busy {
					script, mark := w.marked("sleep 300")
					w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
					w.poll("the step", func() bool { return exists(mark) })
				}
				_ = l.Process.Kill()
				<-l.ended
				w.killRest()
				l = w.start()
				w.until("a runner of its own", func() bool {
					all := w.Runners()
					return len(all) == 1 && all[0].ID != old && all[0].Online
				})
				l.signal(syscall.SIGTERM)
				l.clean()
			})
		}
	})
}
