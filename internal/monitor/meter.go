package monitor

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// requestsPerCall is how many requests there may be for each call of the budget:
// those that GitHub answers with 304 are free, and still requests. At 10,000 an
// hour they are a fifth of what its secondary limits allow.
const requestsPerCall = 10

// margin is the part of the budget that stays unspent, for what cannot be foreseen.
const margin = 0.05

// farthestReset bounds a reset of GitHub's limit that is believed, which is never
// more than an hour away: a wrong one would keep the last of the limit unused.
const farthestReset = 48 * time.Hour

// meter keeps the budget of calls. It is a bucket of tokens, of which a call takes
// one and a 304 gives it back: a fifth of the hour's budget may be spent at
// once, the rest comes back evenly, so that in no hour there are more calls than
// the budget.
type meter struct {
	now     func() time.Time
	perHour int

	mu        sync.Mutex
	calls     float64 // left in the bucket
	requests  float64 // the same for all requests
	at        time.Time
	minutes   [60]minuteCount
	total     minuteCount // since the start
	limit     *int
	remaining *int
	reset     *time.Time
	path      string // of the file that keeps the minutes, "" if none does
	untold    int    // calls that it does not tell of
}

type minuteCount struct {
	Minute    int64 `json:"minute"` // since 1970
	Calls     int   `json:"calls"`
	Unchanged int   `json:"unchanged"`
}

func newMeter(perHour int, now func() time.Time) *meter {
	m := &meter{now: now, perHour: perHour, at: now()}
	m.calls, m.requests = m.burst(), m.burst()*requestsPerCall
	return m
}

func (m *meter) burst() float64 { return float64(m.perHour) / 5 }

// rate is how many calls come back in an hour.
func (m *meter) rate() float64 { return float64(m.perHour)*(1-margin) - m.burst() }

// refill brings the bucket up to date; the lock is held.
func (m *meter) refill() {
	now := m.now()
	passed := now.Sub(m.at).Hours()
	if m.at = now; passed <= 0 {
		return
	}
	rate := m.rate()
	m.calls = min(m.burst(), m.calls+passed*rate)
	m.requests = min(m.burst()*requestsPerCall, m.requests+passed*rate*requestsPerCall)
}

// spare is how much of the bucket of calls is left, and of that of requests, from
// 0 (or below, when something cost more than was thought) to 1.
func (m *meter) spare() (calls, requests float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refill()
	calls, requests = m.calls/m.burst(), m.requests/(m.burst()*requestsPerCall)
	// What the credentials' own limit has left is not all ours: the fleet may
	// register with the same ones.
	if m.limit != nil && m.remaining != nil && *m.limit > 0 && m.reset != nil && m.now().Before(*m.reset) {
		if share := float64(*m.remaining) / float64(*m.limit); share < 0.1 {
			return 0, 0
		}
	}
	return calls, requests
}

// allows tells whether a call may be made now, and if not, how long to wait.
func (m *meter) allows() (wait time.Duration, ok bool) {
	if calls, requests := m.spare(); min(calls, requests)*m.burst() >= 1 {
		return 0, true
	}
	return time.Duration(math.Ceil(3600/m.rate())) * time.Second, false
}

// begin takes one call; false if the hour's budget is used up.
func (m *meter) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if calls, _ := m.lastHour(); calls >= m.perHour {
		return false
	}
	m.refill()
	m.calls--
	m.requests--
	return true
}

// end counts what has become of it; response is nil if nobody answered. foreign are
// answers whose limit is not the one that the calls count against.
func (m *meter) end(response *http.Response, foreign bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot := m.slot(m.now().Unix() / 60)
	if response != nil && response.StatusCode == http.StatusNotModified {
		m.calls = min(m.burst(), m.calls+1)
		slot.Unchanged++
		m.total.Unchanged++
	} else {
		slot.Calls++
		m.total.Calls++
		if m.untold++; m.untold == mostUntold && m.path != "" {
			_ = m.save() // it is tried again after as many more; that a disk is full is told of the history
		}
	}
	if response != nil && !foreign {
		m.takeLimit(response.Header)
	}
}

// slot is where a minute is counted; the lock is held.
func (m *meter) slot(minute int64) *minuteCount {
	slot := &m.minutes[minute%int64(len(m.minutes))]
	if slot.Minute != minute {
		*slot = minuteCount{Minute: minute}
	}
	return slot
}

// takeLimit notes what GitHub tells of its own limit; the lock is held.
func (m *meter) takeLimit(header http.Header) {
	number := func(name string) (int, bool) {
		n, err := strconv.Atoi(header.Get(name))
		return n, err == nil
	}
	if n, ok := number("X-Ratelimit-Limit"); ok {
		m.limit = &n
	}
	if n, ok := number("X-Ratelimit-Remaining"); ok {
		m.remaining = &n
	}
	if n, ok := number("X-Ratelimit-Reset"); ok {
		m.reset = nil
		if at := time.Unix(int64(n), 0).UTC(); at.Sub(m.now()).Abs() < farthestReset {
			m.reset = &at
		}
	}
}

// lastHour counts the last 60 minutes; the lock is held.
func (m *meter) lastHour() (calls, unchanged int) {
	minute := m.now().Unix() / 60
	for _, c := range m.minutes {
		if minute-c.Minute < 60 {
			calls += c.Calls
			unchanged += c.Unchanged
		}
	}
	return calls, unchanged
}

// cost is what all requests since the start have taken of the budget, in calls.
func (m *meter) cost() float64 {
	calls, unchanged := m.totals()
	return float64(calls) + float64(unchanged)/requestsPerCall
}

// totals are the calls since the start.
func (m *meter) totals() (calls, unchanged int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total.Calls, m.total.Unchanged
}

// budget is the meter's part of the overview.
func (m *meter) budget() Budget {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := Budget{CallsPerHour: m.perHour, Limit: m.limit, Remaining: m.remaining, Reset: m.reset}
	b.LastHour, b.Unchanged = m.lastHour()
	return b
}
