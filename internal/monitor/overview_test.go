package monitor

import (
	"context"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// waiting makes a run of a repository with one job that waits.
func (s *stub) waiting(id int64, repository string, at time.Time, labels ...string) {
	if s.runs == nil {
		s.runs, s.jobs = map[string][]register.Run{}, map[int64][]register.Job{}
	}
	s.runs[repository] = append(s.runs[repository], register.Run{ID: id, Name: "CI", Status: "queued", Attempt: 1, UpdatedAt: at})
	s.jobs[id] = []register.Job{{ID: id, RunID: id, Name: fmt.Sprint("job ", id), Status: "queued", CreatedAt: at, Labels: labels}}
}

func online(id int64, name string, labels ...string) register.Runner {
	r := register.Runner{ID: id, Name: name, Status: "online"}
	for _, l := range labels {
		r.Labels = append(r.Labels, register.Label{Name: l})
	}
	return r
}

func TestLabelIndex(t *testing.T) {
	x := newLabelIndex()
	if x.has(nil) {
		t.Error("there is no set")
	}
	x = newLabelIndex()
	x.add(map[string]bool{"linux": true, "x64": true})
	x.add(map[string]bool{"linux": true, "arm64": true, "gpu": true})
	for labels, want := range map[string]bool{"": true, "linux": true, "Linux X64": true, "x64 linux": true, "linux gpu": true, "x64 gpu": false, "linux mac": false, "mac": false} {
		for range 2 {
			if got := x.has(strings.Fields(labels)); got != want {
				t.Errorf("%q: %t", labels, got)
			}
		}
	}
}

// crowded is a monitor with so many jobs that wait beside so many idle runners, each
// with labels of their own.
func crowded(n int, c *clock) *Monitor {
	m := &Monitor{options: Options{Now: c.now}, meter: newMeter(1000, c.now), prices: loadPrices(2), began: c.t, history: &history{began: c.t}}
	r := &repository{name: "acme/coach", seen: c.t, live: map[int64]*liveRun{}}
	m.repositories, m.runnersAt, m.offers = map[string]*repository{r.name: r}, c.t, map[string]*offer{}
	m.idle = map[int64]time.Time{}
	for i := range n {
		runner := online(int64(i), fmt.Sprint("fleet-", i), "self-hosted", "Linux", fmt.Sprint("size-", i))
		m.runners, m.idle[runner.ID] = append(m.runners, runner), c.t
		if len(m.offers) < mostOffers {
			m.offers[labelKey(runner.Labels)] = &offer{labels: map[string]bool{"self-hosted": true, "linux": true, fmt.Sprint("size-", i): true}}
		}
		r.live[int64(i)] = &liveRun{id: int64(i), jobs: []liveJob{{name: fmt.Sprint(i), status: "queued", own: true, queued: c.t.Add(-time.Hour), labels: []string{"self-hosted", "linux", fmt.Sprint("size-", -1-i)}}}}
	}
	return m
}

// Thousands of jobs beside thousands of runners are as many more steps as there are
// more of them, not the square: BenchmarkOverview/5000 against /500.
func BenchmarkOverview(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := crowded(n, &clock{noon})
			for b.Loop() {
				m.Overview()
			}
		})
	}
}

// While no runner is online at all, it is not the labels that jobs wait for.
func TestStuckNeedsARunner(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "offline"}}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t, "self-hosted")
	pass(t, m, c, time.Minute)
	o := m.Overview()
	if o.Queue.Total != 1 || o.Queue.Stuck != nil || o.Queue.Jobs[0].Stuck != nil || o.Queue.Repositories[0].Stuck != nil {
		t.Errorf("%+v", o.Queue)
	}
	if len(o.Problems) != 1 || !strings.Contains(o.Problems[0].What, "no runner is online") {
		t.Errorf("%+v", o.Problems)
	}
	if text := metricsText(t, m); strings.Contains(text, "org_runner_monitor_stuck_jobs{") {
		t.Error("jobs are stuck")
	}
	s.runners = append(s.runners, online(2, "fleet-2", "gpu"))
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.Stuck == nil || *o.Queue.Stuck != 1 {
		t.Errorf("%+v", o.Queue)
	}
}

// A job that does not say when it was queued was so when it is said to have
// started, or it is unknown.
func TestQueuedWithoutTime(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/mcp"}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t)
	s.waiting(2, "acme/mcp", c.t)
	s.jobs[1][0].CreatedAt, s.jobs[2][0].CreatedAt = time.Time{}, time.Time{}
	began := c.t.Add(-time.Minute)
	s.jobs[2][0].StartedAt = &began
	pass(t, m, c, time.Minute)
	q := m.Overview().Queue
	if q.Total != 2 || q.OldestSince == nil || !q.OldestSince.Equal(began) || q.Jobs[1].Since != nil || q.Repositories[1].OldestSince != nil {
		t.Errorf("%+v", q)
	}
	if text := metricsText(t, m); !strings.Contains(text, `org_runner_monitor_queue_oldest_seconds{repository="acme/coach"} 0`+"\n") {
		t.Error(text)
	}
}

// Whatever time GitHub tells, there is an answer.
func TestWeirdTimes(t *testing.T) {
	far := time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1")}}
	s.runners[0].Version = ptr("2.335.0")
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", far)
	s.waiting(2, "acme/coach", far)
	s.jobs[2][0].Status, s.jobs[2][0].StartedAt, s.jobs[2][0].RunnerName = "in_progress", &far, "fleet-1"
	pass(t, m, c, time.Minute)
	m.meter.reset = &far
	m.versions["2.335.0"] = &versionDates{Deprecation: register.Deprecation{Runtime: &far, Registration: &time.Time{}}}
	c.t = c.t.Add(fresh)
	if b := m.current(); b.err != nil || b.overview.Queue.Total != 1 || b.overview.Running.Total != 1 {
		t.Errorf("%v: %+v", b.err, b.overview.Queue)
	}
	m.problemAt(far, "github", "of the far future", "", "")
	c.t = c.t.Add(fresh)
	w := httptest.NewRecorder()
	m.Handler(nil).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/overview", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "year") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// When the list of runners cannot be read, nobody is told that they are idle.
func TestRunnersAreStale(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1", "self-hosted")}}
	s.runners[0].Version = ptr("2.336.0")
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	if o, text := m.Overview(), metricsText(t, m); o.Runners.StaleSince != nil || !strings.Contains(text, "\norg_runner_monitor_runners_stale 0\n") || !strings.Contains(text, "\norg_runner_monitor_stale_repositories 0\n") {
		t.Errorf("stale since %v\n%s", o.Runners.StaleSince, text)
	}
	last := m.Overview().Runners.AsOf
	s.waiting(1, "acme/coach", c.t, "gpu")
	s.runnersErr = &register.Error{Status: 502, Kind: register.ErrUnreachable}
	pass(t, m, c, 12*time.Minute)
	o := m.Overview()
	if o.StaleSince != nil || o.Runners.StaleSince == nil || !o.Runners.StaleSince.Equal(last) || o.Queue.Total != 1 || o.Queue.Stuck != nil {
		t.Errorf("%+v, queue %+v", o.Runners, o.Queue)
	}
	if p := o.Problems; len(p) == 0 || !strings.Contains(fmt.Sprint(p), last.Format("15:04")) {
		t.Errorf("%+v", p)
	}
	pass(t, m, c, 5*time.Minute)
	text := metricsText(t, m)
	if !strings.Contains(text, "\norg_runner_monitor_runners_stale 1\n") || strings.Contains(text, "org_runner_monitor_runners{") || strings.Contains(text, "runner_versions{") || !strings.Contains(text, "queued_jobs{") {
		t.Error(text)
	}
	s.runnersErr = nil
	pass(t, m, c, 6*time.Minute)
	if o := m.Overview(); o.Runners.StaleSince != nil {
		t.Errorf("%+v", o.Runners)
	}
}

// A repository that cannot be seen, or not lately, is said to be so.
func TestRepositoriesAreStale(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/mcp", "acme/personal"}, refused: map[string]error{
		"acme/personal": &register.Error{Status: 403, Kind: register.ErrCredentials},
	}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t, "gpu")
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.UnknownRepositories != 1 || o.Running.UnknownRepositories != 1 {
		t.Errorf("%+v", o.Queue)
	}
	s.refused["acme/coach"] = &register.Error{Status: 502, Kind: register.ErrUnreachable}
	pass(t, m, c, 50*time.Minute)
	o := m.Overview()
	stale := map[string]bool{}
	for _, r := range o.Repositories {
		stale[r.Name] = r.Stale
	}
	if o.Queue.UnknownRepositories != 2 || !stale["acme/coach"] || stale["acme/mcp"] || stale["acme/personal"] {
		t.Errorf("%+v: %v", o.Queue, stale)
	}
	if text := metricsText(t, m); !strings.Contains(text, "\norg_runner_monitor_stale_repositories 1\n") {
		t.Error(text)
	}
	for _, metric := range []string{"running_jobs", "queued_jobs", "queue_oldest_seconds", "stuck_jobs"} {
		text := metricsText(t, m)
		if strings.Contains(text, "org_runner_monitor_"+metric+`{repository="acme/coach"}`) {
			t.Errorf("of a repository that is old there is %s", metric)
		}
		if metric != "stuck_jobs" && !strings.Contains(text, "org_runner_monitor_"+metric+`{repository="acme/mcp"}`) {
			t.Errorf("of one that is not there is no %s", metric)
		}
	}
	delete(s.refused, "acme/coach")
	pass(t, m, c, 6*time.Minute)
	if text := metricsText(t, m); !strings.Contains(text, `org_runner_monitor_queued_jobs{repository="acme/coach"} 1`+"\n") {
		t.Errorf("it is not there again: %s", text)
	}
}

// While GitHub is away nothing that waited goes on waiting, and nothing is 0.
func TestNoQueueOfOld(t *testing.T) {
	s := &stub{repositories: names(300, "acme/r%d")}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/r7", c.t, "self-hosted")
	pass(t, m, c, 30*time.Minute)
	if text := metricsText(t, m); strings.Count(text, "org_runner_monitor_queued_jobs{") != 300 {
		t.Fatal(text)
	}
	s.err = &register.Error{Status: 503, Kind: register.ErrUnreachable, Message: "away"}
	oldest := 0
	for range 20 {
		pass(t, m, c, time.Minute)
		text := metricsText(t, m)
		if _, value, found := strings.Cut(text, `queue_oldest_seconds{repository="acme/r7"} `); found {
			fmt.Sscan(value, &oldest)
		}
	}
	if text := metricsText(t, m); strings.Contains(text, "jobs{repository") || strings.Contains(text, "queue_oldest_seconds{") {
		t.Error(text)
	}
	if oldest < 1800 || oldest > 1800+600 {
		t.Errorf("the age of what waits has come to %d s", oldest)
	}
}

// The sum over groups is all runners, also those whose group is not known.
func TestRunnersWithoutGroup(t *testing.T) {
	s := &stub{runners: []register.Runner{online(1, "a"), online(2, "b"), {ID: 3, Name: "c", Status: "offline"}, {ID: 4, Name: "d", Busy: true, Status: "online"}}}
	s.runners[0].GroupID, s.runners[1].GroupID = 1, 99
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	text := metricsText(t, m)
	for _, line := range []string{`{group="Default",state="idle"} 1`, `{group="",state="idle"} 1`, `{group="",state="offline"} 1`, `{group="",state="busy"} 1`} {
		if !strings.Contains(text, "org_runner_monitor_runners"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for i := range s.runners {
		s.runners[i].GroupID = 1
	}
	pass(t, m, c, time.Minute)
	if text := metricsText(t, m); strings.Contains(text, `{group="",`) {
		t.Error("all have a group")
	}
}

// How many runners a group has is unknown as long as they are.
func TestGroupsWithoutRunners(t *testing.T) {
	s := &stub{runners: []register.Runner{online(1, "a")}, runnersErr: &register.Error{Status: 502, Kind: register.ErrUnreachable}}
	s.runners[0].GroupID = 1
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Runners != nil || len(o.Groups) != 1 || o.Groups[0].Totals != nil {
		t.Errorf("runners %+v, groups %+v", o.Runners, o.Groups)
	}
	if data := m.current().json; !strings.Contains(string(data), `"groups":[{"name":"Default","visibility":"all","allows_public":false}]`) {
		t.Errorf("%s", data)
	}
	s.runnersErr = nil
	pass(t, m, c, 6*time.Minute)
	if o := m.Overview(); o.Groups[0].Totals == nil || *o.Groups[0].Totals != (Totals{Total: 1, Idle: 1}) {
		t.Errorf("groups %+v", o.Groups)
	}
}

// What is beyond the bound of series is summed, and of ages the oldest counts.
func TestManyRepositoriesInMetrics(t *testing.T) {
	m := crowded(1, &clock{noon})
	m.makeMetrics()
	for i := range 1500 {
		at := noon.Add(-time.Duration(i+1) * time.Minute)
		m.repositories[fmt.Sprint(i)] = &repository{name: fmt.Sprint("acme/r", i), seen: noon, changed: noon, live: map[int64]*liveRun{
			1: {id: 1, jobs: []liveJob{{name: "waits", status: "queued", own: true, queued: at}, {name: "runs", status: "in_progress", own: true, runner: "x"}}},
		}}
	}
	text := metricsText(t, m)
	for _, metric := range []string{"queued_jobs", "running_jobs"} {
		sum := 0
		for line := range strings.Lines(text) {
			if n := 0; strings.HasPrefix(line, "org_runner_monitor_"+metric+"{") {
				fmt.Sscan(line[strings.LastIndex(line, " "):], &n)
				sum += n
			}
		}
		if want := 1500; metric == "running_jobs" && sum != want || metric == "queued_jobs" && sum != want+1 {
			t.Errorf("%s: %d", metric, sum)
		}
	}
	if !strings.Contains(text, fmt.Sprintf("\"} %d\n", 1500*60)) {
		t.Error("the oldest is gone")
	}
}

// One repository's workflows do not take the names of the others' jobs, nor how they
// ended.
func TestOneRepositoryFillsTheCounters(t *testing.T) {
	m, c := newStubbed(t, &stub{})
	ended := func(run int64, repository, workflow, result string) {
		m.record(runLine{Run: run, Repository: repository, Workflow: workflow, Finished: c.t.Unix(), Jobs: []jobLine{{Name: "build", Result: result, Started: c.t.Unix() - 1, Finished: c.t.Unix()}}})
	}
	for i := range int64(1500) {
		ended(i+1, "acme/play", fmt.Sprint("evil ", i), "success")
	}
	ended(2000, "acme/coach", "CI", "failure")
	text := metricsText(t, m)
	for _, line := range []string{`{repository="acme/coach",workflow="CI",conclusion="failure"} 1`, fmt.Sprintf(`{repository="acme/play",workflow="other",conclusion="success"} %d`, 1500-mostCounted)} {
		if !strings.Contains(text, "org_runner_monitor_jobs_total"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if n := strings.Count(text, `jobs_total{repository="acme/play"`); n > 3*(mostCounted+1) {
		t.Errorf("%d series of one repository", n)
	}
}

// A dead registration does not keep an alert up.
func TestVersionsOfTheDead(t *testing.T) {
	s := &stub{runners: []register.Runner{{ID: 1, Name: "dead", Status: "offline", Version: ptr("2.300.0")}, online(2, "fleet-1")}}
	s.runners[1].Version = ptr("2.336.0")
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	m.versions["2.336.0"].unknown = true
	c.t = c.t.Add(fresh)
	o := m.Overview()
	if len(o.Versions.InUse) != 1 || o.Versions.InUse[0].Version != "2.336.0" || !o.Versions.InUse[0].DatesUnknown || len(o.Runners.List) != 2 {
		t.Errorf("%+v", o.Versions)
	}
	if text := metricsText(t, m); strings.Contains(text, "2.300.0") {
		t.Error(text)
	}
}

// A series is there with 0 before its first event, or no increase would show it.
func TestSeriesBeginWithZero(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1", "self-hosted", "ARM64")}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t, "self-hosted")
	pass(t, m, c, time.Minute)
	text := metricsText(t, m)
	for _, line := range []string{
		`jobs_total{repository="acme/coach",workflow="CI",conclusion="success"}`, `jobs_total{repository="acme/coach",workflow="CI",conclusion="failure"}`,
		`jobs_total{repository="acme/coach",workflow="CI",conclusion="cancelled"}`, `job_duration_seconds_count{repository="acme/coach"}`,
		`hosted_seconds_total{sku="actions_linux_arm"}`, `hosted_usd_total{sku="actions_linux_arm"}`,
	} {
		if !strings.Contains(text, "org_runner_monitor_"+line+" 0\n") {
			t.Errorf("the metrics lack %s 0", line)
		}
	}
	s.runs["acme/coach"][0] = register.Run{ID: 1, Name: "CI", Status: "completed", Conclusion: "success", Attempt: 1, UpdatedAt: c.t}
	s.jobs[1][0].Status, s.jobs[1][0].Conclusion, s.jobs[1][0].RunnerName, s.jobs[1][0].StartedAt, s.jobs[1][0].CompletedAt = "completed", "success", "fleet-1", ptr(c.t), ptr(c.t)
	pass(t, m, c, time.Minute)
	if text := metricsText(t, m); !strings.Contains(text, `conclusion="success"} 1`+"\n") || !strings.Contains(text, `conclusion="failure"} 0`+"\n") {
		t.Error(text)
	}
	// The next life knows the workflow from the history.
	o := m.options
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if text := metricsText(t, next); !strings.Contains(text, `conclusion="success"} 0`+"\n") {
		t.Error(text)
	}
}

// A run that was not looked into yet is no queue of none: what is known is told as
// the least that there is, and where that is nothing it is unknown.
func TestRunsNotLookedIntoYet(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/mcp"}}
	m, c := newStubbed(t, s)
	failing := "jobs acme/coach 1"
	s.fail = func(_ context.Context, call string) error {
		if call == failing {
			return &register.Error{Status: 502, Kind: register.ErrUnreachable}
		}
		return nil
	}
	shows := func(when string, queued *int, atLeast bool, unread int) {
		t.Helper()
		o := m.Overview()
		i := slices.IndexFunc(o.Repositories, func(r Repository) bool { return r.Name == "acme/coach" })
		r := o.Repositories[i]
		if !reflect.DeepEqual(r.Queued, queued) || r.AtLeast != atLeast || (r.Running == nil) != atLeast || o.GitHub.UnreadRuns != unread || o.Queue.UnknownRepositories != unread || o.Running.UnknownRepositories != unread {
			t.Errorf("%s: %+v, queue %+v, %+v", when, r, o.Queue, o.GitHub)
		}
		text := metricsText(t, m)
		for _, metric := range []string{"queued_jobs", "queue_oldest_seconds"} {
			if got := strings.Contains(text, "org_runner_monitor_"+metric+`{repository="acme/coach"}`); got != (queued != nil) {
				t.Errorf("%s: there is a sample of %s: %t", when, metric, got)
			}
		}
		if want := fmt.Sprint("\norg_runner_monitor_unread_runs ", unread, "\n"); !strings.Contains(text, want) || !strings.Contains(text, `queued_jobs{repository="acme/mcp"} 0`) {
			t.Errorf("%s: %s", when, text)
		}
	}
	s.waiting(1, "acme/coach", c.t)
	pass(t, m, c, 20*time.Second)
	shows("not one", nil, true, 1)
	failing = ""
	pass(t, m, c, 40*time.Second)
	shows("all", ptr(1), false, 0)
	failing = "jobs acme/coach 2"
	s.waiting(2, "acme/coach", c.t)
	pass(t, m, c, 30*time.Second)
	shows("one of two", ptr(1), true, 1)
	failing = ""
	pass(t, m, c, time.Minute)
	shows("all again", ptr(2), false, 0)
	// A new attempt has other jobs than the one that is known.
	failing = "jobs acme/coach 1"
	s.runs["acme/coach"][0].Attempt = 2
	pass(t, m, c, 30*time.Second)
	if o := m.Overview(); o.GitHub.UnreadRuns != 1 {
		t.Errorf("a new attempt: %+v", o.GitHub)
	}
}
