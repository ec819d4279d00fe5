//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/test/released"
)

// A folder that the released version has used starts with this one: its runner is
// taken off GitHub, and a job runs.
func TestFoldersOfTheReleasedVersion(t *testing.T) {
	t.Parallel()
	for _, name := range released.Names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			if err := released.Leave(name, w.home); err != nil {
				t.Fatal(err)
			}
			var old int64
			if name != "idle" {
				old = w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet", Ephemeral: true, Labels: []string{"other"}})
			}
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"self-hosted"}, Steps: []string{"true"}})
			w.start().end(0)
			w.none()
			if j := w.Job(job); j.Result != "success" {
				t.Errorf("the job: %+v", j)
			}
			if old != 0 {
				w.counts(map[string]int{"registration-token": 1, "delete-runner": 1, "list-runners": 1})
			}
			// What the old notes claim of times is not in the new ones.
			data, err := os.ReadFile(filepath.Join(w.home, ".org-runner", "life.json"))
			if err != nil || strings.Contains(string(data), "pristine") {
				t.Errorf("the record: %s %v", data, err)
			}
		})
	}
}

// RUNNER_ON_REUSE=refuse knows a folder in which a runner has been, wherever it is.
func TestRefusesOutsideOfAContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	w.start("RUNNER_ON_REUSE=refuse").end(0)
	l := w.start("RUNNER_ON_REUSE=refuse")
	l.end(78)
	w.none()
	// And resets nothing there.
	left := filepath.Join(w.home, "left")
	if err := os.WriteFile(left, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	w.start().end(0)
	if _, err := os.Stat(left); err != nil {
		t.Error("a file of this machine's was deleted")
	}
}
