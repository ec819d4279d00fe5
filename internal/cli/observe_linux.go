package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/httpd"
	"github.com/virtuoso902/org-runner/internal/metrics"
	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/internal/safefile"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
	"github.com/virtuoso902/org-runner/runner"
)

// observer serves METRICS_ADDR: what the life answers on its socket, and what it
// has counted itself.
type observer struct {
	listener net.Listener
	server   *httpd.Server
	life     runner.Viewer
	keeping  sync.Mutex // of the totals: records of two jobs can come at once
	work     string     // a folder on the disk of the jobs
	totals   string     // file of what earlier lives of the container have counted
	log      zerolog.Logger

	registry                                        metrics.Registry
	state, since, healthy, job, refused             *metrics.Family
	jobs, took, queued, requests, failed, remaining *metrics.Family
	free, size, goroutines                          *metrics.Family
}

// Buckets in seconds: jobs take from seconds to hours, and wait as long.
var jobBuckets = []float64{5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600}

// newObserver listens before anything else is done: an address that is taken is
// an error of the configuration, not of a later moment.
func newObserver(address, work, totals string, build Build, masker *secret.Masker, log zerolog.Logger) (*observer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: METRICS_ADDR: %w: set a free address, as in :9100, or remove it", register.ErrConfiguration, err)
	}
	o := &observer{listener: listener, work: existing(work), totals: totals, log: log}
	r := &o.registry
	r.Gauge("org_runner_build_info", "What this is; the runner's version is that of the image.", "version", "runner_version").Set(1, build.Version, build.Runner)
	o.state = r.Gauge("org_runner_state", "1 for the state that the runner's life is in, 0 for the others.", "state")
	o.since = r.Gauge("org_runner_state_since_timestamp_seconds", "When that state began.")
	o.healthy = r.Gauge("org_runner_healthy", "1 when the runner listens, works or drains.")
	o.job = r.Gauge("org_runner_job_info", "1 for the job that runs.", "repository", "workflow", "job")
	o.jobs = r.Counter("org_runner_jobs_total", "Jobs that have ended.", "repository", "result")
	o.took = r.Histogram("org_runner_job_duration_seconds", "How long jobs ran.", jobBuckets, "repository")
	o.queued = r.Histogram("org_runner_job_queue_seconds", "How long jobs had waited for a runner; known with RUNNER_RECORDS.", jobBuckets, "repository")
	o.requests = r.Counter("org_runner_github_requests_total", "Requests to GitHub's API; code 0 got no answer.", "method", "endpoint", "code")
	o.failed = r.Counter("org_runner_github_retries_total", "Requests to GitHub's API that had to be tried again.")
	o.failed.Add(0) // so that the first one is seen as one more
	o.remaining = r.Gauge("org_runner_github_rate_limit_remaining", "Requests left in this hour by GitHub's last answer, of the limit that it names.", "resource")
	o.refused = r.Gauge("org_runner_runner_version_refused_timestamp_seconds", "When GitHub begins to refuse the runner's version.", "runner_version")
	o.free = r.Gauge("org_runner_disk_free_bytes", "What is left of the disk of the work folder.")
	o.size = r.Gauge("org_runner_disk_size_bytes", "The size of that disk.")
	o.goroutines = r.Gauge("go_goroutines", "Goroutines of this process.")
	r.BeforeWrite(o.update)
	if data, err := safefile.Read(totals); err == nil {
		metrics.Resume(data, o.jobs, o.took, o.queued)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		_, _ = r.WriteTo(w)
	})
	mux.HandleFunc("GET /healthz", o.answer((*runner.Status).Live))
	mux.HandleFunc("GET /readyz", o.answer(func(s *runner.Status) bool {
		return s.Healthy && (s.State == runner.Idle || s.State == runner.Busy)
	}))
	o.server = httpd.New(maskedHandler(masker, mux), log)
	go func() { _ = o.server.Serve(listener) }()
	return o, nil
}

func (o *observer) close() { _ = o.server.Close() }

// answer says yes or no, and why.
func (o *observer) answer(yes func(*runner.Status) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		s := o.life.Status()
		switch {
		case s == nil:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, "the runner's life has not begun yet")
		case !yes(s):
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, printable(s.Health))
		default:
			fmt.Fprintln(w, printable(s.Health))
		}
	}
}

// update brings the gauges up to date with the life.
func (o *observer) update() {
	o.goroutines.Set(float64(runtime.NumGoroutine()))
	o.free.Reset()
	o.size.Reset()
	if free, size, err := room(o.work); err == nil {
		o.free.Set(float64(free))
		o.size.Set(float64(size))
	}
	s := o.life.Status()
	o.job.Reset()
	if s == nil {
		o.healthy.Set(0)
		return
	}
	for _, state := range runner.States() {
		o.state.Set(one(state == s.State), string(state))
	}
	o.since.Set(float64(s.Since.Unix()))
	o.healthy.Set(one(s.Healthy))
	if s.Job != nil && s.Job.Repository != "" { // the hook tells it a moment after the job has begun
		o.job.Set(1, s.Job.Repository, s.Job.Workflow, s.Job.Name)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// record counts a job that has ended. An ephemeral life ends with it, mostly before
// Prometheus has asked: the totals go on in the container's next one.
func (o *observer) record(r records.Record) {
	o.keeping.Lock()
	defer o.keeping.Unlock()
	o.jobs.Add(1, r.Repository, r.Result)
	o.took.Observe(r.Finished.Sub(r.Started).Seconds(), r.Repository)
	if r.Queued != nil {
		// By two clocks: the difference of a job that did not wait may be negative.
		o.queued.Observe(max(r.Started.Sub(*r.Queued).Seconds(), 0), r.Repository)
	}
	data, err := metrics.Keep(o.jobs, o.took, o.queued)
	if err == nil && o.totals != "" {
		err = safefile.Write(o.totals, data)
	}
	if err != nil {
		o.log.Warn().Err(err).Msg("could not save the totals of jobs: the next start counts from zero")
	}
}

// counted is a transport that counts what passes.
type counted struct {
	*observer
	next http.RoundTripper
}

func (c counted) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	code := 0
	if response != nil {
		code = response.StatusCode
		if n, err := strconv.Atoi(response.Header.Get("X-Ratelimit-Remaining")); err == nil {
			c.remaining.Set(float64(n), cmp.Or(response.Header.Get("X-Ratelimit-Resource"), "core"))
		}
	}
	c.requests.Add(1, request.Method, endpoint(request.URL.Path), strconv.Itoa(code))
	return response, err
}

var names = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`/(orgs|enterprises|users)/[^/]+|/repos/[^/]+/[^/]+|/[0-9][^/]*`)
})

// endpoint is a path without the names and numbers in it, as GitHub's
// documentation writes it.
func endpoint(path string) string {
	return names().ReplaceAllStringFunc(path, func(part string) string {
		switch {
		case strings.HasPrefix(part, "/repos/"):
			return "/repos/{owner}/{repo}"
		case strings.HasPrefix(part, "/orgs/"):
			return "/orgs/{org}"
		case strings.HasPrefix(part, "/enterprises/"):
			return "/enterprises/{enterprise}"
		case strings.HasPrefix(part, "/users/"):
			return "/users/{username}"
		}
		return "/{id}"
	})
}

// How often the observer looks whether it may ask from when on GitHub refuses the
// runner, and asks: the date of a version is set when a newer one is out.
const (
	lookEvery  = 5 * time.Second
	datesEvery = 12 * time.Hour
)

// learnDeprecation asks from when on GitHub refuses the runner's version; not
// knowing it is no error. A start that waits for GitHub asks nothing beside.
func (o *observer) learnDeprecation(ctx context.Context, client *register.Client) {
	for wait := lookEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = lookEvery
		s := o.life.Status()
		if s == nil || s.Version == "" || s.State != runner.Idle && s.State != runner.Busy {
			continue
		}
		wait = datesEvery
		d, err := client.Deprecation(register.Once(ctx), s.Version)
		if err != nil {
			wait = time.Hour
			continue
		}
		o.refused.Reset() // an update has brought another version
		if at := d.First(); at != nil {
			o.refused.Set(float64(at.Unix()), s.Version)
		}
	}
}

// observed puts what RUNNER_RECORDS and METRICS_ADDR want into a life's options.
// The function that it returns ends it.
func observed(c config.Config, client *register.Client, o *observer, options *runner.Options) (end func()) {
	ctx, end := context.WithCancel(context.Background())
	if c.Records != "" || o != nil {
		options.Record = func(r records.Record) error {
			if o != nil {
				o.record(r)
			}
			if c.Records == "" {
				return nil
			}
			return records.Append(c.Records, r)
		}
	}
	if c.Records != "" && client != nil {
		options.Queued = queued(client)
	}
	if options.Record != nil && client != nil {
		options.Concluded = client.JobConclusion
	}
	if o != nil {
		options.Viewer = &o.life
	}
	if o != nil && client != nil {
		go o.learnDeprecation(ctx, client)
	}
	return end
}

// queued asks since when a job had been waiting, until GitHub says that these
// credentials may not know: of no repository, or of this one.
func queued(client *register.Client) func(ctx context.Context, repository string, run, runner int64) (time.Time, error) {
	const all = ""
	var refused sync.Map // of names
	return func(ctx context.Context, repository string, run, runner int64) (time.Time, error) {
		for _, name := range []string{all, repository} {
			if _, known := refused.Load(name); known {
				return time.Time{}, nil
			}
		}
		at, err := client.JobQueued(ctx, repository, run, runner)
		switch {
		case errors.Is(err, register.ErrCredentials):
			refused.Store(all, true)
		case errors.Is(err, register.ErrNotFound):
			refused.Store(repository, true)
		}
		return at, err
	}
}
