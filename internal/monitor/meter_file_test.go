package monitor

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// startOften starts so many monitors over the same data, one a minute, and returns
// how many calls they made; each has more to ask than it may.
func startOften(t *testing.T, dir string, n int) (calls int) {
	t.Helper()
	s := &stub{repositories: names(500, "acme/r%d")}
	for i := range 10_000 {
		s.runners = append(s.runners, register.Runner{ID: int64(i + 1), Name: fmt.Sprint("fleet-", i), Status: "online"})
	}
	for i := range n {
		m, c := newStubbed(t, s, func(o *Options) { o.Data = dir })
		c.t = c.t.Add(time.Duration(i) * time.Minute)
		m.meter.at = c.t
		s.spend = m.meter
		pass(t, m, c, time.Minute)
		made, _ := m.meter.totals()
		if calls += made; m.Overview().GitHub.LastHour < calls {
			t.Errorf("start %d tells of %d calls, there were %d", i, m.Overview().GitHub.LastHour, calls)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return calls
}

// A start has no budget of its own: it goes on with that of the life before it.
func TestBudgetOverStarts(t *testing.T) {
	m := newMeter(1000, time.Now)
	most := int(m.burst() + m.rate()/6)
	if calls := startOften(t, t.TempDir(), 10); calls > most || calls < most/2 {
		t.Errorf("%d calls of ten starts in ten minutes, at most %d", calls, most)
	}
}

// An hour later nothing of it is left, and a file that is broken is none.
func TestBudgetAfterAnHour(t *testing.T) {
	dir := t.TempDir()
	startOften(t, dir, 1)
	c := &clock{time.Date(2026, 8, 1, 14, 0, 0, 0, time.UTC)}
	for _, broken := range []bool{false, true} {
		path := filepath.Join(dir, "calls.json")
		if broken {
			if err := os.WriteFile(path, []byte(`[{"minute":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m := newMeter(1000, c.now)
		m.keepIn(path)
		if calls, requests := m.spare(); calls < 0.95 || requests < 0.95 {
			t.Errorf("broken %t: %.2f of the calls and %.2f of the requests are left", broken, calls, requests)
		}
	}
}

// Where nothing can be kept, a start begins with nothing to spend.
func TestBudgetThatCannotBeKept(t *testing.T) {
	s := &stub{repositories: names(500, "acme/r%d")}
	m, c := newStubbed(t, s)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.meter.keepIn(filepath.Join(file, "calls.json"))
	s.spend = m.meter
	pass(t, m, c, 10*time.Minute)
	if n := len(s.asked); n < 100 || n > 150 {
		t.Errorf("%d calls in ten minutes", n)
	}
}

// A smaller budget than that of the life before does not pay back what that one
// spent: calls are allowed again once the last hour has less than it gives.
func TestBudgetThatWasLarger(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "calls.json")
	c := &clock{time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	before := newMeter(10_000, c.now)
	before.keepIn(path)
	for range 6000 {
		if wait, ok := before.allows(); !ok {
			c.t = c.t.Add(wait)
			continue
		}
		before.begin()
		before.end(&http.Response{StatusCode: http.StatusOK}, false)
	}
	m := newMeter(1000, c.now)
	m.keepIn(path)
	began := c.t
	for {
		if wait, ok := m.allows(); !ok {
			c.t = c.t.Add(wait)
		} else if m.begin() {
			break
		} else {
			c.t = c.t.Add(time.Minute)
		}
		if c.t.Sub(began) > 61*time.Minute {
			t.Fatal("no call in an hour")
		}
	}
}

// A machine whose clock has not been set yet has no minutes of before.
func TestBudgetAtTheBeginningOfTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.json")
	for _, at := range []time.Time{time.Unix(600, 0), time.Unix(0, 0)} {
		if err := os.WriteFile(path, []byte(`[{"minute":-3,"calls":5},{"minute":2,"calls":5}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &clock{at}
		m := newMeter(1000, c.now)
		m.keepIn(path)
		if _, ok := m.allows(); !ok {
			t.Errorf("at %s nothing is allowed", at)
		}
	}
}
