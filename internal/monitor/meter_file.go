package monitor

import (
	"encoding/json"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

// mostUntold is how many calls there may have been that the file does not tell of,
// the one under way included. Who reads it takes them for made.
const mostUntold = 10

// keepIn makes the budget go on from where the last life left it, and keeps it in a
// file from now on: or each start would have a burst of its own. Where that cannot be
// written, nobody knows what was spent, and the burst is taken for spent.
func (m *meter) keepIn(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.path = path
	var told []minuteCount
	data, err := safefile.Read(path)
	if err == nil && json.Unmarshal(data, &told) == nil {
		m.goOn(told)
	}
	if m.save() != nil {
		m.calls, m.requests = 0, 0
	}
}

// goOn spends once more what was spent in the last hour, from a bucket that was full
// before it: there was no more in it. The lock is held.
func (m *meter) goOn(told []minuteCount) {
	now := m.now().Unix() / 60
	for _, c := range append(told, minuteCount{Minute: now, Calls: mostUntold}) {
		if age := now - c.Minute; c.Minute < 0 || age < 0 || age >= int64(len(m.minutes)) {
			continue
		}
		slot := m.slot(c.Minute)
		slot.Calls += max(c.Calls, 0)
		slot.Unchanged += max(c.Unchanged, 0)
	}
	rate := m.rate() / 60
	// Never below nothing: what a larger budget has allowed is not to be paid back.
	for minute := max(now-int64(len(m.minutes))+1, 0); minute <= now; minute++ {
		c := m.slot(minute)
		m.calls = max(min(m.burst(), m.calls+rate)-float64(c.Calls), 0)
		m.requests = max(min(m.burst()*requestsPerCall, m.requests+rate*requestsPerCall)-float64(c.Calls+c.Unchanged), 0)
	}
}

// save writes the minutes of the last hour; the lock is held.
func (m *meter) save() error {
	m.untold = 0
	data, err := json.Marshal(m.minutes)
	if err != nil {
		return err
	}
	return safefile.Write(m.path, data)
}
