package monitor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// job is one of a run on a runner of our own.
func job(id int64, name, status, conclusion string, started, ended time.Time) register.Job {
	j := register.Job{ID: id, Name: name, Status: status, Conclusion: conclusion, Labels: []string{"self-hosted"}, CreatedAt: started}
	if status != "queued" && status != "waiting" {
		j.RunnerName, j.StartedAt = "fleet-1", &started
	}
	if status == "completed" {
		j.CompletedAt = &ended
	}
	return j
}

// crowd is a page of runs that did nothing, all older than at.
func crowd(at time.Time) (runs []register.Run) {
	for i := range 150 {
		runs = append(runs, register.Run{ID: int64(1000 - i), Status: "completed", Conclusion: "skipped", Attempt: 1, UpdatedAt: at.Add(-time.Duration(i) * time.Second)})
	}
	return runs
}

func week(m *Monitor) (done int) {
	for _, r := range m.Overview().Repositories {
		done += r.Jobs.Week.Total
	}
	return done
}

// A run that is in no list of runs that wait or run has not ended as long as one of
// its jobs has not.
func TestRunsThatHaveNotEnded(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	at := c.t.Add(-time.Hour)
	runs := crowd(at)
	patient := &runs[140]
	patient.Status, patient.Conclusion = "in_progress", ""
	s.runs = map[string][]register.Run{"acme/coach": runs}
	s.jobs[patient.ID] = []register.Job{job(1, "build", "completed", "success", at, at.Add(time.Minute)), job(2, "deploy", "waiting", "", at, at)}
	pass(t, m, c, time.Minute)
	patient.Status = "pending"
	pass(t, m, c, time.Hour)
	if m.history.has(patient.ID, 1) || m.repositories["acme/coach"].live[patient.ID] == nil {
		t.Fatal("the run was given up while a job of it waits")
	}
	if n := s.count("runs acme/coach queued"); n > 8 {
		t.Errorf("%d sweeps in an hour", n)
	}
	s.jobs[patient.ID][1] = job(2, "deploy", "completed", "success", c.t.Add(-time.Minute), c.t)
	patient.Status, patient.Conclusion, patient.UpdatedAt = "completed", "success", c.t
	pass(t, m, c, 15*time.Minute)
	if n := week(m); n != 2 || !m.history.has(patient.ID, 1) {
		t.Errorf("%d jobs, looked into: %t", n, m.history.has(patient.ID, 1))
	}
}

// A run of long ago that is run again is found by a sweep, while the newest page does
// not change, and its end too.
func TestOldRunsThatAreRunAgain(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	runs := crowd(c.t.Add(-time.Hour))
	s.runs = map[string][]register.Run{"acme/coach": runs}
	pass(t, m, c, 30*time.Minute)
	s.fail = func(_ context.Context, call string) error {
		if call == "runs acme/coach" {
			return &register.Error{Kind: errUnchanged}
		}
		return nil
	}
	again := &runs[140]
	again.Status, again.Conclusion, again.Attempt, again.UpdatedAt = "in_progress", "", 2, c.t
	s.jobs[again.ID] = []register.Job{job(1, "build", "in_progress", "", c.t, c.t)}
	pass(t, m, c, 70*time.Minute)
	if o := m.Overview(); o.Running.Total != 1 {
		t.Fatalf("it is not seen to run: %+v", o.Running)
	}
	again.Status, again.Conclusion, again.UpdatedAt = "completed", "success", c.t
	s.jobs[again.ID] = []register.Job{job(1, "build", "completed", "success", c.t.Add(-70*time.Minute), c.t)}
	pass(t, m, c, 20*time.Minute)
	if o := m.Overview(); o.Running.Total != 0 || week(m) != 1 || len(m.repositories["acme/coach"].live) != 0 {
		t.Errorf("%d run, %d have ended, %d are live", o.Running.Total, week(m), len(m.repositories["acme/coach"].live))
	}
}

// GitHub shows the first thousand of a filtered list: what is not among them may
// wait all the same.
func TestCutListsEndNothing(t *testing.T) {
	r := &repository{name: "acme/coach", more: true, live: map[int64]*liveRun{7: {id: 7, older: true}}}
	var queued []register.Run
	for i := range 1500 {
		queued = append(queued, register.Run{ID: int64(5000 - i), Status: "queued", Attempt: 1})
	}
	s := &stub{runs: map[string][]register.Run{"acme/coach": queued}}
	m, _ := newStubbed(t, s)
	for done := false; !done; done = r.sweep.found == nil {
		if err := m.sweepRuns(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.pending) != 0 || r.live[7] == nil || len(r.live) != 1001 {
		t.Errorf("%d taken for ended, %d live", len(m.pending), len(r.live))
	}
}

// A page of a sweep that fails takes nothing away from what the newest page told.
func TestFailedSweepLosesNothing(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	runs := crowd(c.t.Add(-time.Hour))
	runs[0].Status, runs[0].Conclusion = "queued", ""
	s.runs = map[string][]register.Run{"acme/coach": runs}
	s.jobs[runs[0].ID] = []register.Job{job(1, "build", "queued", "", c.t, c.t)}
	s.fail = func(_ context.Context, call string) error {
		if strings.HasPrefix(call, "runs acme/coach in_progress") {
			return &register.Error{Status: 502, Kind: register.ErrUnreachable}
		}
		return nil
	}
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); o.Queue == nil || o.Queue.Total != 1 {
		t.Errorf("queue %+v", o.Queue)
	}
}

// A run that needed an approval has not been looked into when it was refused one.
func TestRunsThatDidNothing(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	run := register.Run{ID: 7, Status: "completed", Conclusion: "action_required", Attempt: 1, UpdatedAt: c.t}
	s.runs = map[string][]register.Run{"acme/coach": {run}}
	pass(t, m, c, 5*time.Minute)
	run.Conclusion, run.UpdatedAt = "success", c.t
	s.runs["acme/coach"][0] = run
	s.jobs[7] = []register.Job{job(1, "build", "completed", "success", c.t.Add(-time.Minute), c.t)}
	pass(t, m, c, 5*time.Minute)
	if n := week(m); n != 1 {
		t.Errorf("%d jobs", n)
	}
}

// More runs than fit on a page are all taken in: of the time before the monitor
// began, of a burst, and of a gap.
func TestMoreRunsThanAPage(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}, runs: map[string][]register.Run{}}
	m, c := newStubbed(t, s)
	id := int64(0)
	burst := func(n int, at time.Time) {
		for range n {
			id++
			at = at.Add(10 * time.Second)
			s.runs["acme/coach"] = append([]register.Run{{ID: id, Status: "completed", Conclusion: "success", Attempt: 1, CreatedAt: at, UpdatedAt: at}}, s.runs["acme/coach"]...)
			s.jobs[id] = []register.Job{job(id, "build", "completed", "success", at.Add(-time.Second), at)}
		}
	}
	burst(1250, c.t.Add(-24*time.Hour)) // more than GitHub shows of a filtered list
	pass(t, m, c, 10*time.Minute)
	if n := week(m); n != 1250 || m.skipped != 0 {
		t.Fatalf("of before: %d jobs, %d skipped, %+v", n, m.skipped, m.Overview().GitHub)
	}
	if n := countedJobs(metricsText(t, m)); n != 0 {
		t.Errorf("the counters count %d of what was before", n)
	}
	burst(350, c.t.Add(-350*10*time.Second))
	pass(t, m, c, 10*time.Minute)
	if n := week(m); n != 1600 {
		t.Fatalf("after a burst: %d jobs", n)
	}
	// The monitor is away, and the next one looks at what it has not seen.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(12 * time.Hour)
	burst(250, c.t.Add(-3*time.Hour))
	next, err := New(m.options)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	before := s.count("jobs")
	pass(t, next, c, 10*time.Minute)
	if n, asked := week(next), s.count("jobs")-before; n != 1850 || asked != 250 || next.skipped != 0 {
		t.Errorf("after a gap: %d jobs, %d runs looked into, %d skipped", n, asked, next.skipped)
	}
}

// What the budget does not allow to read is told.
func TestUnreadRunsAreTold(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	for i := range 500 {
		at := c.t.Add(-time.Duration(i) * time.Minute)
		s.runs = map[string][]register.Run{"acme/coach": append(s.runs["acme/coach"], register.Run{ID: int64(1000 - i), Status: "completed", Conclusion: "skipped", Attempt: 1, CreatedAt: at, UpdatedAt: at})}
	}
	m.meter.calls = m.meter.burst() * (leisure - 0.1)
	m.meter.at = c.t.Add(time.Hour)
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.GitHub.PendingRuns == 0 {
		t.Error("nothing is left to read")
	}
	m.meter.calls, m.meter.at = m.meter.burst(), c.t
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.GitHub.PendingRuns != 0 || o.GitHub.SkippedRuns != 0 {
		t.Errorf("%+v", o.GitHub)
	}
}

// Every job counts once: one that a new attempt carries over, one of a repository
// that was out of sight for a moment, and one of a run that changes long after.
func TestJobsCountOnce(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	at := c.t
	run := register.Run{ID: 7, Status: "in_progress", Attempt: 1, CreatedAt: at, UpdatedAt: at}
	tell := func(status, conclusion string, attempt int, jobs ...register.Job) {
		run.Status, run.Conclusion, run.Attempt, run.UpdatedAt = status, conclusion, attempt, c.t
		s.runs, s.jobs[7] = map[string][]register.Run{"acme/coach": {run}}, jobs
	}
	holds := func(when string, want int) {
		t.Helper()
		pass(t, m, c, 3*time.Minute)
		text := metricsText(t, m)
		if n := week(m); n != want || !strings.Contains(text, fmt.Sprintf(`conclusion="success"} %d`, want)) {
			t.Errorf("%s: %d jobs, want %d: %s", when, n, want, text)
		}
	}
	lint := job(1, "lint", "completed", "success", at, at.Add(time.Minute))
	tell("in_progress", "", 1, lint, job(2, "build", "in_progress", "", at, at))
	holds("while it runs", 1)
	gone := true
	s.fail = func(_ context.Context, call string) error {
		if gone && strings.HasPrefix(call, "runs acme/coach") {
			return &register.Error{Status: 404, Kind: register.ErrNotFound}
		}
		return nil
	}
	pass(t, m, c, 2*time.Minute)
	gone = false
	pass(t, m, c, 10*time.Minute)
	holds("out of sight for a moment", 1)
	build := job(2, "build", "completed", "success", at, at.Add(2*time.Minute))
	tell("completed", "failure", 1, lint, build)
	holds("ended", 2)
	lint.ID = 11
	tell("in_progress", "", 2, lint, job(12, "build", "in_progress", "", c.t, c.t))
	holds("a second attempt", 2)
	tell("completed", "success", 2, lint, job(12, "build", "completed", "success", c.t.Add(-time.Minute), c.t))
	holds("the end of that", 3)
	// Somebody deletes its logs, when the history has forgotten it.
	c.t = c.t.Add(kept + time.Hour)
	m.history.forget(c.t, mostJobs)
	run.UpdatedAt = c.t
	s.runs = map[string][]register.Run{"acme/coach": {run}}
	before := s.count("jobs") + s.count("all jobs")
	pass(t, m, c, 10*time.Minute)
	if s.count("jobs")+s.count("all jobs") != before {
		t.Error("a run of long ago was looked into again")
	}
}

// The jobs of an attempt that was run again before it was looked into are not lost.
func TestAttemptsRunAgainAtOnce(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	at := c.t.Add(-time.Hour)
	s.runs = map[string][]register.Run{"acme/coach": {{ID: 7, Status: "completed", Conclusion: "success", Attempt: 2, UpdatedAt: c.t}}}
	lint, failed := job(1, "lint", "completed", "success", at, at.Add(time.Minute)), job(2, "build", "completed", "failure", at, at.Add(time.Minute))
	carried := lint
	lint.Attempt, failed.Attempt, carried.ID, carried.Attempt = 1, 1, 11, 2
	s.earlier = map[int64][]register.Job{7: {lint, failed}}
	s.jobs = map[int64][]register.Job{7: {carried, job(12, "build", "completed", "success", c.t.Add(-time.Minute), c.t)}}
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); o.Repositories[0].Jobs.Day != (Results{Total: 3, Succeeded: 2, Failed: 1}) {
		t.Errorf("%+v", o.Repositories[0].Jobs.Day)
	}
}

// Jobs of one name that began in the same second are as many as they are, also for
// the counters while the run is at work, after a new attempt that did not run all
// of them again, and for the next life.
func TestJobsOfOneName(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}, runs: map[string][]register.Run{}}
	m, c := newStubbed(t, s)
	at := c.t
	tell := func(status string, attempt, ended int) {
		s.runs["acme/coach"] = []register.Run{{ID: 7, Status: status, Conclusion: "failure", Attempt: attempt, CreatedAt: at, UpdatedAt: c.t}}
		s.jobs[7] = nil
		for i := range 10 {
			j := job(int64(100*attempt+i), "test", "in_progress", "", at, at)
			if (i+3)%10 < ended { // not in their order
				j = job(j.ID, "test", "completed", "success", at, at.Add(time.Minute))
			}
			s.jobs[7] = append(s.jobs[7], j)
		}
	}
	holds := func(when string, want int) {
		t.Helper()
		pass(t, m, c, 2*time.Minute)
		if n, counted := week(m), countedJobs(metricsText(t, m)); n != want || counted != want {
			t.Errorf("%s: %d jobs, %d counted, want %d", when, n, counted, want)
		}
	}
	tell("in_progress", 1, 4)
	holds("at work", 4)
	tell("in_progress", 1, 8)
	holds("later", 8)
	tell("completed", 1, 10)
	holds("ended", 10)
	tell("in_progress", 2, 10)
	again := &s.jobs[7][9] // one of them is run again
	*again = job(again.ID, "test", "in_progress", "", c.t, c.t)
	holds("a second attempt", 10)
	*again = job(again.ID, "test", "completed", "success", c.t.Add(-time.Minute), c.t)
	s.runs["acme/coach"][0].Status, s.runs["acme/coach"][0].UpdatedAt = "completed", c.t
	holds("the end of that", 11)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if h := open(t, m.options.Data, c.t); len(h.jobs) != 11 {
		t.Errorf("%d jobs in the file", len(h.jobs))
	}
	// A third one, which was run again before it was looked into.
	s.earlier = map[int64][]register.Job{7: s.jobs[7]}
	tell("completed", 4, 10)
	for i := range s.jobs[7] {
		s.jobs[7][i].Attempt = 4
	}
	next, err := New(m.options)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	pass(t, next, c, 5*time.Minute)
	if n := week(next); n != 11 || s.count("all jobs") != 1 {
		t.Errorf("after a third attempt: %d jobs", n)
	}
}

// One answer that a run's jobs are not there does not take it out of the queue;
// three do.
func TestMissingJobs(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runs: map[string][]register.Run{}}
	m, c := newStubbed(t, s)
	s.runs["acme/coach"] = []register.Run{{ID: 7, Status: "queued", Attempt: 1, UpdatedAt: c.t}}
	s.jobs = map[int64][]register.Job{7: {job(1, "build", "queued", "", c.t, c.t)}}
	pass(t, m, c, time.Minute)
	missing := 0
	s.fail = func(_ context.Context, call string) error {
		if strings.HasPrefix(call, "runs") {
			return &register.Error{Kind: errUnchanged}
		}
		if missing > 0 && strings.HasPrefix(call, "jobs") {
			missing--
			return &register.Error{Status: 404, Kind: register.ErrNotFound}
		}
		return nil
	}
	for range 3 {
		missing = 2
		pass(t, m, c, 2*time.Minute)
		if o := m.Overview(); o.Queue.Total != 1 {
			t.Fatalf("it is gone from the queue: %+v", o.Queue)
		}
	}
	missing = 100 // deleted
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); o.Queue.Total != 0 {
		t.Errorf("it stays in the queue: %+v", o.Queue)
	}
}
