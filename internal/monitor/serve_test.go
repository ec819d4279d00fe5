package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/metrics"
	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/register"
)

func TestHandler(t *testing.T) {
	m, c := newStubbed(t, &stub{repositories: []string{"acme/coach"}})
	h := m.Handler(fstest.MapFS{"index.html": {Data: []byte("<!doctype html>the page")}, "app.js": {Data: []byte("1")}}, "ci.example.com", "monitor", "2001:db8::7")
	ask := func(method, host, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://"+host+path, nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 9300}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask("GET", "127.0.0.1:9300", "/readyz"); w.Code != 503 {
		t.Errorf("ready at once: %d %s", w.Code, w.Body)
	}
	pass(t, m, c, time.Minute)
	for _, test := range []struct {
		method, host, path string
		code               int
		kind, body         string
	}{
		{"GET", "127.0.0.1:9300", "/", 200, "text/html", "the page"},
		{"GET", "127.0.0.1:9300", "/app.js", 200, "text/javascript", "1"},
		{"GET", "127.0.0.1:9300", "/none", 404, "text/plain", ""},
		{"GET", "localhost:9300", "/api/overview", 200, "application/json", `"organization":"acme"`},
		{"HEAD", "localhost:9300", "/api/overview", 200, "application/json", ""},
		{"GET", "[::1]:9300", "/metrics", 200, metrics.ContentType, "org_runner_monitor_stale 0"},
		{"GET", "monitor:9300", "/healthz", 200, "text/plain", "ok"},
		{"GET", "monitor.:9300", "/healthz", 200, "text/plain", "ok"},
		{"GET", "LocalHost", "/readyz", 200, "text/plain", "ok"},
		{"GET", "127.8.9.1:80", "/readyz", 200, "text/plain", "ok"},
		{"GET", "[::ffff:127.0.0.1]:80", "/readyz", 200, "text/plain", "ok"},
		{"GET", "10.1.2.3:9300", "/readyz", 200, "text/plain", "ok"}, // to which it comes
		{"GET", "[2001:DB8:0::7]:9300", "/readyz", 200, "text/plain", "ok"},
		{"GET", "10.1.2.4", "/readyz", 421, "text/plain", "MONITOR_HOSTS"},
		{"GET", "0.0.0.0:9300", "/readyz", 421, "text/plain", ""},
		{"GET", "[2001:db8::8]:9300", "/readyz", 421, "text/plain", ""},
		{"GET", "evil", "/api/overview", 421, "text/plain", ""},
		{"GET", "evil:9300", "/metrics", 421, "text/plain", ""},
		{"GET", "monitor.evil.example", "/metrics", 421, "text/plain", ""},
		{"GET", "localhost.evil.example", "/", 421, "text/plain", ""},
		{"GET", "ci.example.com", "/readyz", 200, "text/plain", "ok"},
		{"GET", "rebound.example.com:9300", "/api/overview", 421, "text/plain", "MONITOR_HOSTS"},
		{"GET", "127.0.0.1.example.com", "/api/overview", 421, "text/plain", ""},
		{"POST", "localhost:9300", "/api/overview", 405, "text/plain", ""},
		{"DELETE", "localhost:9300", "/", 405, "text/plain", ""},
		{"OPTIONS", "localhost:9300", "/metrics", 405, "text/plain", ""},
	} {
		w := ask(test.method, test.host, test.path)
		if w.Code != test.code || !strings.HasPrefix(w.Header().Get("Content-Type"), test.kind) || !strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s %s%s: %d %s %.100s", test.method, test.host, test.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if got := w.Header().Get(name); !strings.Contains(got, want) {
				t.Errorf("%s%s: %s: %q", test.host, test.path, name, got)
			}
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Error("it may be framed")
		}
	}
	if w := httptest.NewRecorder(); true {
		m.Handler(nil).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/", nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), "/api/overview") {
			t.Errorf("without a page: %d %s", w.Code, w.Body)
		}
	}
}

func TestServe(t *testing.T) {
	m, _ := newStubbed(t, &stub{repositories: []string{"acme/coach"}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx, listener, m.Handler(fs.FS(nil))) }()
	response, err := http.Get("http://" + listener.Addr().String() + "/healthz")
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	response.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

// A page of another place whose name is made to point here gets nothing; the negative
// control is the same name where it is allowed.
func TestRebinding(t *testing.T) {
	m, _ := newStubbed(t, &stub{repositories: []string{"acme/coach"}})
	for _, host := range []string{"evil", "evil.example.com"} {
		for allowed, want := range map[string]int{"": 421, host: 200} {
			server := httptest.NewServer(m.Handler(nil, allowed))
			_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
			client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
			}}}
			response, err := client.Get("http://" + net.JoinHostPort(host, port) + "/api/overview")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want || strings.Contains(string(body), "acme") != (want == 200) {
				t.Errorf("%s, with %q allowed: %d %s", host, allowed, response.StatusCode, body)
			}
			server.Close()
		}
	}
}

// Who looks and who collects do not get into each other's way.
func TestAskedWhileItCollects(t *testing.T) {
	path := t.TempDir() + "/jobs.jsonl"
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1", "gpu")}}
	m, c := newStubbed(t, s, func(o *Options) { o.Records, o.Now = path, time.Now })
	s.waiting(1, "acme/coach", c.t, "gpu")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			m.step(t.Context())
			m.records.due = time.Time{}
		}
	}()
	for i := range 50 {
		if err := records.Append(path, records.Record{Job: fmt.Sprint(i), Started: time.Now(), Finished: time.Now(), OOMKills: ptr(int64(1))}); err != nil {
			t.Fatal(err)
		}
		m.Overview()
		metricsText(t, m)
		m.change(func() { m.built = nil })
	}
	cancel()
	<-done
}

// Names that others have chosen neither break nor bloat what is served.
func TestHostileNames(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`, "\x1b[2J\x1b]0;owned\x07", strings.Repeat("long ", 13_000), "broken \xff\xfe\xc3\x28", "a\nb\r\nc\x00d",
		"\u202egnp.exe\u2066", "\"} 1\norg_runner_monitor_stale 0", `\`, "", strings.Repeat("\U0001F469\u200d", 30_000),
	}
	path := t.TempDir() + "/jobs.jsonl"
	s := &stub{runs: map[string][]register.Run{}, jobs: map[int64][]register.Job{}}
	m, c := newStubbed(t, s, func(o *Options) { o.Records = path })
	id := int64(0)
	for i, name := range hostile {
		repository := "acme/" + fmt.Sprint(i)
		s.repositories = append(s.repositories, repository)
		s.runners = append(s.runners, register.Runner{ID: int64(i + 1), Name: name, OS: name, Status: "online", Version: &name, Labels: []register.Label{{Name: name}}})
		for _, status := range []string{"queued", "in_progress", "completed"} {
			id++
			run := register.Run{ID: id, Name: name, Title: name, Branch: name, Status: status, URL: "javascript:alert(1)", Attempt: 1, UpdatedAt: c.t}
			run.Actor.Login = name
			job := register.Job{ID: id, RunID: id, Name: name, Workflow: name, Branch: name, Status: status, URL: "javascript:alert(1)", Labels: []string{name, "self-hosted"}, CreatedAt: c.t, StartedAt: &c.t}
			if status != "queued" {
				job.RunnerName = "r" + name
			}
			if status == "completed" {
				job.Conclusion, job.CompletedAt = name, ptr(c.t)
			}
			s.runs[repository] = append(s.runs[repository], run)
			s.jobs[id] = []register.Job{job}
		}
		if err := records.Append(path, records.Record{Repository: name, Workflow: name, Job: name, RunURL: "javascript:alert(1)", Result: "lost", Runner: name, Started: c.t, Finished: c.t, PeakMemory: ptr(int64(1)), OOMKills: ptr(int64(1))}); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, m, c, 3*time.Minute)
	o := m.Overview()
	if o.Running.Total != len(hostile) || o.Queue.Total != len(hostile) || o.Runners.Total != len(hostile) || o.Durations.Hour.Execution == nil || o.Memory == nil {
		t.Fatalf("running %d, queue %d, runners %d", o.Running.Total, o.Queue.Total, o.Runners.Total)
	}
	data := m.current().json
	var any map[string]any
	if err := json.Unmarshal(data, &any); err != nil || !utf8.Valid(data) {
		t.Errorf("the JSON is broken: %v", err)
	}
	if len(data) > 200_000 || strings.Contains(string(data), "javascript:") || strings.Contains(string(data), "<script") {
		t.Errorf("%d bytes: %.300s", len(data), data)
	}
	walk(any, func(text string) {
		if n := utf8.RuneCountInString(text); n > 600 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != '\uFFFD' }) {
			t.Errorf("%d characters: %.80q", n, text)
		}
	})
	text := metricsText(t, m)
	if !utf8.ValidString(text) || strings.ContainsRune(text, '\x1b') || strings.Count(text, "\norg_runner_monitor_stale ") != 1 {
		t.Errorf("the metrics: %.2000s", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 700 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	stored := open(t, m.options.Data, c.t)
	if len(stored.jobs) != len(hostile) || stored.size > 50_000 {
		t.Errorf("%d jobs in %d bytes", len(stored.jobs), stored.size)
	}
}

// walk calls f for every text in a JSON value, names of fields too.
func walk(value any, f func(string)) {
	switch v := value.(type) {
	case string:
		f(v)
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k)
			walk(e, f)
		}
	}
}

// However many there are, the lists end somewhere, and the numbers do not.
func TestBoundedLists(t *testing.T) {
	s := &stub{runs: map[string][]register.Run{}, jobs: map[int64][]register.Job{}, repositories: names(300, "acme/r%03d")}
	m, c := newStubbed(t, s)
	for i, name := range s.repositories {
		for k := range int64(2) {
			id := int64(i)*2 + k + 1
			run := register.Run{ID: id, Name: "CI", Status: "in_progress", Attempt: 1, UpdatedAt: c.t}
			job := register.Job{ID: id, Name: "build", Status: "queued", CreatedAt: c.t, Labels: []string{"gpu-" + name}}
			if k == 1 {
				job.Status, job.RunnerName, job.StartedAt = "in_progress", fmt.Sprint("runner-", id), &c.t
			}
			s.runs[name] = append(s.runs[name], run)
			s.jobs[id] = []register.Job{job}
		}
	}
	for i := range 601 {
		s.runners = append(s.runners, register.Runner{ID: int64(i + 1), Name: fmt.Sprint("runner-", i), Status: "online", Version: ptr(fmt.Sprint("2.", i)), Labels: []register.Label{{Name: fmt.Sprint("l", i)}}})
	}
	pass(t, m, c, 10*time.Minute)
	o := m.Overview()
	if len(o.Queue.Jobs) != 300 && len(o.Queue.Jobs) != mostListed || o.Queue.Total != 300 || o.Running.Total != 300 || *o.Queue.Stuck != 300 {
		t.Errorf("queue %d of %d, running %d", len(o.Queue.Jobs), o.Queue.Total, o.Running.Total)
	}
	for what, n := range map[string]int{"queue": len(o.Queue.Jobs), "running": len(o.Running.Jobs), "runners": len(o.Runners.List), "repositories": len(o.Repositories), "queues": len(o.Queue.Repositories)} {
		if n > mostListed {
			t.Errorf("%s: %d listed", what, n)
		}
	}
	if o.RepositoriesTotal != 300 || o.Queue.RepositoriesTotal != 300 {
		t.Errorf("of %d repositories, and of %d queues", o.RepositoriesTotal, o.Queue.RepositoriesTotal)
	}
	if len(o.Versions.InUse) > mostVersions || len(o.Problems) > mostProblems+20 {
		t.Errorf("%d versions, %d problems", len(o.Versions.InUse), len(o.Problems))
	}
	// The metrics are not cut with the lists.
	if text := metricsText(t, m); strings.Count(text, "org_runner_monitor_queued_jobs{") != 300 {
		t.Errorf("%d queues in the metrics", strings.Count(text, "org_runner_monitor_queued_jobs{"))
	}
}

// Where a list is cut a number tells the whole, and what is busy is not cut off.
func TestCutLists(t *testing.T) {
	s := &stub{repositories: names(300, "acme/r%03d"), refused: map[string]error{}, groups: 300}
	m, c := newStubbed(t, s)
	for i, name := range s.repositories {
		m.record(runLine{Run: int64(i + 1), Repository: name, Workflow: "CI", Finished: c.t.Unix(), Jobs: []jobLine{{Name: "build", Started: c.t.Unix() - 1, Finished: c.t.Unix()}}})
	}
	s.repositories = append(s.repositories, "acme/zealous")
	s.waiting(1000, "acme/zealous", c.t, "self-hosted")
	s.runners = []register.Runner{online(1, "fleet-1", "self-hosted")}
	s.runners[0].GroupID = 300
	for _, name := range names(250, "acme/r%03d") {
		s.refused[name] = &register.Error{Status: 403, Kind: register.ErrCredentials}
	}
	pass(t, m, c, 20*time.Minute)
	o := m.Overview()
	if len(o.Repositories) != mostListed || o.RepositoriesTotal != 301 || o.Repositories[0].Name != "acme/zealous" {
		t.Errorf("%d of %d repositories, the first is %+v", len(o.Repositories), o.RepositoriesTotal, o.Repositories[0])
	}
	if len(o.Groups) != mostListed || o.GroupsTotal != 300 || o.Groups[0].Total != 1 {
		t.Errorf("%d of %d groups, the first is %+v", len(o.Groups), o.GroupsTotal, o.Groups[0])
	}
	if len(o.Unknown) != mostListed || o.UnknownTotal != 250 {
		t.Errorf("%d of %d unknown things", len(o.Unknown), o.UnknownTotal)
	}
	text := metricsText(t, m)
	for _, line := range []string{"unknown 250", `runners{group="group 300",state="idle"} 1`} {
		if !strings.Contains(text, "\norg_runner_monitor_"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
