package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	var err error
	transport := newTransport(register.NewTransport(), newMeter(1000, w.clock.now))
	o := Options{
		Transport: transport, Name: "acme", ServerURL: w.URL(), Version: "1.2.3", Data: w.data, Log: zerolog.New(io.Discard), Now: w.clock.now,
	}
	o.GitHub = clientOf(&o, register.Organization("acme"))
	for _, f := range change {
		f(&o)
	}
	if w.m, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.m.Close() })
}

// clientOf makes the client of a monitor's options.
func clientOf(o *Options, scope register.Scope) *register.Client {
	api, _ := url.Parse(o.ServerURL + "/api/v3") // it is the fake's
	return register.New(register.Options{API: api, Scope: scope, Credentials: register.Token(secret.New(token)),
		UserAgent: "org-runner/test", Log: zerolog.New(io.Discard), Transport: o.Transport})
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
	jobs         map[int64][]register.Job // of the latest attempt
	earlier      map[int64][]register.Job // of those before
	err          error
	fail         func(ctx context.Context, call string) error // of one call, by what the asked has of it
	spend        *meter                                       // that calls are taken from
	asked        []string
	runnersErr   error
	groups       int              // more than the default one, together
	refused      map[string]error // by repository
}

// ask notes a call and says how it ends.
func (s *stub) ask(ctx context.Context, parts ...any) error {
	call := strings.TrimSpace(fmt.Sprintln(parts...))
	s.asked = append(s.asked, call)
	err := s.err
	if s.fail != nil {
		err = cmp.Or(s.fail(ctx, call), err)
	}
	if s.spend != nil {
		response := &http.Response{StatusCode: http.StatusOK}
		if errors.Is(err, errUnchanged) {
			response.StatusCode = http.StatusNotModified
		}
		s.spend.begin()
		s.spend.end(response, false)
	}
	return err
}

// count is how many calls begin with a text.
func (s *stub) count(prefix string) (n int) {
	for _, call := range s.asked {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

// cut is one page of a list, of which a page is named by the place of its first.
func cut[T any](list []T, page string, err error) (register.Page[T], error) {
	if err != nil {
		return register.Page[T]{}, err
	}
	at, _ := strconv.Atoi(page)
	p := register.Page[T]{Total: len(list)}
	if at = min(at, len(list)); len(list)-at > 100 {
		p.Next = strconv.Itoa(at + 100)
	}
	p.List = list[at:min(at+100, len(list))]
	return p, nil
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

func (s *stub) RepositoriesPage(ctx context.Context, page string) (register.Page[register.RepositoryInfo], error) {
	var list []register.RepositoryInfo
	for i, name := range s.repositories {
		list = append(list, register.RepositoryInfo{ID: int64(i + 1), FullName: name, Private: true})
	}
	return cut(list, page, s.ask(ctx, "repositories", page))
}

func (s *stub) Repository(ctx context.Context, name string) (register.RepositoryInfo, error) {
	return register.RepositoryInfo{ID: 1, FullName: name, Private: true}, s.ask(ctx, "repository", name)
}

func (s *stub) Groups(ctx context.Context) ([]register.Group, error) {
	list := []register.Group{{ID: 1, Name: "Default", Visibility: "all"}}
	for id := 2; id <= s.groups; id++ {
		list = append(list, register.Group{ID: int64(id), Name: fmt.Sprint("group ", id), Visibility: "all"})
	}
	return list, s.ask(ctx, "groups")
}

func (s *stub) RunnersPage(ctx context.Context, page string) (register.Page[register.Runner], error) {
	return cut(s.runners, page, cmp.Or(s.runnersErr, s.ask(ctx, "runners", page)))
}

// RunsPage knows what GitHub knows: filters, and that it shows 1,000 of a filtered
// list.
func (s *stub) RunsPage(ctx context.Context, repository, status, created, page string) (register.Page[register.Run], error) {
	var list []register.Run
	from, to, _ := strings.Cut(created, "..")
	for _, r := range s.runs[repository] {
		if r.CreatedAt.IsZero() {
			r.CreatedAt = r.UpdatedAt
		}
		at := r.CreatedAt.UTC().Format(time.RFC3339)
		if (status == "" || r.Status == status) && (created == "" || from <= at && at <= to) {
			list = append(list, r)
		}
	}
	shown := list
	if status != "" || created != "" {
		shown = list[:min(len(list), mostFiltered)]
	}
	p, err := cut(shown, page, cmp.Or(s.refused[repository], s.ask(ctx, "runs", repository, status, created, page)))
	p.Total = len(list)
	return p, err
}

func (s *stub) Jobs(ctx context.Context, repository string, run int64) iter.Seq2[register.Job, error] {
	return all(s.jobs[run], s.ask(ctx, "jobs", repository, run))
}

func (s *stub) AllJobs(ctx context.Context, repository string, run int64) iter.Seq2[register.Job, error] {
	return all(slices.Concat(s.jobs[run], s.earlier[run]), s.ask(ctx, "all jobs", repository, run))
}

func (s *stub) Downloads(ctx context.Context) ([]register.Download, error) {
	return nil, s.ask(ctx, "downloads")
}

func (s *stub) Deprecation(ctx context.Context, version string) (register.Deprecation, error) {
	return register.Deprecation{}, s.ask(ctx, "deprecation", version)
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
	t.Cleanup(func() { m.Close() })
	return m, c
}

// Overview is the present state of everything, as it is served.
func (m *Monitor) Overview() *Overview {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overview().listed()
}

func ptr[T any](v T) *T { return &v }

func names(n int, format string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}
