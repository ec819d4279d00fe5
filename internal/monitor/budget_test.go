package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Fifty repositories and 10,000 runners, of which some come and go all the time,
// stay within the budget of calls of an hour, and the queue is seen in time.
func TestBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("serves 10,000 runners")
	}
	w := newWorld(t)
	w.AddToken(githubtest.Token{Value: token})
	w.AddRunners(10_000, githubtest.Runner{Scope: "acme", Name: "fleet", Online: true, Version: "2.336.0", Labels: []string{"self-hosted", "Linux", "X64"}})
	for i := range 50 {
		w.AddRepository(fmt.Sprintf("acme/r%02d", i))
	}
	active := map[int64]time.Time{} // jobs, and when they change next
	queuedAt := time.Time{}
	// How long no answer came of a repository's runs, and how long it took until the
	// lonely job was seen.
	unseen, lonely := time.Duration(0), time.Duration(0)
	listed, began := time.Duration(0), w.clock.t // when the runners were known
	first := w.Runners()
	for minute := range 60 {
		now := w.clock.t
		// Every runner page has changed.
		w.RemoveRunner(first[minute].ID)
		w.AddRunner(githubtest.Runner{Scope: "acme", Name: fmt.Sprint("late-", minute), Online: true, Labels: []string{"self-hosted"}})
		for id, at := range active {
			if now.Before(at) {
				continue
			}
			w.ChangeJob(id, func(j *githubtest.Job) {
				if j.Status == "queued" {
					j.Status, j.Started, j.RunnerName, j.RunnerID = "in_progress", now, "fleet-1", 1
					active[id] = now.Add(3 * time.Minute)
				} else {
					j.Status, j.Result, j.Completed = "completed", "success", now
					delete(active, id)
				}
			})
		}
		// Ten busy repositories, and each minute one of the quiet ones.
		for _, i := range []int{minute % 10, 10 + minute%40} {
			id := w.AddJob(githubtest.Job{Repository: fmt.Sprintf("acme/r%02d", i), Workflow: "CI", Name: "build", Status: "queued", Queued: now})
			active[id] = now.Add(2 * time.Minute)
		}
		if minute == 30 {
			w.AddJob(githubtest.Job{Repository: "acme/r49", Workflow: "CI", Name: "lonely", Status: "queued", Queued: now, RunsOn: []string{"gpu"}})
			queuedAt = now
		}
		for range 12 {
			w.pass(5 * time.Second)
			for _, r := range w.m.repositories {
				if minute > 2 {
					unseen = max(unseen, w.clock.t.Sub(r.seen))
				}
			}
			if minute >= 30 && lonely == 0 && strings.Contains(fmt.Sprint(w.m.Overview().Queue.Jobs), "lonely") {
				lonely = w.clock.t.Sub(queuedAt)
			}
			if listed == 0 && !w.m.runnersAt.IsZero() {
				listed = w.clock.t.Sub(began)
			}
		}
	}
	calls, unchanged := w.counted()
	o := w.m.Overview()
	t.Logf("%d calls, %d unchanged in an hour; runners known after %s, read %s ago; the lonely job was seen within %s, and no repository unseen for longer than %s", calls, unchanged, listed, w.clock.t.Sub(o.Runners.AsOf), lonely, unseen)
	if calls >= 1000 {
		t.Errorf("%d calls in an hour", calls)
	}
	if o.Runners.Total != 10_000 || len(o.Runners.List) != mostListed || listed > time.Minute || w.Count("list-runners") < 110 {
		t.Errorf("%d runners, read at %s", o.Runners.Total, o.Runners.AsOf)
	}
	if o.Runners.StaleSince != nil || o.Queue.UnknownRepositories != 0 {
		t.Errorf("runners stale since %v, %d repositories unknown", o.Runners.StaleSince, o.Queue.UnknownRepositories)
	}
	if lonely == 0 || lonely > time.Minute || unseen > time.Minute {
		t.Errorf("the queue of a quiet repository was seen after %s, and one was not looked at for %s", lonely, unseen)
	}
	if done := o.Durations.Hour.Execution; done == nil || done.Count < 90 || o.GitHub.SkippedRuns > 0 {
		t.Errorf("finished jobs %+v, runs skipped %d, pending %d", done, o.GitHub.SkippedRuns, o.GitHub.PendingRuns)
	}
}
