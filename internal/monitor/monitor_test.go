package monitor

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
	"github.com/virtuoso902/org-runner/register"
)

// Forty jobs in four repositories are shown as what they are.
func TestOverview(t *testing.T) {
	w := newWorld(t)
	w.AddToken(githubtest.Token{Value: token})
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-1", Online: true, Busy: true, Version: "2.335.0", Labels: []string{"self-hosted", "Linux", "X64"}})
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-2", Online: true, Version: "2.336.0", Labels: []string{"self-hosted", "Linux", "X64"}})
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-3", Version: "2.335.0", Labels: []string{"self-hosted", "Linux", "ARM64"}})
	w.Deprecate("2.335.0", githubtest.Deprecation{Runtime: w.clock.t.Add(5*24*time.Hour + time.Hour)})
	for _, r := range []string{"coach", "mcp", "personal"} {
		w.AddRepository("acme/" + r)
	}
	w.AddPublicRepository("acme/ghActions")
	now := w.clock.t
	// In the last hour 10 of coach, of which 3 failed; in the day 8 of mcp; in the
	// week 12 of personal; 4 of the public repository.
	for i := range 10 {
		result := "success"
		if i < 3 {
			result = "failure"
		}
		w.AddJob(ran("acme/coach", "CI", "build", result, now.Add(-time.Duration(50-i)*time.Minute), time.Duration(i+1)*time.Second, 90*time.Second))
	}
	for i := range 8 {
		w.AddJob(ran("acme/mcp", "Nightly", "test", "success", now.Add(-time.Duration(i+2)*time.Hour), time.Minute, 10*time.Minute))
	}
	for i := range 12 {
		w.AddJob(ran("acme/personal", "Deploy", "push", "cancelled", now.Add(-time.Duration(i+30)*time.Hour), time.Second, time.Second))
	}
	for range 4 {
		w.AddJob(ran("acme/ghActions", "CI", "lint", "success", now.Add(-30*time.Minute), 0, 61*time.Second))
	}
	w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "running", Status: "in_progress", RunnerName: "fleet-1", Actor: "alice", Branch: "topic",
		Queued: now.Add(-time.Minute), Started: now.Add(-30 * time.Second)})
	for i := range 3 {
		w.AddJob(githubtest.Job{Repository: "acme/mcp", Workflow: "CI", Name: "waiting", Status: "queued", Queued: now.Add(-time.Duration(10-i) * time.Minute)})
	}
	w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "on GPU", Status: "queued", RunsOn: []string{"self-hosted", "gpu"}, Queued: now.Add(-time.Minute)})
	w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "hosted", Status: "queued", RunsOn: []string{"ubuntu-latest"}, Queued: now.Add(-time.Minute)})

	w.pass(2 * time.Minute)
	o := w.m.Overview()

	if o.StaleSince != nil || len(o.Unknown) != 0 {
		t.Errorf("stale since %v: %s; unknown %v", o.StaleSince, o.StaleReason, o.Unknown)
	}
	if o.Runners == nil || o.Runners.Totals != (Totals{Total: 3, Idle: 1, Busy: 1, Offline: 1}) || len(o.Runners.List) != 3 {
		t.Fatalf("runners %+v", o.Runners)
	}
	if first := o.Runners.List[0]; first.Name != "fleet-1" || first.State != "busy" || first.Group != "Default" || first.Job == nil || first.Job.Job != "running" {
		t.Errorf("the first runner is %+v", first)
	}
	if o.Running.Total != 1 || o.Running.Jobs[0].Actor != "alice" || o.Running.Jobs[0].Branch != "topic" || !o.Running.Jobs[0].Since.Equal(now.Add(-30*time.Second)) {
		t.Errorf("running %+v", o.Running)
	}
	q := o.Queue
	if q.Total != 4 || q.Stuck == nil || *q.Stuck != 1 || !q.OldestSince.Equal(now.Add(-10*time.Minute)) || len(q.Repositories) != 2 || q.Repositories[0].Repository != "acme/mcp" || q.Repositories[0].Length != 3 {
		t.Errorf("queue %+v", q)
	}
	if len(o.Problems) == 0 || !o.Problems[0].Now || !strings.Contains(fmt.Sprint(o.Problems), "gpu") || !strings.Contains(fmt.Sprint(o.Problems), "2.335.0") {
		t.Errorf("problems %+v", o.Problems)
	}
	found := map[string]Windows[Results]{}
	for _, r := range o.Repositories {
		found[r.Name] = *r.Jobs
	}
	for name, want := range map[string]Windows[Results]{
		"acme/coach":     {Results{10, 7, 3, 0, 0}, Results{10, 7, 3, 0, 0}, Results{10, 7, 3, 0, 0}},
		"acme/mcp":       {Results{}, Results{8, 8, 0, 0, 0}, Results{8, 8, 0, 0, 0}},
		"acme/personal":  {Results{}, Results{}, Results{12, 0, 0, 12, 0}},
		"acme/ghActions": {Results{4, 4, 0, 0, 0}, Results{4, 4, 0, 0, 0}, Results{4, 4, 0, 0, 0}},
	} {
		if found[name] != want {
			t.Errorf("%s: %+v, want %+v", name, found[name], want)
		}
	}
	for i, want := range []int{14, 22, 34} {
		s, total := o.Series.at(i), 0
		for _, r := range s.Repositories {
			for _, n := range r.Jobs {
				total += n
			}
			if len(r.Jobs) != s.Buckets {
				t.Errorf("%d buckets of %d", len(r.Jobs), s.Buckets)
			}
		}
		if total != want {
			t.Errorf("window %d: %d jobs in the chart, want %d", i, total, want)
		}
	}
	if p := o.Durations.Hour.Queue; p == nil || p.Count != 14 || p.P50 != 3 || p.Max != 10 {
		t.Errorf("queue times of the hour %+v", p)
	}
	if p := o.Durations.Week.Execution; p == nil || p.Count != 34 || p.Max != 600 {
		t.Errorf("execution times of the week %+v", p)
	}
	// 10 of 2 minutes, 8 of 10, 12 of 1; those of the public repository are free.
	if s := o.Savings.Week; s.Minutes != 20+80+12+8 || s.FreeMinutes != 8 || math.Abs(s.HostedUSD-112*0.006) > 1e-9 {
		t.Errorf("saved %+v", s)
	}
	if len(o.Savings.Lines) != 1 || o.Savings.Lines[0].SKU != "actions_linux" || o.Savings.PricesOf != "2026-01-01" {
		t.Errorf("savings %+v", o.Savings)
	}
	if o.Slowest[0].Workflow != "Nightly" || len(o.Failing) != 1 || o.Failing[0].Repository != "acme/coach" || o.Failing[0].Jobs.Failed != 3 {
		t.Errorf("slowest %+v, failing %+v", o.Slowest, o.Failing)
	}
	if v := o.Versions; v == nil || v.Latest != "2.336.0" || len(v.InUse) != 2 || v.InUse[1].Version != "2.335.0" || v.InUse[1].Runners != 1 || v.InUse[1].DaysLeft == nil || *v.InUse[1].DaysLeft != 5 {
		t.Errorf("versions %+v", v)
	}
	if o.Memory != nil {
		t.Errorf("memory without records: %+v", o.Memory)
	}
	calls, unchanged := w.counted()
	if b := o.GitHub; b.LastHour != calls || b.Unchanged != unchanged || b.Remaining == nil || *b.Remaining != 5000-calls || b.CallsPerHour != 1000 {
		t.Errorf("%+v; the fake saw %d calls and %d unchanged", b, calls, unchanged)
	}

	text := metricsText(t, w.m)
	for _, line := range []string{
		`org_runner_monitor_runners{group="Default",state="busy"} 1`,
		`org_runner_monitor_queued_jobs{repository="acme/mcp"} 3`,
		`org_runner_monitor_queued_jobs{repository="acme/personal"} 0`,
		`org_runner_monitor_stuck_jobs{repository="acme/coach"} 1`,
		`org_runner_monitor_running_jobs{repository="acme/coach"} 1`,
		`org_runner_monitor_runner_versions{version="2.335.0"} 1`,
		`org_runner_monitor_stale 0`,
		fmt.Sprintf(`org_runner_monitor_github_requests_total{kind="call"} %d`, calls),
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	// What had ended before is in the numbers of the week, and no news for a counter.
	if n := countedJobs(text); n != 0 {
		t.Errorf("%d old jobs are counted: %s", n, text)
	}
	contract.Check(t, w.Server)
}

// countedJobs is how many finished jobs the counters have.
func countedJobs(text string) (n int) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "org_runner_monitor_jobs_total{") {
			value, _ := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]))
			n += value
		}
	}
	return n
}

func metricsText(t *testing.T, m *Monitor) string {
	t.Helper()
	var b strings.Builder
	if _, err := m.registry.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Jobs that wait beside idle runners are kept apart by the group, and that is said.
func TestNotAdmitted(t *testing.T) {
	w := newWorld(t)
	w.AddToken(githubtest.Token{Value: token})
	w.AddPublicRepository("acme/site")
	w.AddRepository("acme/coach")
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-1", Online: true, Version: "2.336.0", Labels: []string{"self-hosted", "Linux"}})
	w.AddJob(githubtest.Job{Repository: "acme/site", Workflow: "CI", Name: "build", Status: "queued", RunsOn: []string{"self-hosted", "linux"}, Queued: w.clock.t})
	w.pass(2 * time.Minute)
	if o := w.m.Overview(); len(o.Problems) != 0 {
		t.Errorf("too early: %+v", o.Problems)
	}
	w.pass(4 * time.Minute)
	w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "build", Status: "queued", Queued: w.clock.t})
	w.pass(time.Minute)
	o := w.m.Overview()
	if o.Queue.Total != 2 || len(o.Problems) != 1 || o.Problems[0].Kind != "group" || !o.Problems[0].Now || !strings.Contains(o.Problems[0].What, "acme/site") || !strings.Contains(o.Problems[0].Remedy, "is public") {
		t.Errorf("queue %+v, problems %+v", o.Queue, o.Problems)
	}
}

// A job is followed from the queue to its end, and its end is counted once.
func TestLifeOfAJob(t *testing.T) {
	w := newWorld(t)
	w.AddToken(githubtest.Token{Value: token})
	w.AddRepository("acme/coach")
	w.pass(time.Minute)
	id := w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "build", Status: "queued", Queued: w.clock.t})
	w.pass(2 * time.Minute)
	if o := w.m.Overview(); o.Queue.Total != 1 || o.Running.Total != 0 {
		t.Fatalf("queue %+v", o.Queue)
	}
	w.ChangeJob(id, func(j *githubtest.Job) {
		j.Status, j.Started, j.RunnerID, j.RunnerName = "in_progress", w.clock.t, 1, "fleet-1"
	})
	w.pass(2 * time.Minute)
	if o := w.m.Overview(); o.Queue.Total != 0 || o.Running.Total != 1 {
		t.Fatalf("queue %+v, running %+v", o.Queue, o.Running)
	}
	w.ChangeJob(id, func(j *githubtest.Job) { j.Status, j.Result, j.Completed = "completed", "success", w.clock.t })
	w.pass(2 * time.Minute)
	o := w.m.Overview()
	if o.Running.Total != 0 || o.Repositories[0].Jobs.Hour.Succeeded != 1 {
		t.Fatalf("running %+v, repositories %+v", o.Running, o.Repositories)
	}
	if !strings.Contains(metricsText(t, w.m), `org_runner_monitor_jobs_total{repository="acme/coach",workflow="CI",conclusion="success"} 1`+"\n") {
		t.Error("it is not counted once")
	}

	// The next one over the same data knows it, and does not ask for it again.
	w.start()
	before := w.Count("list-jobs")
	w.pass(5 * time.Minute)
	o = w.m.Overview()
	if o.Repositories[0].Jobs.Hour.Succeeded != 1 || w.Count("list-jobs") != before {
		t.Errorf("after a restart: %+v, %d calls for jobs", o.Repositories, w.Count("list-jobs")-before)
	}
}

// What the credentials cannot see is unknown, with the permission, and not zero.
func TestUnknown(t *testing.T) {
	tests := []struct {
		name        string
		permissions map[string]string
		unknown     string
		runners     bool
		queue       bool
	}{
		{"no Actions", map[string]string{"organization_self_hosted_runners": "read"}, `the jobs of acme/coach: the repository permission "Actions" (read)`, true, false},
		{"no runners", map[string]string{"actions": "read"}, `the runners: the organization permission "Self-hosted runners" (read)`, false, true},
		{"both", map[string]string{"actions": "read", "organization_self_hosted_runners": "read"}, "", true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.AddToken(githubtest.Token{Value: token, Kind: githubtest.FineGrained, Permissions: test.permissions})
			w.AddRepository("acme/coach")
			w.pass(time.Minute)
			o := w.m.Overview()
			unknown := ""
			for _, u := range o.Unknown {
				unknown += u.What + ": " + u.Permission + "\n"
			}
			if !strings.Contains(unknown, test.unknown) || test.unknown == "" && unknown != "" {
				t.Errorf("unknown is %s", unknown)
			}
			if (o.Runners != nil) != test.runners || (o.Queue != nil) != test.queue || (o.Running != nil) != test.queue {
				t.Errorf("runners %v, queue %v", o.Runners, o.Queue)
			}
			data, _ := json.Marshal(o)
			if strings.Contains(string(data), `"hosted_usd"`) != test.queue || strings.Contains(string(data), `"queued":0,"jobs":{`) != test.queue {
				t.Errorf("savings and repositories: %s", data)
			}
			if strings.Contains(string(data), `"queue":null`) || strings.Contains(string(data), `"queue":{"total"`) != test.queue {
				t.Errorf("JSON %s", data)
			}
			// A metric of what is unknown has no value.
			if strings.Contains(metricsText(t, w.m), "org_runner_monitor_queued_jobs{") != test.queue {
				t.Error("the queue's metric")
			}
		})
	}
}

func TestAllowedRepositories(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Repositories = []string{"acme/coach", "acme/gone"}
		o.Allows = func(name string) bool { return name == "acme/coach" || name == "acme/gone" }
	})
	w.AddToken(githubtest.Token{Value: token})
	w.AddRepository("acme/coach")
	w.AddRepository("acme/mcp")
	w.pass(time.Minute)
	o := w.m.Overview()
	if len(o.Repositories) != 2 || o.Repositories[0].LastSeen == nil || o.Repositories[1].LastSeen != nil || len(o.Unknown) != 1 || !strings.Contains(o.Unknown[0].What, "acme/gone") {
		t.Errorf("repositories %+v, unknown %+v", o.Repositories, o.Unknown)
	}
	if n := w.Count("list-repositories"); n != 0 {
		t.Errorf("the list was read %d times for two that are named", n)
	}
	for _, c := range w.Calls("list-runs") {
		if !strings.HasPrefix(c.Path, "/repos/acme/coach/") {
			t.Errorf("asked %s", c.Path)
		}
	}
}

// When GitHub does not answer, what is shown is called old, the last that was
// known stays, and the calls become seldom.
func TestOutage(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "online"}}, runs: map[string][]register.Run{}}
	m, c := newStubbed(t, s)
	if _, ok := m.ready(); ok {
		t.Error("ready before GitHub has answered")
	}
	pass(t, m, c, 2*time.Minute)
	if text, ok := m.ready(); !ok {
		t.Errorf("not ready: %s", text)
	}
	last := c.t
	s.err = &register.Error{Method: "GET", Path: "/orgs/acme", Status: 502, Message: "Bad Gateway", Kind: register.ErrUnreachable, Remedy: "see githubstatus.com"}
	pass(t, m, c, 20*time.Minute)
	o := m.Overview()
	if o.StaleSince == nil || o.StaleSince.After(last) || !strings.Contains(o.StaleReason, "502 Bad Gateway") || o.Runners == nil || o.Runners.Total != 1 {
		t.Errorf("stale since %v: %s; runners %+v", o.StaleSince, o.StaleReason, o.Runners)
	}
	// 15, 30, 60, 120, 240 s and then every 5 minutes.
	if len(o.Problems) != 1 || o.Problems[0].Count > 9 || o.Problems[0].Remedy != "see githubstatus.com" || !o.Problems[0].Now {
		t.Errorf("problems %+v", o.Problems)
	}
	if text, ok := m.ready(); ok || !strings.HasPrefix(text, "old since ") {
		t.Errorf("ready: %s", text)
	}
	if text, ok := m.health(); !ok {
		t.Errorf("not healthy: %s", text) // to start it again would not help
	}
	s.err = nil
	pass(t, m, c, 6*time.Minute)
	if o := m.Overview(); o.StaleSince != nil || len(o.Problems) != 1 || o.Problems[0].Now {
		t.Errorf("after it: stale since %v, problems %+v", o.StaleSince, o.Problems)
	}
	c.t = c.t.Add(time.Hour)
	if _, ok := m.health(); ok {
		t.Error("healthy while the collector hangs")
	}
}

// A run with several jobs: some wait while others have ended, and what a second
// attempt did not run again counts once.
func TestManyJobsOfARun(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	at := c.t
	job := func(id int64, name, status, conclusion, runner string, started time.Duration) register.Job {
		j := register.Job{ID: id, RunID: 7, Name: name, Status: status, Conclusion: conclusion, RunnerName: runner, CreatedAt: at, Labels: []string{"self-hosted"}}
		if runner != "" {
			j.StartedAt = ptr(at.Add(started))
		}
		if conclusion != "" {
			j.CompletedAt = ptr(at.Add(started + time.Minute))
		}
		return j
	}
	run := register.Run{ID: 7, Name: "CI", Status: "in_progress", Attempt: 1, UpdatedAt: at}
	s.runs = map[string][]register.Run{"acme/coach": {run}}
	s.jobs = map[int64][]register.Job{7: {
		job(1, "ended", "completed", "success", "fleet-1", time.Second), job(2, "runs", "in_progress", "", "fleet-2", time.Second),
		job(3, "waits", "queued", "", "", 0), job(4, "left out", "completed", "skipped", "", 0), job(5, "hosted", "in_progress", "", "GitHub Actions 12", time.Second),
	}}
	pass(t, m, c, 2*time.Minute)
	o := m.Overview()
	if o.Queue.Total != 1 || o.Running.Total != 1 || o.Repositories[0].Jobs.Hour.Total != 1 {
		t.Errorf("queue %+v, running %+v, jobs %+v", o.Queue, o.Running, o.Repositories)
	}
	run.Status, run.Conclusion, run.UpdatedAt = "completed", "failure", c.t
	s.runs["acme/coach"][0] = run
	s.jobs[7] = []register.Job{job(1, "ended", "completed", "success", "fleet-1", time.Second), job(2, "runs", "completed", "failure", "fleet-2", time.Second), job(3, "waits", "completed", "cancelled", "", 0)}
	pass(t, m, c, 2*time.Minute)
	if o := m.Overview(); o.Repositories[0].Jobs.Hour != (Results{Total: 2, Succeeded: 1, Failed: 1}) {
		t.Errorf("%+v", o.Repositories[0].Jobs.Hour)
	}
	run.Attempt, run.Conclusion, run.UpdatedAt = 2, "success", c.t
	s.runs["acme/coach"][0] = run
	s.jobs[7] = []register.Job{job(11, "ended", "completed", "success", "fleet-1", time.Second), job(12, "runs", "completed", "success", "fleet-2", 5*time.Minute)}
	pass(t, m, c, 8*time.Minute)
	if o := m.Overview(); o.Repositories[0].Jobs.Hour != (Results{Total: 3, Succeeded: 2, Failed: 1}) {
		t.Errorf("after a second attempt %+v", o.Repositories[0].Jobs.Hour)
	}
	if text := metricsText(t, m); !strings.Contains(text, `conclusion="success"} 2`) || !strings.Contains(text, `conclusion="failure"} 1`) {
		t.Error(text)
	}
}

// Runs that are older than the newest hundred and still wait are found.
func TestOldRunsThatWait(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s)
	var runs []register.Run
	for i := range 150 {
		runs = append(runs, register.Run{ID: int64(1000 - i), Name: "CI", Status: "completed", Conclusion: "skipped", Attempt: 1, UpdatedAt: c.t.Add(-time.Hour)})
	}
	runs[140].Status, runs[140].Conclusion = "queued", ""
	old := runs[140].ID
	s.runs = map[string][]register.Run{"acme/coach": runs}
	s.jobs[old] = []register.Job{{ID: 1, RunID: old, Name: "patient", Status: "queued", CreatedAt: c.t.Add(-time.Hour), Labels: []string{"self-hosted"}}}
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue == nil || o.Queue.Total != 1 {
		t.Fatalf("queue %+v", o.Queue)
	}
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); o.Queue.Total != 1 {
		t.Fatalf("it was forgotten: %+v", o.Queue)
	}
	runs[140].Status, runs[140].Conclusion, runs[140].UpdatedAt = "completed", "success", c.t
	s.jobs[old][0] = register.Job{ID: 1, RunID: old, Name: "patient", Status: "completed", Conclusion: "success", RunnerName: "fleet-1", Labels: []string{"self-hosted"}, CreatedAt: c.t.Add(-time.Hour), StartedAt: ptr(c.t.Add(-time.Minute)), CompletedAt: &c.t}
	pass(t, m, c, 15*time.Minute)
	if o := m.Overview(); o.Queue.Total != 0 || o.Repositories[0].Jobs.Hour.Succeeded != 1 {
		t.Errorf("after its end: queue %+v, jobs %+v", o.Queue, o.Repositories[0].Jobs)
	}
}

// More finished runs than the budget can look into are counted as skipped, not
// forgotten silently.
func TestTooManyRuns(t *testing.T) {
	s := &stub{}
	m, _ := newStubbed(t, s)
	r := &repository{name: "acme/coach", live: map[int64]*liveRun{}}
	for i := range mostPending + 10 {
		m.finish(r, &liveRun{id: int64(i + 1)}, m.began.Add(time.Duration(i)*time.Second), false)
	}
	if len(m.pending) != mostPending || m.skipped != 10 || m.pending[1] != nil || m.pending[mostPending+10] == nil {
		t.Errorf("%d pending, %d skipped", len(m.pending), m.skipped)
	}
}
