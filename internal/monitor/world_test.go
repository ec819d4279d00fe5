package monitor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"net/url"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// clock is a time that only passes when it is told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// world is a fake GitHub and a monitor that looks at it.
type world struct {
	*githubtest.Server
	t     *testing.T
	clock *clock
	m     *Monitor
	data  string
}

const token = "ghp_monitor"

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	s, err := githubtest.Start(githubtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.AddOrganization("acme")
	w := &world{Server: s, t: t, clock: &clock{time.Now().Truncate(time.Second)}, data: t.TempDir()}
	w.start(change...)
	return w
}

// start makes the monitor, or the next one over the same data.
func (w *world) start(change ...func(*Options)) {
	w.t.Helper()
	if w.m != nil {
		if err := w.m.Close(); err != nil {
			w.t.Error(err)
		}
	}
	api, err := url.Parse(w.URL() + "/api/v3")
	if err != nil {
		w.t.Fatal(err)
	}
	transport := newTransport(register.NewTransport(), newMeter(1000, w.clock.now))
	o := Options{
		Transport: transport, Name: "acme", ServerURL: w.URL(), Version: "1.2.3", Data: w.data, Log: zerolog.New(io.Discard), Now: w.clock.now,
		GitHub: register.New(register.Options{API: api, Scope: register.Organization("acme"), Credentials: register.Token(secret.New(token)),
			UserAgent: "org-runner/test", Log: zerolog.New(io.Discard), Transport: transport}),
	}
	for _, f := range change {
		f(&o)
	}
	if w.m, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.m.endListing(); w.m.Close() })
}

// pass lets so much time pass; a call takes a tenth of a second of it.
func (w *world) pass(d time.Duration) { pass(w.t, w.m, w.clock, d) }

func pass(t *testing.T, m *Monitor, c *clock, d time.Duration) {
	t.Helper()
	end := c.t.Add(d)
	for c.t.Before(end) {
		wait := m.step(t.Context())
		c.t = c.t.Add(min(max(wait, 100*time.Millisecond), end.Sub(c.t)))
	}
}

// ran is a job that has run: when it was queued, how long it waited and ran.
func ran(repository, workflow, name, result string, queued time.Time, waited, took time.Duration) githubtest.Job {
	return githubtest.Job{Repository: repository, Workflow: workflow, Name: name, Status: "completed", Result: result, RunnerName: "fleet-1",
		Queued: queued, Started: queued.Add(waited), Completed: queued.Add(waited + took)}
}

// counted is how many calls the fake saw that count against the limit, and how
// many that do not.
func (w *world) counted() (calls, unchanged int) {
	for _, c := range w.Calls("") {
		if c.Status == 304 {
			unchanged++
		} else {
			calls++
		}
	}
	return calls, unchanged
}

// stub is a GitHub that says what a test wants.
type stub struct {
	repositories []string
	runners      []register.Runner
	runs         map[string][]register.Run
	jobs         map[int64][]register.Job
	err          error
	runnersErr   error
	refused      map[string]error // by repository
}

func all[T any](list []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (s *stub) Repositories(context.Context) iter.Seq2[register.RepositoryInfo, error] {
	var list []register.RepositoryInfo
	for i, name := range s.repositories {
		list = append(list, register.RepositoryInfo{ID: int64(i + 1), FullName: name, Private: true})
	}
	return all(list, s.err)
}

func (s *stub) Repository(_ context.Context, name string) (register.RepositoryInfo, error) {
	return register.RepositoryInfo{ID: 1, FullName: name, Private: true}, s.err
}

func (s *stub) Groups(context.Context) ([]register.Group, error) {
	return []register.Group{{ID: 1, Name: "Default", Visibility: "all"}}, s.err
}

func (s *stub) Runners(context.Context) iter.Seq2[register.Runner, error] {
	return all(s.runners, cmp.Or(s.runnersErr, s.err))
}

func (s *stub) Runs(_ context.Context, repository, status, _ string) iter.Seq2[register.Run, error] {
	var list []register.Run
	for _, r := range s.runs[repository] {
		if status == "" || r.Status == status {
			list = append(list, r)
		}
	}
	return all(list, cmp.Or(s.refused[repository], s.err))
}

func (s *stub) Jobs(_ context.Context, _ string, run int64) iter.Seq2[register.Job, error] {
	return all(s.jobs[run], s.err)
}

func (s *stub) Downloads(context.Context) ([]register.Download, error) { return nil, s.err }

func (s *stub) Deprecation(context.Context, string) (register.Deprecation, error) {
	return register.Deprecation{}, s.err
}

// newStubbed makes a monitor over a stub.
func newStubbed(t *testing.T, s *stub, change ...func(*Options)) (*Monitor, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	o := Options{GitHub: s, Transport: newTransport(nil, newMeter(1000, c.now)), Name: "acme", Data: t.TempDir(), Log: zerolog.New(io.Discard), Now: c.now}
	for _, f := range change {
		f(&o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.endListing(); m.Close() })
	return m, c
}

func ptr[T any](v T) *T { return &v }

func names(n int, format string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}
