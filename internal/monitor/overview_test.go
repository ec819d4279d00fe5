package monitor

import (
	"fmt"
	"net/http/httptest"
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
	for i := range n {
		runner := online(int64(i), fmt.Sprint("fleet-", i), "self-hosted", "Linux", fmt.Sprint("size-", i))
		m.runners = append(m.runners, runner)
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
