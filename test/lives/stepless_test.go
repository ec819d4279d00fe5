//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// breakWorker makes every job of a world fail as the official worker does that
// cannot make its folders: at once, with the cause in its own log alone. mend puts
// the worker back.
func (w *world) breakWorker(log string) (mend func()) {
	w.t.Helper()
	w.ownListener()
	path := filepath.Join(w.home, "bin", "Runner.Worker")
	script := "#!/bin/bash\ncat > /dev/null &\nmkdir -p " + w.home + "/_diag\ncat > " + w.home + "/_diag/Worker_20261125-100000-utc.log <<'END'\n" + log + "\nEND\nexit 1\n"
	if err := os.Rename(path, path+".good"); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := os.Rename(path+".good", path); err != nil {
			w.t.Fatal(err)
		}
	}
}

const workerDied = "[2026-11-25 10:00:00Z INFO Worker] Version: 2.336.0\n" +
	"[2026-11-25 10:00:00Z ERR  Worker] System.UnauthorizedAccessException: Access to the path '/data/\x1b[31m_temp' is denied.\n" +
	"   at System.IO.FileSystem.CreateDirectory(String fullPath)\n" +
	"[2026-11-25 10:00:00Z ERR  Worker] #####################################################\n" +
	"[2026-11-25 10:00:00Z ERR  Worker] System.IO.IOException: Permission denied"

const itsCause = "UnauthorizedAccessException: Access to the path '/data/?[31m_temp' is denied."

// Two jobs in a row that fail before their first step are a crash, with the cause
// from the worker's log: in one life, or from life to life.
func TestJobsWithoutAStep(t *testing.T) {
	t.Parallel()
	t.Run("one life", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		w.breakWorker(workerDied)
		l := w.start("EPHEMERAL=false")
		for range 2 {
			w.untilOnline()
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			w.until("the job's end", func() bool { return w.Job(job).Status == "completed" })
		}
		l.end(75)
		w.none()
		if !strings.Contains(l.out.String(), itsCause) {
			t.Errorf("the cause is not told:\n%s", l.out.String())
		}
	})
	t.Run("life by life", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		mend := w.breakWorker(workerDied)
		for _, code := range []int{0, 75, 75} {
			w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			w.start().end(code)
			w.none()
		}
		if record, err := os.ReadFile(filepath.Join(w.home, ".org-runner/life.json")); err != nil || !strings.Contains(string(record), `"failures":3`) || !strings.Contains(string(record), "UnauthorizedAccessException") {
			t.Errorf("the next start is told %s, %v", record, err)
		}
		mend()
		job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start().end(0)
		if j := w.Job(job); j.Result != "success" {
			t.Errorf("the job: %+v", j)
		}
		if record, err := os.ReadFile(filepath.Join(w.home, ".org-runner/life.json")); err != nil || strings.Contains(string(record), "stepless") {
			t.Errorf("the next start is told %s, %v", record, err)
		}
	})
}

// Jobs whose workflow names an action that does not exist fail there too, and with
// them nothing is wrong here.
func TestWorkflowsFaultIsNoCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.breakWorker("[2026-11-25 10:00:00Z ERR  JobRunner] Job initialize failed.\n" +
		"[2026-11-25 10:00:00Z ERR  JobRunner] Caught exception from InitializeJob: GitHub.DistributedTask.WebApi.UnresolvableActionDownloadInfoException: Unable to resolve action acme/none@v1")
	for range 3 {
		w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start().end(0)
		w.none()
	}
}
