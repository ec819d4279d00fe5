package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/virtuoso902/org-runner/internal/monitor"
	"github.com/virtuoso902/org-runner/internal/monitor/page"
)

// made serves the page with an overview made by hand: states that are hard to
// bring about at GitHub, and in an order that the test decides.
type made struct {
	url string

	mu       sync.Mutex
	overview any
	asked    int           // how often
	hold     chan struct{} // an answer waits until it is closed
}

func newMade(t *testing.T, overview any) *made {
	m := &made{overview: overview}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page.Files))
	mux.HandleFunc("GET /api/overview", func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		answer, hold := m.overview, m.hold
		m.asked++
		m.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Log(err) // who asked has gone
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	m.url = server.URL + "/"
	return m
}

func (m *made) set(overview any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overview = overview
}

// show makes the page ask for this overview and waits until it stands there.
func (m *made) show(b *browser, o *monitor.Overview) {
	b.t.Helper()
	m.mu.Lock()
	o.Version = fmt.Sprint("made-", m.asked)
	m.overview = o
	m.mu.Unlock()
	ask[bool](b, refresh)
	b.until(o.Version, fmt.Sprintf(`document.querySelector('#about').textContent.startsWith('org-runner %s ')`, o.Version))
}

var madeAt = time.Date(2026, 11, 24, 14, 10, 0, 0, time.UTC)

// quiet is an overview of an organization in which all is known and nothing
// happens.
func quiet() *monitor.Overview {
	o := &monitor.Overview{
		GeneratedAt: madeAt, Organization: "acme", ServerURL: "https://github.com", Version: "made",
		Runners: &monitor.Runners{AsOf: madeAt.Add(-8 * time.Minute), Totals: monitor.Totals{Total: 2, Idle: 2}, List: []monitor.Runner{}},
		Running: &monitor.Running{Jobs: []monitor.RunningJob{}}, Queue: &monitor.Queue{Repositories: []monitor.QueueRepository{}, Jobs: []monitor.QueuedJob{}, Stuck: ptr(0)},
		Repositories: []monitor.Repository{}, Slowest: []monitor.Workflow{}, Failing: []monitor.Workflow{}, Problems: []monitor.Problem{}, Unknown: []monitor.Unknown{},
		Versions: &monitor.Versions{InUse: []monitor.Version{}},
		Savings:  monitor.Savings{PricesOf: "2026-01-01", PricesSource: "https://docs.github.com/", Note: "a price", Hour: &monitor.Saved{}, Day: &monitor.Saved{}, Week: &monitor.Saved{}, Lines: []monitor.SavingsLine{}},
	}
	for i, step := range []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour} {
		start := madeAt.Add(-[]time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[i]).Truncate(step)
		*[]*monitor.Series{&o.Series.Hour, &o.Series.Day, &o.Series.Week}[i] = monitor.Series{
			Start: start, StepSeconds: int(step.Seconds()), Buckets: int(madeAt.Sub(start)/step) + 1, Repositories: []monitor.SeriesRepository{}}
	}
	return o
}

// ran adds jobs that ended in the last bucket and in the first.
func ran(o *monitor.Overview, repository string, jobs int) {
	for _, s := range []*monitor.Series{&o.Series.Hour, &o.Series.Day, &o.Series.Week} {
		line := monitor.SeriesRepository{Name: repository, Total: jobs + 1, Jobs: make([]int, s.Buckets)}
		line.Jobs[0], line.Jobs[s.Buckets-1] = 1, jobs
		s.Repositories = append(s.Repositories, line)
	}
	results := monitor.Results{Total: jobs + 1, Succeeded: jobs, Other: 1}
	o.Repositories = append(o.Repositories, monitor.Repository{Name: repository, LastSeen: ptr(madeAt), Running: ptr(0), Queued: ptr(0), Jobs: &monitor.Windows[monitor.Results]{Hour: results, Day: results, Week: results}})
}

func runs(o *monitor.Overview, names ...string) {
	for _, name := range names {
		o.Running.Jobs = append(o.Running.Jobs, monitor.RunningJob{JobRef: monitor.JobRef{Repository: "acme/coach", Workflow: "CI", Job: name, URL: "https://github.com/acme/coach/actions/runs/1/job/" + name},
			Runner: "runner-of-" + name, Since: ptr(madeAt.Add(-time.Minute))})
	}
	o.Running.Total = len(o.Running.Jobs)
}

// A note that comes above the chart leaves the chart's table unfolded and the
// focus where it is.
func TestNoteAboveKeepsWhatIsBelow(t *testing.T) {
	o := quiet()
	ran(o, "acme/coach", 3)
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	ask[bool](b, `document.querySelector('#jobs details').open = true, document.querySelector('#jobs summary').focus(), true`)
	for _, pending := range []int{3, 0} {
		o := quiet()
		ran(o, "acme/coach", 3)
		o.GitHub.PendingRuns = pending
		m.show(b, o)
		what := fmt.Sprint(pending, " pending: ")
		expect(t, what+"the note", ask[bool](b, `document.querySelector('#jobs').textContent.includes('3 finished runs still to be looked into')`), pending > 0)
		expect(t, what+"unfolded", ask[bool](b, `document.querySelector('#jobs details').open`), true)
		expect(t, what+"focus", ask[string](b, `document.activeElement.textContent`), "The chart as a table")
	}
}

// A row is its job's: what has the focus is not given to another job when rows
// come, go or change places.
func TestRowsKeepTheirJobs(t *testing.T) {
	o := quiet()
	runs(o, "one", "two", "three")
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	focus := func() string { return ask[string](b, `document.activeElement.textContent`) }
	rows := func() string {
		return ask[string](b, `[...document.querySelectorAll('#running tbody a')].map(a => a.textContent).join(' ')`)
	}
	ask[bool](b, `document.querySelectorAll('#running a')[1].focus(), window.two = document.activeElement, true`)
	for _, names := range []string{"two three", "zero two three", "three zero two", "two", "two two"} {
		o := quiet()
		runs(o, strings.Fields(names)...)
		m.show(b, o)
		expect(t, names+": rows", rows(), names)
		expect(t, names+": focus", focus(), "two")
	}
	expect(t, "the same element", ask[bool](b, `document.activeElement === window.two`), true)
	o = quiet()
	runs(o, "three")
	m.show(b, o)
	expect(t, "focus after the end", ask[bool](b, `document.activeElement === document.body`), true)

	// So is a link in the row of something that stays.
	o = quiet()
	o.Runners.List = []monitor.Runner{{Name: "fleet-1", State: "busy", Labels: []string{}, Job: &monitor.JobRef{Repository: "acme/coach", Job: "one", URL: "https://github.com/1"}}}
	m.show(b, o)
	ask[bool](b, `document.querySelector('#runners details').open = true, document.querySelector('#runners a').focus(), true`)
	expect(t, "focus in the runner's row", focus(), "one")
	next := quiet()
	next.Runners.List = []monitor.Runner{{Name: "fleet-1", State: "busy", Labels: []string{}, Job: &monitor.JobRef{Repository: "acme/coach", Job: "two", URL: "https://github.com/2"}}}
	m.show(b, next)
	expect(t, "focus when the runner has another job", ask[bool](b, `document.activeElement === document.body`), true)
	expect(t, "unfolded", ask[bool](b, `document.querySelector('#runners details').open`), true)
}

// What is known in part, or of long ago, is not shown as if it were whole and new.
func TestPartlyUnknown(t *testing.T) {
	o := quiet()
	o.Running.UnknownRepositories, o.Queue.UnknownRepositories = 1, 2
	o.Runners.StaleSince = ptr(madeAt.Add(-3 * time.Minute))
	ran(o, "acme/coach", 3)
	o.Repositories = append(o.Repositories,
		monitor.Repository{Name: "acme/denied"},
		monitor.Repository{Name: "acme/old", LastSeen: ptr(madeAt.Add(-2 * time.Hour)), Stale: true, Running: ptr(1)},
		monitor.Repository{Name: "acme/quiet", LastSeen: ptr(madeAt)},
		monitor.Repository{Name: "acme/flood", LastSeen: ptr(madeAt), AtLeast: true, Queued: ptr(50), Jobs: &monitor.Windows[monitor.Results]{}},
		monitor.Repository{Name: "acme/new", LastSeen: ptr(madeAt), AtLeast: true, Jobs: &monitor.Windows[monitor.Results]{}})
	o.GitHub.UnreadRuns = 7
	o.Versions.InUse = []monitor.Version{{Version: "2.336.0", Runners: 1, DatesUnknown: true}, {Version: "2.335.1", Runners: 1}}
	o.Memory = &monitor.Memory{Highest: []monitor.JobMemory{{Repository: "acme/coach", Job: "build", Count: 2, Disk: ptr(int64(5 << 10))}, {Repository: "acme/coach", Job: "test", Count: 1, OOMKills: ptr(int64(0))}}}
	m := newMade(t, o)
	b := newBrowser(t)
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"})
	for _, width := range []int64{360, 768, 1280} {
		b.open(m.url, width, "light")
		b.noOverlap(fmt.Sprint("partly unknown, ", width))
		b.keep(fmt.Sprint("partly-unknown-", width))
	}
	got := ask[map[string]string](b, tiles)
	for tile, want := range map[string]string{
		"Runners online": "2 | 0 busy, 2 idle | old: read at 14:02", "Offline": "0 | of 2 runners | old: read at 14:02",
		"Jobs running": "0 | 1 repository unknown", "Jobs waiting": "0 | 2 repositories unknown", "Longest wait": "– | 2 repositories unknown",
		"Hosted price": "$0.00 | 0 minutes of the week | 1 repository unknown",
	} {
		expect(t, tile, got[tile], want)
	}
	expect(t, "marked bad", ask[[]string](b, `[...document.querySelectorAll('.tile.bad dt')].map(e => e.textContent)`), []string{"Runners online", "Offline"})
	for part, want := range map[string]string{
		"running": "1 repository is unknown", "queue": "2 repositories are unknown", "jobs": "1 repository is unknown", "runners": "The list is old: it cannot be read since 24/11/2026, 14:07:00",
	} {
		if text := ask[string](b, `document.querySelector('#`+part+` .notes')?.textContent ?? ''`); !strings.Contains(text, want) {
			t.Errorf("%s: %q, want %q", part, text, want)
		}
	}
	rows := ask[map[string][][]string](b, tables)
	expect(t, "repositories", rows["Jobs by repository in the last day"], [][]string{
		{"acme/coach", "4", "3", "0", "1", "0", "0"},
		{"acme/flood", "0", "0", "0", "0", "unknown", "50+"},
		{"acme/denied | never seen", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{"acme/old | last seen at 12:10", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{"acme/new", "0", "0", "0", "0", "unknown", "unknown"},
	})
	expect(t, "memory", rows["Memory of jobs, the highest first"], [][]string{
		{"build | acme/coach", "2", "unknown", "unknown", "unknown", "5.0 KiB", "unknown"}, {"test | acme/coach", "1", "unknown", "unknown", "unknown", "unknown", "0"}})
	expect(t, "unread runs", ask[bool](b, `document.querySelector('#jobs').textContent.includes('7 unfinished runs not looked into yet, or not whole.')`), true)
	expect(t, "versions", rows["Versions of the official runner in use"], [][]string{{"2.336.0", "1", "unknown"}, {"2.335.1", "1", "–"}})
	expect(t, "title", ask[string](b, `document.title`), "0+ running, 0+ waiting – acme")
}

// A monitor that has just begun has not yet seen most of a large organization:
// the table does not list them all.
func TestManyUnknown(t *testing.T) {
	o := quiet()
	o.Running.UnknownRepositories = 90
	ran(o, "acme/coach", 3)
	for i := range 90 {
		o.Repositories = append(o.Repositories, monitor.Repository{Name: fmt.Sprint("acme/unseen-", i)})
	}
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	expect(t, "rows", len(ask[map[string][][]string](b, tables)["Jobs by repository in the last day"]), 21)
	expect(t, "the rest", ask[bool](b, `document.querySelector('#jobs').textContent.includes('The first 21 of 91 repositories.')`), true)
}

// Where the lists that the page is given are cut, it says so.
func TestCutLists(t *testing.T) {
	o := quiet()
	ran(o, "acme/coach", 3)
	o.Groups = []monitor.Group{{Name: "Default", Totals: &o.Runners.Totals}}
	o.Unknown = []monitor.Unknown{{What: "the jobs of acme/mcp", Permission: "Actions"}}
	o.RepositoriesTotal, o.GroupsTotal, o.UnknownTotal = 1, 1, 1
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	notes := map[string]string{
		"jobs":    "Of 1,300 repositories these are 1: where something runs or waits now, then those with the most jobs of the week.",
		"runners": "The first 1 of 300 runner groups.", "unknown": "The first 1 of 250 unknown things.",
	}
	has := func(part string) bool {
		return ask[bool](b, fmt.Sprintf(`document.querySelector('#%s').textContent.includes(%q)`, part, notes[part]))
	}
	for part := range notes {
		expect(t, part+", whole", has(part), false)
	}
	o.RepositoriesTotal, o.GroupsTotal, o.UnknownTotal = 1300, 300, 250
	m.show(b, o)
	for part := range notes {
		expect(t, part+", cut", has(part), true)
	}
	b.noOverlap("cut")
}

// When no runner is online at all, labels are not what is wrong.
func TestNoRunnerOnline(t *testing.T) {
	o := quiet()
	o.Runners.Totals = monitor.Totals{Total: 2, Offline: 2}
	o.Queue.Total, o.Queue.Stuck, o.Queue.OldestSince = 1, nil, ptr(madeAt.Add(-time.Minute)) // stuck is nothing while none is online
	o.Queue.Jobs = []monitor.QueuedJob{{JobRef: monitor.JobRef{Repository: "acme/coach", Job: "build"}, Since: o.Queue.OldestSince, Labels: []string{"self-hosted"}}}
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 360, "dark")
	expect(t, "tile", ask[map[string]string](b, tiles)["Jobs waiting"], "1 | no runner is online")
	expect(t, "row", ask[map[string][][]string](b, tables)["Jobs that wait for a runner, the oldest first"], [][]string{{"build | acme/coach", "self-hosted | ✕ no runner is online", "60 s"}})
}

// No two steps of the chart have the same name, in any zone, the hour that comes
// twice when the clocks go back included.
func TestStepsHaveNames(t *testing.T) {
	b := newBrowser(t)
	autumn := time.Date(2026, 10, 25, 1, 10, 0, 0, time.UTC).Sub(madeAt)
	for zone, shift := range map[string]time.Duration{"UTC": 0, "Asia/Kolkata": 0, "Europe/Berlin": autumn} {
		call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		o := quiet()
		for _, s := range []*monitor.Series{&o.Series.Hour, &o.Series.Day, &o.Series.Week} {
			s.Start = s.Start.Add(shift).Truncate(time.Duration(s.StepSeconds) * time.Second)
			line := monitor.SeriesRepository{Name: "acme/coach", Jobs: make([]int, s.Buckets)}
			for i := range line.Jobs {
				line.Jobs[i] = 1000*i + 1
				line.Total += line.Jobs[i]
			}
			s.Repositories = []monitor.SeriesRepository{line}
		}
		m := newMade(t, o)
		for _, width := range []int64{360, 1280} {
			b.open(m.url, width, "light")
			ask[bool](b, `document.querySelector('#jobs details').open = true`)
			for window, buckets := range map[string]int{"hour": 13, "day": 25, "week": 29} {
				b.do(chromedp.Click("input[value=" + window + "] + span"))
				names := ask[[]string](b, `[...document.querySelectorAll('#jobs .scroll tbody th')].map(th => th.textContent)`)
				different := map[string]bool{}
				for _, name := range names {
					different[name] = true
				}
				if len(different) != buckets {
					t.Errorf("%s, %s: %d of %d names differ: %q", zone, window, len(different), buckets, names)
				}
				// The chart's own words stay inside of it.
				cut := ask[[]string](b, `[...document.querySelectorAll('svg.chart text')].filter(text => { const box = text.getBBox(), all = text.ownerSVGElement.viewBox.baseVal; return box.x < 0 || box.x + box.width > all.width; }).map(text => text.textContent)`)
				if len(cut) > 0 {
					t.Errorf("%s, %s, %d: cut off: %q", zone, window, width, cut)
				}
				b.noOverlap(fmt.Sprint(zone, ", ", window, ", ", width))
			}
			b.keep(fmt.Sprint("steps-", strings.ReplaceAll(zone, "/", "-"), "-", width))
		}
	}
}

// The longest names that GitHub allows, in all places and at all widths, down to the
// narrowest phone.
func TestLongNames(t *testing.T) {
	o := quiet()
	long := strings.Repeat("organization", 3) + "/" + strings.Repeat("repository-", 9)
	for i := range 8 {
		ran(o, fmt.Sprint(long, i), 3)
	}
	o.Repositories = append(o.Repositories, monitor.Repository{Name: long + "unseen"})
	o.Organization = strings.Repeat("organization", 3)
	runs(o, strings.Repeat("integration ", 8), strings.Repeat("x", 200))
	o.Running.Jobs[1].Branch, o.Running.Jobs[1].Actor = strings.Repeat("feature/", 30), strings.Repeat("m", 39)
	o.Queue.Total, o.Queue.OldestSince = 1, ptr(madeAt.Add(-30*24*time.Hour))
	o.Queue.Jobs = []monitor.QueuedJob{{JobRef: monitor.JobRef{Repository: long, Job: "build"}, Since: o.Queue.OldestSince, Labels: []string{"self-hosted", strings.Repeat("label", 50)}, Stuck: ptr(true)}}
	o.Runners.Totals = monitor.Totals{Total: 12345, Busy: 12000, Idle: 345}
	o.Runners.List = []monitor.Runner{{Name: strings.Repeat("runner-", 9), State: "busy", Group: strings.Repeat("group ", 20), Version: "2.336.0", Labels: []string{"self-hosted", strings.Repeat("label", 50)}, Job: &o.Running.Jobs[0].JobRef}}
	o.Groups = []monitor.Group{{Name: strings.Repeat("group", 20), Visibility: "selected", AllowsPublic: true, Totals: &o.Runners.Totals}}
	o.Savings.Week = &monitor.Saved{Minutes: 12345678, HostedUSD: 98765.43}
	o.Savings.Lines = []monitor.SavingsLine{{SKU: "linux", Name: "Linux 2-core", USDPerMinute: 0.006, Saved: *o.Savings.Week}}
	o.Problems = []monitor.Problem{{Time: madeAt.Add(-time.Hour), What: strings.Repeat("wrong", 80), Remedy: strings.Repeat("mend ", 60), Count: 1234, Now: true, URL: "https://github.com/"}}
	o.Versions.InUse = []monitor.Version{{Version: "2.336.0", Runners: 12345, DatesUnknown: true}}
	m := newMade(t, o)
	b := newBrowser(t)
	for _, width := range []int64{320, 360, 704, 705, 768, 1280} {
		b.open(m.url, width, "dark")
		ask[bool](b, `document.querySelectorAll('details').forEach(d => d.open = true), true`)
		b.noOverlap(fmt.Sprint("long, ", width))
		b.keep(fmt.Sprint("long-", width))
	}
}

// Who comes back to the page after a while waits for the answer, and is told of
// nothing that has not happened.
func TestComesBack(t *testing.T) {
	m := newMade(t, quiet())
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	ask[bool](b, `window.away = false, Object.defineProperty(document, 'hidden', { get: () => window.away }), true`)
	turn := func(away bool) {
		ask[bool](b, fmt.Sprintf(`window.away = %v, document.dispatchEvent(new Event('visibilitychange')), true`, away))
	}
	turn(true)
	hold := make(chan struct{})
	m.mu.Lock()
	m.hold = hold
	m.mu.Unlock()
	ask[bool](b, `{ const now = Date.now; Date.now = () => now() + 60_000; } window.alerts = []; new MutationObserver(() => window.alerts.push(document.querySelector('#alert').textContent)).observe(document.querySelector('#alert'), { childList: true, subtree: true }); true`)
	turn(false)
	time.Sleep(2500 * time.Millisecond) // what is shown is looked at every second
	close(hold)
	next := quiet()
	next.Organization = "answered"
	m.set(next)
	b.until("the answer", `document.querySelector('#organization').textContent === 'of acme' && document.querySelector('#alert').textContent === ''`)
	expect(t, "alerts", ask[[]string](b, `window.alerts`), []string{})
}

// An answer that the page cannot show is said to be one, and the page asks again.
func TestCannotShow(t *testing.T) {
	m := newMade(t, quiet())
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	m.set(map[string]any{"organization": "acme", "generated_at": madeAt})
	ask[bool](b, refresh)
	b.until("an alert", `document.querySelector('#alert').textContent.startsWith('A part of this page cannot be shown')`)
	next := quiet()
	next.Organization = "another"
	m.set(next)
	b.until("the next answer", `document.querySelector('#organization').textContent === 'of another' && document.querySelector('#alert').textContent === ''`)
}

// What is neither a success nor a failure is not all called cancelled.
func TestOtherResults(t *testing.T) {
	o := quiet()
	ran(o, "acme/coach", 3) // one of them is of another kind
	m := newMade(t, o)
	b := newBrowser(t)
	b.open(m.url, 1280, "light")
	expect(t, "columns", ask[[]string](b, `[...document.querySelectorAll('#jobs > div > table thead th')].map(th => th.textContent)`),
		[]string{"Repository", "Jobs", "✓ succeeded", "✕ failed", "Cancelled, other", "Running", "Waiting"})
}
