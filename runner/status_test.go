//go:build linux

package runner

import (
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, row := range map[string]struct {
		state   State
		lasted  time.Duration
		lost    time.Duration // 0: connected
		trouble string
		healthy bool
		health  string
	}{
		"starting":            {state: Starting, lasted: time.Second, health: "starting for 1s: not listening yet"},
		"registering in vain": {state: Registering, lasted: 90 * time.Second, trouble: "POST /orgs/acme/actions/runners/registration-token: 503 down", health: "registering for 1m30s: POST /orgs/acme/actions/runners/registration-token: 503 down"},
		"config.sh hangs":     {state: Configuring, lasted: 3 * time.Minute, health: "configuring for 3m0s: not listening: see the log"},
		"idle":                {state: Idle, lasted: time.Hour, healthy: true, health: "idle for 1h0m0s"},
		"draining":            {state: Draining, lasted: time.Hour, healthy: true, health: "draining for 1h0m0s"},
		"lost just now":       {state: Busy, lasted: time.Hour, lost: time.Minute, healthy: true, health: "busy for 1h0m0s"},
		"busy without GitHub": {state: Busy, lasted: time.Hour, lost: 4 * time.Minute, healthy: true, health: "busy, without a connection to GitHub for 4m0s: see the log"},
		"lost for minutes":    {state: Idle, lasted: time.Hour, lost: 4 * time.Minute, health: "idle, without a connection to GitHub for 4m0s: see the log"},
		// Trouble of an earlier time is not told of one that listens.
		"idle again": {state: Idle, lasted: time.Second, trouble: "old", healthy: true, health: "idle for 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			var lostFrom time.Time
			if row.lost != 0 {
				lostFrom = now.Add(-row.lost)
			}
			healthy, text := health(row.state, row.lasted, lostFrom, now, row.trouble)
			if healthy != row.healthy || text != row.health {
				t.Errorf("%t, %q; want %t, %q", healthy, text, row.healthy, row.health)
			}
		})
	}
}
