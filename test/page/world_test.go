package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/monitor"
	"github.com/virtuoso902/org-runner/internal/monitor/page"
	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// world is a fake GitHub and a monitor of it that serves its page.
type world struct {
	*githubtest.Server
	t       *testing.T
	url     string
	records string
	stop    func() // ends the monitor
}

const token = "ghp_monitor"

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := githubtest.Start(githubtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.AddOrganization("acme")
	s.AddToken(githubtest.Token{Value: token})
	return &world{Server: s, t: t, records: filepath.Join(t.TempDir(), "jobs.jsonl")}
}

// watch starts the monitor.
func (w *world) watch() {
	w.t.Helper()
	api, err := url.Parse(w.URL() + "/api/v3")
	if err != nil {
		w.t.Fatal(err)
	}
	transport := monitor.NewTransport(register.NewTransport(), 5000)
	m, err := monitor.New(monitor.Options{
		Transport: transport, Name: "acme", ServerURL: w.URL(), Version: "1.2.3", Data: w.t.TempDir(), Records: w.records, Log: zerolog.New(io.Discard),
		GitHub: register.New(register.Options{API: api, Scope: register.Organization("acme"), Credentials: register.Token(secret.New(token)),
			UserAgent: "org-runner/test", Log: zerolog.New(io.Discard), Transport: transport}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx, listener, m.Handler(page.Files)) }()
	w.url = "http://" + listener.Addr().String() + "/"
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		if err := m.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(w.stop)
}

// overview is what the page is made of.
func (w *world) overview() (o monitor.Overview) {
	response, err := http.Get(w.url + "api/overview")
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&o); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) until(what string, condition func(monitor.Overview) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(w.overview()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never came: %s: %+v", what, w.overview())
		}
	}
}

// ran adds a job that has run.
func (w *world) ran(repository, workflow, name, result string, ago, waited, took time.Duration) {
	queued := time.Now().Add(-ago)
	w.AddJob(githubtest.Job{Repository: repository, Workflow: workflow, Name: name, Status: "completed", Result: result, RunnerName: "fleet-1", Actor: "alice",
		Queued: queued, Started: queued.Add(waited), Completed: queued.Add(waited + took)})
}

// fortyJobs are in four repositories: 14 in the last hour (acme/coach 10, of which
// 3 failed; acme/ghActions 4), 8 more in the day (acme/mcp), 12 more in the week
// (acme/personal, cancelled); two run and four wait.
func (w *world) fortyJobs() {
	for _, name := range []string{"coach", "mcp", "personal"} {
		w.AddRepository("acme/" + name)
	}
	w.AddPublicRepository("acme/ghActions")
	labels := []string{"self-hosted", "Linux", "X64", "ephemeral", "org-runner"}
	for i := range 5 {
		w.AddRunner(githubtest.Runner{Scope: "acme", Name: fmt.Sprintf("ephemeral-org-runner-%d", i+1), Online: i != 4, Busy: i < 2, Version: []string{"2.336.0", "2.335.1"}[i%2], Labels: labels})
	}
	w.Deprecate("2.335.1", githubtest.Deprecation{Runtime: time.Now().Add(5*24*time.Hour + time.Hour)})
	for i := range 10 {
		result := "success"
		if i < 3 {
			result = "failure"
		}
		w.ran("acme/coach", "CI", "build", result, time.Duration(50-i*4)*time.Minute, time.Duration(i+1)*time.Second, 90*time.Second)
	}
	for range 4 {
		w.ran("acme/ghActions", "CI", "lint", "success", 30*time.Minute, 0, 61*time.Second)
	}
	for i := range 8 {
		w.ran("acme/mcp", "Nightly", "test", "success", time.Duration(i+2)*time.Hour, time.Minute, 10*time.Minute)
	}
	for i := range 12 {
		w.ran("acme/personal", "Deploy to production", "push", "cancelled", time.Duration(i*9+30)*time.Hour, time.Second, time.Second)
	}
	now := time.Now()
	for i := range 2 {
		w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: fmt.Sprintf("integration (%d)", i+1), Status: "in_progress", RunnerName: fmt.Sprintf("ephemeral-org-runner-%d", i+1),
			Actor: "alice", Branch: "feature/a-branch-with-a-rather-long-name", Queued: now.Add(-4 * time.Minute), Started: now.Add(-time.Duration(3-i) * time.Minute)})
	}
	for i := range 3 {
		w.AddJob(githubtest.Job{Repository: "acme/mcp", Workflow: "CI", Name: "unit tests", Status: "queued", Actor: "bob", Queued: now.Add(-time.Duration(12-i) * time.Minute)})
	}
	w.AddJob(githubtest.Job{Repository: "acme/personal", Workflow: "Train", Name: "on a GPU", Status: "queued", RunsOn: []string{"self-hosted", "gpu"}, Queued: now.Add(-2 * time.Minute)})
	for i, r := range []records.Record{
		{Repository: "acme/coach", Workflow: "CI", Job: "build", PeakMemory: ptr[int64](1_400 << 20), CPUSeconds: ptr(81.5), Disk: ptr[int64](1_200 << 20), OOMKills: ptr[int64](0)},
		{Repository: "acme/mcp", Workflow: "Nightly", Job: "test", PeakMemory: ptr[int64](4 << 30), CPUSeconds: ptr(540.0), OOMKills: ptr[int64](2)},
	} {
		r.Result, r.Runner, r.RunID, r.Started, r.Finished = "succeeded", "ephemeral-org-runner-1", int64(900+i), now.Add(-time.Hour), now.Add(-50*time.Minute)
		if err := records.Append(w.records, r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.watch()
	w.until("forty jobs", func(o monitor.Overview) bool {
		done := 0
		for _, r := range o.Repositories {
			if r.Jobs != nil {
				done += r.Jobs.Week.Total
			}
		}
		return done == 34 && o.Running != nil && o.Running.Total == 2 && o.Queue.Total == 4 && o.Versions != nil && len(o.Versions.InUse) == 2 && o.Versions.InUse[1].DaysLeft != nil
	})
}

func ptr[T any](v T) *T { return &v }
