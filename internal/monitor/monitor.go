// Package monitor looks at a whole organization: its runners on any host, what
// they run, what waits, and what they have run in the last week. It asks GitHub
// within a budget of calls, remembers finished jobs in a file, and serves one
// page, its JSON, and metrics. It changes nothing anywhere.
package monitor

import (
	"context"
	"iter"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/metrics"
	"github.com/virtuoso902/org-runner/register"
)

// GitHub is what the monitor asks of GitHub; *register.Client satisfies it. It
// must send its requests through the monitor's Transport.
type GitHub interface {
	// The pages are the ones that a page before names, or the first of the list.
	// RepositoriesPage has the organization's, the last pushed to first.
	RepositoriesPage(ctx context.Context, page string) (register.Page[register.RepositoryInfo], error)
	Repository(ctx context.Context, name string) (register.RepositoryInfo, error)
	Groups(ctx context.Context) ([]register.Group, error)
	RunnersPage(ctx context.Context, page string) (register.Page[register.Runner], error)
	// RunsPage has a repository's runs, the newest first; empty: of any status, of any time.
	RunsPage(ctx context.Context, repository, status, created, page string) (register.Page[register.Run], error)
	// Jobs yields those of a run's latest attempt.
	Jobs(ctx context.Context, repository string, run int64) iter.Seq2[register.Job, error]
	// AllJobs yields those of all attempts.
	AllJobs(ctx context.Context, repository string, run int64) iter.Seq2[register.Job, error]
	Downloads(ctx context.Context) ([]register.Download, error)
	Deprecation(ctx context.Context, version string) (register.Deprecation, error)
}

// Kind is what the monitor looks at.
type Kind int

// The kinds.
const (
	OfOrganization Kind = iota
	OfRepository
	OfEnterprise
)

// Options is what a monitor is made of.
type Options struct {
	GitHub    GitHub
	Transport *Transport // of that GitHub

	Kind      Kind
	Name      string // acme, acme/coach or an enterprise's slug
	ServerURL string
	Version   string // of org-runner

	// Repositories are rules of owner/name; Allows tells whether one fits. None: all.
	Repositories []string
	Allows       func(repository string) bool

	Data    string // folder of the history
	Records string // file of job records, "" if there is none
	Cores   int    // of the hosted runner that is compared with

	Log zerolog.Logger
	Now func() time.Time // nil: time.Now
}

// Monitor is the state of it all. Run is the only one that changes it.
type Monitor struct {
	options Options
	meter   *meter
	prices  priceList
	began   time.Time

	registry metrics.Registry
	gauges   gauges

	mu sync.Mutex
	collected
	history  *history
	records  recordsFile
	problems []*Problem
	built    *built
}

// collected is what is known of GitHub now.
type collected struct {
	repositories   map[string]*repository // by owner/name
	repositoryList repositoryList
	runnerList     runnerList
	groupsDue      time.Time
	latestDue      time.Time
	denied         map[string]Unknown // by what was asked

	groups     []register.Group // nil: unknown
	runners    []register.Runner
	runnersAt  time.Time           // when the list was last read whole; zero: never
	runnersGap time.Duration       // from the one before to then
	idle       map[int64]time.Time // runners that are idle, by id: since when each list has shown them so
	systems    map[string]system   // of runners, by name
	offers     map[string]*offer   // sets of labels that runners have

	latest   string
	versions map[string]*versionDates

	pending map[int64]*pendingRun
	skipped int                  // runs that were never looked into
	counted map[jobKey]bool      // finished jobs that are counted; true: the history has it
	marks   map[string]time.Time // by repository, up to when its runs were known at the start

	turns        float64   // that were had
	stepped      time.Time // when the collector last was alive
	lastSuccess  time.Time
	failing      error // what went wrong since then, nil if nothing did
	failingSince time.Time
	failed       int // calls in a row
	pause        time.Time
}

// NewTransport is what the requests to GitHub have to go through, with a budget of
// calls in each hour; next carries them.
func NewTransport(next http.RoundTripper, callsPerHour int) *Transport {
	return newTransport(next, newMeter(callsPerHour, time.Now))
}

// New opens the history. An error is one of the configuration.
func New(o Options) (*Monitor, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Allows == nil {
		o.Allows = func(string) bool { return true }
	}
	if o.Cores == 0 {
		o.Cores = 2
	}
	now := o.Now()
	h, err := openHistory(o.Data, now)
	if err != nil {
		return nil, err
	}
	o.Transport.meter.keepIn(filepath.Join(o.Data, "calls.json"))
	m := &Monitor{options: o, meter: o.Transport.meter, prices: loadPrices(o.Cores), began: now, history: h}
	m.collected = collected{
		repositories: map[string]*repository{}, pending: map[int64]*pendingRun{}, systems: map[string]system{},
		offers: map[string]*offer{}, versions: map[string]*versionDates{}, denied: map[string]Unknown{}, stepped: now,
	}
	m.countRecorded()
	m.marks = h.marks()
	m.nameRepositories()
	m.records.path = o.Records
	m.makeMetrics()
	return m, nil
}

// Close ends the history; Run must have returned.
func (m *Monitor) Close() error {
	m.records.close()
	return m.history.close()
}

func (m *Monitor) now() time.Time { return m.options.Now() }

// change runs f with the state locked.
func (m *Monitor) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Run asks GitHub, one call after the other, until the context ends.
func (m *Monitor) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(min(m.step(ctx), m.records.wait(m.now())))
	}
}
