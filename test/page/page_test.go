package page

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/monitor"
)

// tables are all tables of the page by caption: rows of the cells' texts.
const tables = `Object.fromEntries([...document.querySelectorAll('table')].map(t => [t.caption.textContent,
	[...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.firstChild.innerText.replaceAll('\n', ' | ')))]))`

// tiles are the figures at the top: the value and the remark.
const tiles = `Object.fromEntries([...document.querySelectorAll('#now .tile')].map(t => [t.querySelector('dt').textContent, [...t.querySelectorAll('dd')].map(d => d.textContent).join(' | ')]))`

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n%s, want\n%s", what, g, w)
	}
}

// Forty jobs in four repositories, five runners: the page says so.
func TestNumbers(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	b.open(w.url, 1280, "light")

	got := ask[map[string]string](b, tiles)
	for tile, want := range map[string]string{
		"Runners online": "4 | 2 busy, 2 idle", "Offline": "1 | of 5 runners", "Jobs running": "2", "Jobs waiting": "4 | 1 that no runner can take",
		"Longest wait": "12 min", "Hosted price": "$0.67 | 120 minutes of the week",
	} {
		expect(t, tile, got[tile], want)
	}
	rows := ask[map[string][][]string](b, tables)
	expect(t, "running", rows["Jobs that run now, the oldest first"], [][]string{
		{"integration (1) | acme/coach · CI", "ephemeral-org-runner-1", "alice | feature/a-branch-with-a-rather-long-name", "3 min"},
		{"integration (2) | acme/coach · CI", "ephemeral-org-runner-2", "alice | feature/a-branch-with-a-rather-long-name", "2 min"}})
	expect(t, "waiting", rows["Jobs that wait for a runner, the oldest first"][3], []string{"on a GPU | acme/personal · Train", "self-hosted | gpu | ✕ no runner has these", "2 min"})
	expect(t, "disk", rows["Memory of jobs, the highest first"][1][5], "1.2 GiB")
	expect(t, "memory", rows["Memory of jobs, the highest first"][0], []string{"test | acme/mcp · Nightly", "1", "4.0 GiB", "4.0 GiB", "9 min", "unknown", "2"})
	expect(t, "failing", rows["The most failing workflows of the week"], [][]string{{"CI | acme/coach", "3", "10", "30 %"}})
	expect(t, "slowest", rows["The slowest workflows of the week"][0], []string{"Nightly | acme/mcp", "8", "10 min", "10 min"})
	expect(t, "versions", rows["Versions of the official runner in use"], [][]string{{"2.336.0 | the newest", "2", "–"}, {"2.335.1", "2", "! 5 days"}})
	expect(t, "groups", rows["Runner groups"], [][]string{{"Default", "all", "2", "2", "1"}})

	for window, want := range map[string]struct {
		jobs      map[string]string // of a repository: all, succeeded, failed
		durations [][]string
		money     string
	}{
		"hour": {map[string]string{"acme/coach": "10 7 3", "acme/ghActions": "4 4 0", "acme/mcp": "0 0 0", "acme/personal": "0 0 0"},
			[][]string{{"Waited (14)", "3 s", "10 s", "10 s", "10 s"}, {"Ran (14)", "90 s", "90 s", "90 s", "90 s"}}, "$0.12 for 28 minutes in the last hour, of which 8 would have been free"},
		"day": {map[string]string{"acme/coach": "10 7 3", "acme/ghActions": "4 4 0", "acme/mcp": "8 8 0", "acme/personal": "0 0 0"},
			[][]string{{"Waited (22)", "7 s", "60 s", "60 s", "60 s"}, {"Ran (22)", "90 s", "10 min", "10 min", "10 min"}}, "$0.60 for 108 minutes in the last day, of which 8 would have been free"},
		"week": {map[string]string{"acme/coach": "10 7 3", "acme/ghActions": "4 4 0", "acme/mcp": "8 8 0", "acme/personal": "12 0 0"},
			[][]string{{"Waited (34)", "1 s", "60 s", "60 s", "60 s"}, {"Ran (34)", "90 s", "10 min", "10 min", "10 min"}}, "$0.67 for 120 minutes in the last week, of which 8 would have been free"},
	} {
		b.do(chromedp.Click("input[value=" + window + "] + span"))
		rows := ask[map[string][][]string](b, tables)
		jobs := map[string]string{}
		for _, r := range rows["Jobs by repository in the last "+window] {
			jobs[r[0]] = strings.Join(r[1:4], " ")
		}
		expect(t, window+": jobs", jobs, want.jobs)
		expect(t, window+": durations", rows["How long the jobs of the last "+window+" waited and ran"], want.durations)
		expect(t, window+": money", ask[string](b, `document.querySelector('#savings .figure').textContent`), want.money)
		// The chart, the legend and the table below the chart say the same.
		expect(t, window+": legend", ask[int](b, `[...document.querySelectorAll('.legend li')].reduce((sum, li) => sum + Number(li.textContent.match(/(\d+)$/)[1]), 0)`), map[string]int{"hour": 14, "day": 22, "week": 34}[window])
		expect(t, window+": chart as a table", ask[int](b, `[...document.querySelectorAll('.scroll td')].reduce((sum, td) => sum + Number(td.textContent), 0)`), map[string]int{"hour": 14, "day": 22, "week": 34}[window])
	}
	if foreign := ask[[]string](b, `performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith(location.origin))`); len(foreign) > 0 {
		t.Errorf("the page loads %v", foreign)
	}
}

// overlaps finds texts that lie on each other, and those that leave the page.
const overlaps = `(() => {
	const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; node = walker.nextNode();) {
		const e = node.parentElement;
		if (!node.data.trim() || e.closest('.hidden, .skip, noscript, thead, svg title') || !e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
		const range = document.createRange();
		range.selectNodeContents(node);
		for (const box of range.getClientRects()) if (box.width > 1 && box.height > 1) texts.push({ node, box, text: node.data.trim().slice(0, 40) });
	}
	const found = [];
	texts.forEach((a, i) => {
		if (!a.node.parentElement.closest('.scroll') && (a.box.left < -1 || a.box.right > innerWidth + 1)) found.push(a.text + ' leaves the page');
		for (const b of texts.slice(i + 1)) {
			if (a.node === b.node) continue;
			const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left), high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
			if (wide > 2 && high > 5) found.push(a.text + ' lies on ' + b.text);
		}
	});
	if (document.documentElement.scrollWidth > innerWidth) found.push('the page is ' + document.documentElement.scrollWidth + ' wide');
	return [texts.length, found.slice(0, 20)];
})()`

func (b *browser) noOverlap(what string) {
	b.t.Helper()
	var found struct {
		texts int
		list  []string
	}
	raw := ask[[]json.RawMessage](b, overlaps)
	if err := json.Unmarshal(raw[0], &found.texts); err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(raw[1], &found.list); err != nil {
		b.t.Fatal(err)
	}
	if found.texts < 30 || len(found.list) > 0 {
		b.t.Errorf("%s: of %d texts %q", what, found.texts, found.list)
	}
}

// Nothing lies on anything else, at a phone's width, a tablet's and a desktop's,
// light and dark, and all texts can be read.
func TestLooks(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	for _, width := range []int64{360, 768, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			what := fmt.Sprint(scheme, "-", width)
			b.open(w.url, width, scheme)
			b.keep(what)
			b.noOverlap(what)
			if faint := ask[[]string](b, contrasts); len(faint) > 0 {
				t.Errorf("%s: too little contrast: %q", what, faint)
			}
			ask[bool](b, `document.querySelectorAll('details').forEach(d => d.open = true), true`)
			b.noOverlap(what + ", unfolded")
			b.keep(what + "-unfolded")
		}
	}
}

// contrasts finds texts whose contrast to what is behind them is below 4.5 (WCAG
// 2, AA).
const contrasts = `(() => {
	const luminance = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
	const found = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; node = walker.nextNode();) {
		const e = node.parentElement;
		if (!node.data.trim() || e.closest('.hidden, .skip, noscript, svg title') || !e.checkVisibility()) continue;
		const style = getComputedStyle(e), colour = parse(e.closest('svg') ? style.fill : style.color).slice(0, 3);
		const [a, b] = [luminance(colour), luminance(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) found.add(node.data.trim() + ' ' + style.color);
	}
	return [...found];
})()`

// What a screen reader is told: names for all that needs one, and tables that stay
// tables at a phone's width.
func TestNamesForScreenReaders(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	for _, width := range []int64{360, 1280} {
		b.open(w.url, width, "light")
		count := map[string]int{}
		for _, node := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
			if node.Ignored || node.Role == nil {
				continue
			}
			text := func(v *accessibility.Value) string {
				if v == nil {
					return ""
				}
				var s string
				_ = json.Unmarshal(v.Value, &s)
				return s
			}
			role, name := text(node.Role), text(node.Name)
			count[role]++
			switch role {
			case "table", "region", "link", "radio", "image", "heading", "columnheader", "rowheader", "button", "group":
				if name == "" && !(role == "image" || role == "group") {
					t.Errorf("%d: a %s without a name", width, role)
				}
			}
		}
		for role, least := range map[string]int{"banner": 1, "main": 1, "contentinfo": 1, "table": 10, "columnheader": 40, "rowheader": 20, "radio": 3, "region": 12, "link": 8} {
			if count[role] < least {
				t.Errorf("%d: %d of %s, want %d at least: %v", width, count[role], role, least, count)
			}
		}
		// One first heading, and no level left out.
		expect(t, "levels of headings", ask[bool](b, `[...document.querySelectorAll('h1, h2, h3')].filter(h => h.checkVisibility()).map(h => Number(h.tagName[1])).every((l, i, all) => i === 0 ? l === 1 : l === 2 || l - all[i - 1] <= 1)`), true)
		expect(t, "the chart's name", ask[bool](b, `document.querySelector('svg.chart').getAttribute('aria-label').includes('22')`), true)
		expect(t, "language", ask[string](b, `document.documentElement.lang`), "en")
	}
}

// All of it works without a mouse.
func TestKeyboard(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	b.open(w.url, 1280, "light")
	focus := func() string {
		return ask[string](b, `document.activeElement.id || document.activeElement.value || document.activeElement.textContent`)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	expect(t, "the first stop", focus(), "Skip to the content")
	expect(t, "it shows", ask[bool](b, `document.querySelector('.skip').getBoundingClientRect().top >= 0`), true)
	b.do(chromedp.KeyEvent(kb.Enter))
	expect(t, "after Enter", focus(), "main")
	stops := []string{}
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if stops = append(stops, focus()); focus() == "day" {
			break
		}
		if !ask[bool](b, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()`) {
			t.Errorf("the focus on %q does not show", focus())
		}
	}
	expect(t, "the last stop", stops[len(stops)-1], "day")
	b.do(chromedp.KeyEvent(kb.ArrowRight))
	b.until("the week", `!!document.querySelector('#jobs caption') && [...document.querySelectorAll('#jobs caption')].some(c => c.textContent.includes('the last week'))`)
	b.do(chromedp.KeyEvent(kb.Tab))
	expect(t, "the next stop", focus(), "The chart as a table")
	b.do(chromedp.KeyEvent(kb.Enter))
	expect(t, "unfolded", ask[bool](b, `document.querySelector('#jobs details').open`), true)
}

// refresh makes the page ask now instead of in some seconds.
const refresh = `document.dispatchEvent(new Event('visibilitychange')), true`

// A refresh changes what has changed and nothing else: the nodes, the focus, what
// is unfolded and where one has scrolled to stay.
func TestRefreshKeepsItsPlace(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	b.open(w.url, 1280, "light")
	ask[bool](b, `document.querySelector('#jobs details').open = true, document.querySelector('#running a').focus(), scrollTo(0, 600), true`)
	ask[bool](b, `window.removed = 0, new MutationObserver(list => { for (const m of list) window.removed += m.removedNodes.length; }).observe(document.querySelector('main'), { childList: true, subtree: true }), true`)
	before := ask[string](b, `document.querySelector('#fresh').textContent`)
	for begun := time.Now(); time.Since(begun) < 1200*time.Millisecond; { // the clock of the page shows seconds
		time.Sleep(50 * time.Millisecond)
	}
	ask[bool](b, refresh)
	b.until("a refresh", fmt.Sprintf(`document.querySelector('#fresh').textContent !== %q`, before))
	expect(t, "nodes taken away", ask[int](b, `window.removed`), 0)

	w.AddJob(githubtest.Job{Repository: "acme/mcp", Workflow: "CI", Name: "one more", Status: "queued", Queued: time.Now()})
	w.until("one more", func(o monitor.Overview) bool { return o.Queue.Total == 5 })
	ask[bool](b, refresh)
	b.until("five", `document.querySelectorAll('#queue tbody tr').length === 5`)
	expect(t, "unfolded", ask[bool](b, `document.querySelector('#jobs details').open`), true)
	expect(t, "focus", ask[bool](b, `document.activeElement === document.querySelector('#running a')`), true)
	expect(t, "scrolled", ask[int](b, `scrollY`), 600)
}

// Data that is old is called old, whether GitHub or the monitor does not answer.
func TestOldData(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.fortyJobs()
	b.open(w.url, 360, "dark")
	expect(t, "alerts", ask[string](b, `document.querySelector('[role=alert]').textContent`), "")
	w.stop()
	ask[bool](b, refresh)
	b.until("an alert", `document.querySelector('[role=alert]').textContent.startsWith('The monitor does not answer (it cannot be reached): what stands here is of ')`)
	expect(t, "what stands there", ask[int](b, `document.querySelectorAll('#queue tbody tr').length`), 4)
	b.noOverlap("old")
	b.keep("old-360")
}

// A monitor that GitHub refuses says so, and calls unknown what it does not know.
func TestUnknown(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.AddRepository("acme/coach")
	w.RevokeToken(token)
	w.watch()
	w.until("stale", func(o monitor.Overview) bool { return o.StaleSince != nil })
	b.open(w.url, 1280, "light")
	b.until("an alert", `document.querySelector('[role=alert]').textContent.startsWith('GitHub has told nothing since ')`)
	got := ask[map[string]string](b, tiles)
	for _, tile := range []string{"Runners online", "Offline", "Jobs running", "Jobs waiting", "Longest wait", "Hosted price"} {
		expect(t, tile, got[tile], "unknown")
	}
	for _, part := range []string{"running", "queue", "jobs", "durations", "savings", "slowest", "failing", "memory", "runners", "versions"} {
		if text := ask[string](b, `document.querySelector('#`+part+` > div').textContent`); !strings.Contains(strings.ToLower(text), "unknown") {
			t.Errorf("%s: %q", part, text)
		}
	}
	b.noOverlap("unknown")
	b.keep("unknown-1280")
}

// Names that mean harm are text, and do not break the page either.
func TestHostileNames(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.AddRepository("acme/coach")
	hostile := []string{
		`<img src=x onerror="window.harm=1"><script>window.harm=1</script>`, `"><svg onload=window.harm=1>`, `</table></main><h1>new page</h1>`, "\x1b]0;title\x07\x1b[31mred\x1b[2J",
		strings.Repeat("long", 16<<10), "broken \xff\xfe UTF-8", "right\u202eto left", "{{7*7}}${window.harm=1}", "line\nbreak\ttab",
	}
	now := time.Now()
	for i, name := range hostile {
		at := now.Add(-time.Duration(i+1) * time.Minute)
		w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: name, Name: name, Branch: name, Actor: name, Status: "queued", RunsOn: []string{"self-hosted", name}, Queued: at})
		w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: name, Name: name, Branch: name, Actor: name, Status: "in_progress", RunnerName: name, Queued: at, Started: at})
		w.ran("acme/coach", name, name, "failure", 30*time.Minute, time.Second, time.Minute)
		w.AddRunner(githubtest.Runner{Scope: "acme", Name: fmt.Sprint(i, name), Online: true, Version: "2.336.0", Labels: []string{name}})
	}
	w.AddGroup("acme", githubtest.Group{Name: hostile[0], Visibility: "all"})
	w.watch()
	w.until("all of them", func(o monitor.Overview) bool {
		return o.Queue != nil && o.Queue.Total == len(hostile) && o.Running.Total == len(hostile) && len(o.Slowest) > 5 && o.Runners != nil && len(o.Groups) == 2
	})
	for _, width := range []int64{360, 1280} {
		b.open(w.url, width, "light")
		ask[bool](b, `document.querySelectorAll('details').forEach(d => d.open = true), true`)
		expect(t, "harm done", ask[bool](b, `'harm' in window`), false)
		expect(t, "elements that are none of ours", ask[int](b, `document.querySelectorAll('img, main script, main h1, svg[onload], iframe').length`), 0)
		expect(t, "rows", ask[int](b, `document.querySelectorAll('#queue tbody tr').length`), len(hostile))
		expect(t, "the text is there", ask[bool](b, `document.querySelector('#queue').textContent.includes('<img src=x onerror="window.harm=1">')`), true)
		b.noOverlap(fmt.Sprint("hostile, ", width))
		b.keep(fmt.Sprint("hostile-", width))
	}
}

// A running monitor elsewhere, as of the container tests, shows what they expect:
// PAGE is its address, TILES and JOBS are JSON.
func TestLive(t *testing.T) {
	address := os.Getenv("PAGE")
	if address == "" {
		t.Skip("PAGE names no running monitor")
	}
	var wantTiles map[string]string
	var wantJobs map[string]string // repository: all, succeeded, failed
	for name, into := range map[string]any{"TILES": &wantTiles, "JOBS": &wantJobs} {
		if err := json.Unmarshal([]byte(os.Getenv(name)), into); err != nil {
			t.Fatal(name, ": ", err)
		}
	}
	b := newBrowser(t)
	for _, width := range []int64{360, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			b.open(address, width, scheme)
			b.do(chromedp.Click("input[value=hour] + span"))
			got := ask[map[string]string](b, tiles)
			for tile, want := range wantTiles {
				expect(t, tile, got[tile], want)
			}
			jobs := map[string]string{}
			for _, r := range ask[map[string][][]string](b, tables)["Jobs by repository in the last hour"] {
				jobs[r[0]] = strings.Join(r[1:4], " ")
			}
			expect(t, "jobs", jobs, wantJobs)
			b.noOverlap(fmt.Sprint(scheme, "-", width))
			b.keep(fmt.Sprint("live-", scheme, "-", width))
		}
	}
}
