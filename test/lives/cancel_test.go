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

// marked is a step that makes a file when it has begun, and then does what is given.
func marked(t *testing.T, then string) (script, mark string) {
	mark = filepath.Join(t.TempDir(), "mark")
	return "touch " + mark + "; " + then, mark
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// longSteps are what a job may be at that outlives a stop's grace.
var longSteps = map[string]string{
	"a shell with a child":                "sleep 300",
	"a shell that does nothing else":      "exec sleep 300",
	"it traps INT and TERM and goes on":   "trap : INT TERM; while true; do sleep 0.1; done",
	"its children ignore signals":         "bash -c \"trap '' INT TERM; sleep 300\"",
	"all of it ignores signals":           "trap '' INT TERM; sleep 300; sleep 300",
	"a daemon holds its output":           "(setsid sleep 300 &); sleep 300",
	"it goes on forking":                  "while true; do (sleep 1 &); sleep 0.01; done",
	"it ends on SIGINT, after a clean-up": "trap 'sleep 1; exit 1' INT; sleep 300 & wait",
}

// A job that outlives the grace is cancelled, not only killed: GitHub is told, no
// runner is left, the exit code is 0.
func TestJobThatOutlivesTheGrace(t *testing.T) {
	t.Parallel()
	for _, grace := range []string{"5s", "10s"} {
		for name, step := range longSteps {
			for _, classic := range []bool{false, true} {
				if classic && grace != "10s" {
					continue
				}
				t.Run(fmt.Sprintf("%s/classic=%t/%s", grace, classic, name), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
					w.Behave(githubtest.Behaviour{Classic: classic})
					w.env["RUNNER_STOP_GRACE"] = grace
					script, mark := marked(t, step)
					l := withJob(w, script)
					w.poll("the step", func() bool { return exists(mark) })
					limit, _ := time.ParseDuration(grace)
					began := time.Now()
					l.signal(syscall.SIGTERM)
					l.end(0)
					if took := time.Since(began); took > limit {
						t.Errorf("it took %s of %s", took, limit)
					}
					w.none()
					if j := w.Jobs()[0]; !j.Shutdown || j.Result != "failure" || !strings.Contains(j.Log, "shutdown signal") {
						t.Errorf("GitHub was not told: %+v", j)
					}
				})
			}
		}
	}
}

// The same without ephemeral, by JIT, with a ready token, and after two signals.
func TestOtherRunnersThatOutliveTheGrace(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		grace   string
		env     func(w *world) string
		signals int
	}{
		"without ephemeral": {"6s", func(*world) string { return "EPHEMERAL=false" }, 1},
		"JIT":               {"6s", func(*world) string { return "RUNNER_REGISTRATION=jit" }, 1},
		"a ready token": {"6s", func(w *world) string {
			w.env["GITHUB_TOKEN"] = ""
			return "RUNNER_TOKEN=" + w.RegistrationToken("acme")
		}, 1},
		"the second signal": {"40s", func(*world) string { return "EPHEMERAL=true" }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
			variable, value, _ := strings.Cut(row.env(w), "=")
			w.env[variable], w.env["RUNNER_STOP_GRACE"] = value, row.grace
			script, mark := marked(t, "sleep 300")
			l := withJob(w, script)
			w.poll("the step", func() bool { return exists(mark) })
			for range row.signals {
				l.signal(syscall.SIGTERM)
				time.Sleep(100 * time.Millisecond)
			}
			l.end(0)
			w.none()
			if j := w.Jobs()[0]; !j.Shutdown || j.Result != "failure" {
				t.Errorf("GitHub was not told: %+v", j)
			}
		})
	}
}

// From 16 s of grace on a step has all of its time: SIGINT, 7.5 s later SIGTERM, and
// what it does then.
func TestStepHasItsTimeWithinTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	w.env["RUNNER_STOP_GRACE"] = "16s"
	said := filepath.Join(t.TempDir(), "said")
	script, mark := marked(t, "trap 'echo INT >> "+said+"' INT; trap 'echo TERM >> "+said+"; sleep 2; echo done >> "+said+"; exit 1' TERM; while true; do sleep 0.05; done")
	l := withJob(w, script)
	w.poll("the step", func() bool { return exists(mark) })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if text, _ := os.ReadFile(said); string(text) != "INT\nTERM\ndone\n" {
		t.Errorf("the step says %q", text)
	}
	if j := w.Jobs()[0]; !j.Shutdown {
		t.Errorf("GitHub was not told: %+v", j)
	}
}

// What a stop did to a job is recorded as GitHub shows it.
func TestRecordOfACancelledJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.env["RUNNER_RECORDS"], w.env["RUNNER_STOP_GRACE"] = path, "5s"
	script, mark := marked(t, "sleep 300")
	l := withJob(w, script)
	w.poll("the step", func() bool { return exists(mark) })
	l.signal(syscall.SIGTERM)
	l.end(0)
	all := w.jobRecords(path)
	if len(all) != 1 || all[0].Result != "Failed" || all[0].Reason != "The runner has received a shutdown signal." || w.Jobs()[0].Result != "failure" {
		t.Errorf("records %+v, the job %+v", all, w.Jobs()[0])
	}
}

// After a kill GitHub calls the runner busy for minutes: a few tries to delete it are
// enough, and its own words are the cause.
func TestThirdSignalDoesNotAskOnAndOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	w.env["RUNNER_STOP_GRACE"] = "30s"
	script, mark := marked(t, "sleep 300")
	l := withJob(w, script)
	w.poll("the step", func() bool { return exists(mark) })
	began := time.Now()
	for range 3 {
		l.signal(syscall.SIGTERM)
		time.Sleep(100 * time.Millisecond)
	}
	l.end(128 + int(syscall.SIGTERM))
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := w.Count("delete-runner"); n > 4 {
		t.Errorf("GitHub was asked %d times to delete it", n)
	}
	if !strings.Contains(l.out.String(), "still runs a job") {
		t.Errorf("the cause is not told:\n%s", l.out.String())
	}
}

// A stop that GitHub does not answer names GitHub's own words, not our giving up.
func TestCauseOfARunnerThatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.env["RUNNER_STOP_GRACE"] = "3s"
	l := w.start()
	w.untilOnline()
	w.Inject(githubtest.Fault{Operation: "delete-runner", Status: 503, Message: "No server is currently available"})
	l.signal(syscall.SIGTERM)
	l.end(128 + int(syscall.SIGTERM))
	out := l.out.String()
	if last := out[strings.LastIndex(out, "may still be registered"):]; !strings.Contains(last, "503") || strings.Contains(last, "context canceled") {
		t.Errorf("it ends with %q", last)
	}
}
