package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// answers is a transport that answers as a test wants.
type answers func(*http.Request) (status int, tag, body string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, tag, body := a(r)
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	header := http.Header{"X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {"4000"}, "X-Ratelimit-Reset": {"1780003000"}}
	if tag != "" {
		header.Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			status, body = http.StatusNotModified, ""
		} else {
			header.Set("Link", `<https://api.github.com/x?page=2>; rel="next"`)
		}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// get sends one request and returns what came back.
func get(t *testing.T, transport http.RoundTripper, ctx context.Context, path string) (status int, link, body string, err error) {
	t.Helper()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.github.com"+path, nil)
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", "", err
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Link"), string(data), nil
}

func TestUnchangedIsFree(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	body, tag := `{"a":1}`, `W/"one"`
	transport := newTransport(answers(func(*http.Request) (int, string, string) { return 200, tag, body }), newMeter(100, c.now))
	for i := range 3 {
		status, link, text, err := get(t, transport, t.Context(), "/x")
		if err != nil || status != 200 || text != body || !strings.Contains(link, "page=2") {
			t.Fatalf("%d: %d %q %q %v", i, status, link, text, err)
		}
	}
	if calls, unchanged := transport.meter.totals(); calls != 1 || unchanged != 2 {
		t.Errorf("%d calls, %d unchanged", calls, unchanged)
	}
	body, tag = `{"a":2}`, `W/"two"`
	if _, _, text, _ := get(t, transport, t.Context(), "/x"); text != body {
		t.Errorf("the old answer: %s", text)
	}
	if b := transport.meter.budget(); *b.Limit != 5000 || *b.Remaining != 4000 || b.Reset.Unix() != 1_780_003_000 || b.LastHour != 2 || b.Unchanged != 2 {
		t.Errorf("%+v", b)
	}
	if spare, _ := transport.meter.spare(); spare != 18.0/20 {
		t.Errorf("spare %v", spare)
	}
}

func TestIfChanged(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	body := `{"a":1}`
	transport := newTransport(answers(func(r *http.Request) (int, string, string) { return 200, `"` + r.URL.Path + body + `"`, body }), newMeter(100, c.now))
	var own tags
	read := func(path string) (string, error) {
		_, _, text, err := get(t, transport, ifChanged(t.Context(), &own), path)
		return text, err
	}
	if text, err := read("/x"); err != nil || text != body {
		t.Fatal(text, err)
	}
	// Not kept: what was not understood is asked again.
	if text, err := read("/x"); err != nil || text != body {
		t.Fatal(text, err)
	}
	own.keep()
	if _, err := read("/x"); !errors.Is(err, errUnchanged) || !errors.Is(err, register.ErrConfiguration) {
		t.Fatalf("%v", err)
	}
	// Torn answers are never the last word.
	body = `{"a":`
	if text, err := read("/x"); err != nil || text != body {
		t.Fatal(text, err)
	}
	if own.fresh != "" {
		t.Errorf("the tag of a torn answer: %s", own.fresh)
	}
	// Only the first page is compared.
	body = `{"a":1}`
	ctx := ifChanged(t.Context(), &own)
	if _, _, _, err := get(t, transport, ctx, "/x"); !errors.Is(err, errUnchanged) {
		t.Fatalf("%v", err)
	}
	for range 2 {
		if _, _, text, err := get(t, transport, ctx, "/y"); err != nil || text != body {
			t.Fatal(text, err)
		}
	}
}

// The hour's budget is never exceeded, whoever asks.
func TestBudgetHolds(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	seen := 0
	transport := newTransport(answers(func(*http.Request) (int, string, string) { seen++; return 200, "", "{}" }), newMeter(100, c.now))
	for i := range 500 {
		_, _, _, err := get(t, transport, t.Context(), fmt.Sprint("/", i))
		if (err == nil) != (i < 100) || err != nil && !errors.Is(err, errBudget) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if seen != 100 {
		t.Errorf("%d calls", seen)
	}
	if _, ok := transport.meter.allows(); ok {
		t.Error("another one is allowed")
	}
	c.t = c.t.Add(3 * time.Hour)
	if _, ok := transport.meter.allows(); !ok {
		t.Error("none is allowed three hours later")
	}
	if _, _, _, err := get(t, transport, t.Context(), "/again"); err != nil {
		t.Error(err)
	}
}

// Who keeps to what allows says stays below the budget in every hour.
func TestBudgetIsSpread(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	m := newMeter(1000, c.now)
	var made []time.Time
	for end := c.t.Add(5 * time.Hour); c.t.Before(end); {
		if wait, ok := m.allows(); !ok {
			c.t = c.t.Add(wait)
			continue
		}
		if !m.begin() {
			t.Fatal("the budget was used up")
		}
		m.end(&http.Response{StatusCode: 200}, false)
		made = append(made, c.t)
	}
	from, most := 0, 0
	for i, at := range made {
		for at.Sub(made[from]) >= time.Hour {
			from++
		}
		most = max(most, i-from+1)
	}
	if most >= 1000 || most < 900 {
		t.Errorf("at most %d calls in an hour", most)
	}
}

// The last tenth of what the credentials have is left to the fleet.
func TestLeavesTheFleetItsCalls(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	m := newMeter(1000, c.now)
	left := func(remaining string) {
		m.end(&http.Response{StatusCode: 200, Header: http.Header{"X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {"1780001000"}}}, false)
	}
	left("501")
	if _, ok := m.allows(); !ok {
		t.Error("refused with a tenth left")
	}
	left("499")
	if _, ok := m.allows(); ok {
		t.Error("allowed with less")
	}
	c.t = time.Unix(1_780_001_000, 0)
	if _, ok := m.allows(); !ok {
		t.Error("refused after the reset")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	// What does not compress.
	noise := make([]byte, 1<<20)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[state>>26]
	}
	body := `"` + string(noise) + `"`
	transport := newTransport(answers(func(r *http.Request) (int, string, string) { return 200, `"` + r.URL.Path + `"`, body }), newMeter(10_000, c.now))
	for i := range 40 {
		if _, _, _, err := get(t, transport, t.Context(), fmt.Sprint("/", i)); err != nil {
			t.Fatal(err)
		}
	}
	if transport.size > cachedBytes || len(transport.cache) != transport.recent.Len() || len(transport.cache) < 10 || len(transport.cache) > 39 {
		t.Errorf("%d bytes in %d answers, %d in the list", transport.size, len(transport.cache), transport.recent.Len())
	}
	// The last one is still there, the first one is not.
	get(t, transport, t.Context(), "/39")
	get(t, transport, t.Context(), "/0")
	if calls, unchanged := transport.meter.totals(); calls != 41 || unchanged != 1 {
		t.Errorf("%d calls, %d unchanged", calls, unchanged)
	}
}

func TestNoAnswer(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	transport := newTransport(answers(func(*http.Request) (int, string, string) { return 0, "", "" }), newMeter(100, c.now))
	if _, _, _, err := get(t, transport, t.Context(), "/"); err == nil {
		t.Error("no error")
	}
	if calls, _ := transport.meter.totals(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// A reset that cannot be true does not keep the last of the limit unused.
func TestResetsAreBelievedInReason(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	for reset, allowed := range map[string]bool{"1780001000": false, "1780500000": true, "99999999999999": true, "1": true} {
		m := newMeter(1000, c.now)
		m.end(&http.Response{StatusCode: 200, Header: http.Header{"X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {"1"}, "X-Ratelimit-Reset": {reset}}}, false)
		if _, ok := m.allows(); ok != allowed || (m.budget().Reset != nil) == allowed {
			t.Errorf("reset %s: allowed %t, shown %v", reset, ok, m.budget().Reset)
		}
	}
}

// What an App asks for itself is counted elsewhere at GitHub, and what is asked for
// once does not push out of the cache what is asked for again.
func TestForeignLimitsAndSingleCalls(t *testing.T) {
	c := &clock{time.Unix(1_780_000_000, 0)}
	transport := newTransport(answers(func(*http.Request) (int, string, string) { return 200, `"tag"`, "{}" }), newMeter(100, c.now))
	for _, path := range []string{"/app/installations/7/access_tokens", "/orgs/acme/installation"} {
		if _, _, _, err := get(t, transport, t.Context(), path); err != nil || transport.meter.budget().Limit != nil {
			t.Errorf("%s: %v, limit %v", path, err, transport.meter.budget().Limit)
		}
	}
	if _, _, _, err := get(t, transport, once(t.Context()), "/x"); err != nil || transport.meter.budget().Limit == nil || transport.cache["https://api.github.com/x"] != nil {
		t.Errorf("%v, limit %v", err, transport.meter.budget().Limit)
	}
}
