//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

func TestOneJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"self-hosted", "acme/coach", "Org-Runner"}, Steps: []string{"echo hello; env; cat /proc/$PPID/environ"}})
	l := w.start("LABELS=org-runner,acme/coach", "RUNNER_GROUP=DEFAULT")
	l.end(0)
	w.none()
	job := w.Job(id)
	if job.Result != "success" || !strings.Contains(job.Log, "hello") {
		t.Errorf("the job: %+v", job)
	}
	w.counts(map[string]int{"registration-token": 1})
	w.noSecretIn("the job's environment", job.Log)
	w.noSecretIn("the log", l.out.String())
	for name := range w.env {
		if ours := slices.Contains([]string{"PATH", "HOME", "RUNNER_ALLOW_RUNASROOT", "RUNNER_NAME", "GITHUB_SERVER_URL"}, name); !ours && strings.Contains(job.Log, "\n"+name+"=") {
			t.Errorf("the job sees %s", name)
		}
	}
}

func TestWhatConfigShIsGivenArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	group := w.AddGroup("acme", githubtest.Group{Name: "Fleet A"})
	l := w.start("RUNNER_GROUP=fleet a", "LABELS=gpu,acme/coach", "RUNNER_WORKDIR=jobs", "NO_DEFAULT_LABELS=true", "EPHEMERAL=true")
	w.untilOnline()
	r := w.Runners()[0]
	if r.Name != "fleet" || r.GroupID != group || !slices.Equal(r.Labels, []string{"gpu", "acme/coach"}) || !r.Ephemeral || r.WorkDir != "jobs" {
		t.Errorf("GitHub has %+v", r)
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	w.counts(map[string]int{"registration-token": 1, "delete-runner": 1})
}

func TestStoppedWhileIdle(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		w := newWorld(t, githubtest.Options{})
		l := w.start()
		w.untilOnline()
		l.signal(signal)
		l.end(0)
		w.none()
		w.counts(map[string]int{"registration-token": 1, "delete-runner": 1})
		for _, name := range []string{".runner", ".credentials"} {
			if _, err := os.Stat(filepath.Join(w.home, name)); err == nil {
				t.Errorf("%s is left", name)
			}
		}
	}
}

func TestJobAfterJobWithoutEphemeral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	first := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	l := w.start("EPHEMERAL=false")
	w.until("the first job", func() bool { return w.Job(first).Status == "completed" })
	second := w.Enqueue(githubtest.Job{Repository: "acme/mcp", Steps: []string{"sleep 1; echo done"}})
	w.until("the second job's start", func() bool { return w.Job(second).Status == "in_progress" })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if j := w.Job(second); j.Result != "success" || !strings.Contains(j.Log, "done") {
		t.Errorf("the job that had time: %+v", j)
	}
}
