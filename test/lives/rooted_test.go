//go:build linux

package lives

import (
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Where a job has been root and no JIT configuration can be had, the next
// registration needs a token; RUNNER_ON_REUSE=refuse refuses it.
func TestNoTokenAfterARootJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.ownListener()
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	l := w.start("EPHEMERAL=false", "RUNNER_ON_REUSE=refuse", "RUNNER_WATCHDOG=1s")
	w.until("the job's end", func() bool { return w.Job(job).Status == "completed" })
	w.untilOnline()
	w.RemoveRunner(w.Runners()[0].ID)
	l.end(78)
	w.none()
	if n := w.Count("registration-token"); n != 1 {
		t.Errorf("%d registration tokens", n)
	}
	if !strings.Contains(l.out.String(), "this container has run a job as root: start a new container") {
		t.Errorf("the last words are\n%s", l.out.String())
	}
}
