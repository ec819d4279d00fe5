//go:build linux

package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// The wait before a life that follows failed ones: none after the first, then
// 5 s doubled each time up to 10 min. Docker's own back-off ends at 1 min and
// starts over as soon as a container has lived for 10 s.
const (
	firstFailureWait   = 5 * time.Second
	longestFailureWait = 10 * time.Minute
)

func failureWait(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(firstFailureWait<<min(failures-2, 10), longestFailureWait)
}

// jittered returns between half of d and d, so that a fleet that failed
// together does not come back together.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + mathrand.N(d/2+1)
}

// ErrChanged is the end of a life that waited after failed starts, and whose
// configuration was changed meanwhile: another one is to be begun with the new one.
var ErrChanged = errors.New("the configuration has changed")

// changeLook is how often a life that waits looks for that.
const changeLook = time.Second

// waitOutFailures makes an engine's crash loop ask GitHub, and repeat itself, less
// and less. What the next start would meet too (a wrong configuration, refused
// credentials) is waited for from the second start on, all else from the third.
func (l *Life) waitOutFailures() error {
	mark := l.mark()
	if l.record.Config != "" && l.record.Config != mark {
		l.record.Failures = 0 // that was another configuration
	}
	failures := l.record.Failures
	if l.record.Hopeless && failures > 0 {
		failures++
	}
	// A clock that was set back, or a job, can put the last start into the future.
	wait := min(jittered(failureWait(failures))-time.Since(l.record.LastStart), longestFailureWait)
	if wait > 0 && !l.ByHand {
		if err := l.waitUntil(time.Now().Add(wait), mark); err != nil {
			return err
		}
	}
	l.record.begin(time.Now(), mark)
	return nil
}

func (l *Life) waitUntil(until time.Time, mark string) error {
	wait := time.Until(until).Round(time.Second)
	what := fmt.Sprintf("%d failed starts in a row: waiting until %s (%s) before registering", l.record.Failures, until.UTC().Format(time.RFC3339), wait)
	if l.record.Failures == 1 {
		what = strings.Replace(what, "1 failed starts in a row", "the last start failed", 1)
	}
	why := oneLine(records.Bounded(cmp.Or(l.record.LastError, "it was killed")))
	l.Log.Warn().Str("last", why).Msg(what + ". To start at once: docker compose up -d --force-recreate")
	l.waits.Set(what + "; the last one: " + why)
	defer l.waits.Set("")
	for time.Now().Before(until) {
		if err := sleep(l.ctx, min(changeLook, time.Until(until))); err != nil {
			return err
		}
		if l.mark() != mark {
			l.Log.Info().Msg("the configuration has changed: starting at once")
			return ErrChanged
		}
	}
	return nil
}

// mark stands for the configuration, in a form that tells nothing of it.
func (l *Life) mark() string {
	if l.Fingerprint == nil {
		return ""
	}
	if l.record.Salt == "" {
		l.record.Salt = rand.Text()
	}
	return l.Fingerprint(l.record.Salt)
}

// pause spaces the registrations within one life; the first is immediate.
func (l *Life) pause(again int) error {
	return sleep(l.ctx, jittered(failureWait(again)))
}

// sleep waits for d, or returns the cause for which ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
