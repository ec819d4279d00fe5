//go:build linux

package runner

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// Every grace has time for each part, and from 16 s up the step has all of what the
// official worker gives it.
func TestPlanFitsIntoEveryGrace(t *testing.T) {
	for grace := time.Second; grace <= 6*time.Hour; grace += grace/7 + time.Millisecond {
		p := planFor(grace)
		step := grace / 8
		if grace >= 16*time.Second {
			step = 10 * time.Second
		}
		report := grace / 3
		if grace >= 5*time.Second {
			report = 2 * time.Second // seen: 0.4 to 0.6 s, and 0.1 s for the listener
		}
		for _, part := range []struct {
			name    string
			length  time.Duration
			atLeast time.Duration
		}{
			{"drain", p.cancelAt, min(grace/10, 10*time.Second)},
			{"cancel", p.stepsAt - p.cancelAt, step},
			{"report", p.killAt - p.stepsAt, min(report, 2*time.Second)},
			{"deregister", p.giveUp - p.killAt, min(grace/10, 5*time.Second)},
			{"margin", grace - p.giveUp, min(grace/25, 500*time.Millisecond)},
		} {
			if part.length < part.atLeast {
				t.Errorf("grace %s: %s has %s, less than %s", grace, part.name, part.length, part.atLeast)
			}
		}
	}
}

func TestPlansOfTheComment(t *testing.T) {
	const ms = time.Millisecond
	for grace, parts := range map[time.Duration][5]time.Duration{
		10 * time.Second: {5250 * ms, 1250 * ms, 2000 * ms, 1000 * ms, 500 * ms},
		16 * time.Second: {1600 * ms, 10000 * ms, 2000 * ms, 1600 * ms, 800 * ms},
		60 * time.Second: {41000 * ms, 10000 * ms, 2000 * ms, 6000 * ms, 1000 * ms},
	} {
		p := planFor(grace)
		if got := [5]time.Duration{p.cancelAt, p.stepsAt - p.cancelAt, p.killAt - p.stepsAt, p.giveUp - p.killAt, grace - p.giveUp}; got != parts {
			t.Errorf("planFor(%s) has the parts %v, want %v: the comment above plan says otherwise", grace, got, parts)
		}
	}
}

func TestSignalsEscalateOneTwoThree(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	signals := make(chan os.Signal)
	stop, stoppable := watchSignals(ctx, signals)
	steps := []chan struct{}{stop.drain, stop.cancel, stop.kill}
	for i, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM} {
		for _, later := range steps[i:] {
			select {
			case <-later:
				t.Fatalf("a step came before its signal %d", i+1)
			default:
			}
		}
		signals <- signal
		<-steps[i]
	}
	<-stoppable.Done()
	var cause stopCause
	if !errors.As(context.Cause(stoppable), &cause) || cause.Error() != "stopped by SIGTERM" {
		t.Errorf("the cause is %v", context.Cause(stoppable))
	}
	if signal, since := stop.first(); signal != syscall.SIGTERM || since.IsZero() {
		t.Errorf("first() = %v, %v", signal, since)
	}
}

// How long an interrupted listener may work: as the stop's plan says, longer without
// one, and not for long when it has nobody to tell.
func TestLimitsOfAnInterrupt(t *testing.T) {
	now := time.Now()
	p := planFor(20 * time.Second) // steps at 15 s, kill at 17 s
	for name, row := range map[string]struct {
		since         time.Time
		working, free bool
		steps, kill   time.Duration // after now
	}{
		"no stop, a job":            {time.Time{}, true, false, 43 * time.Second, 45 * time.Second},
		"no stop, idle":             {time.Time{}, false, false, 45 * time.Second, 45 * time.Second},
		"no stop, nobody to tell":   {time.Time{}, false, true, 2 * time.Second, 2 * time.Second},
		"a stop, a job":             {now.Add(-5 * time.Second), true, false, 10 * time.Second, 12 * time.Second},
		"a stop, a job, off GitHub": {now.Add(-5 * time.Second), true, true, 10 * time.Second, 12 * time.Second},
		"a stop, idle":              {now.Add(-5 * time.Second), false, false, 12 * time.Second, 12 * time.Second},
		"a stop, nobody to tell":    {now.Add(-5 * time.Second), false, true, 2 * time.Second, 2 * time.Second},
		"a stop that is nearly out": {now.Add(-16 * time.Second), false, true, time.Second, time.Second},
		"a stop that is late":       {now.Add(-16 * time.Second), true, false, -time.Second, time.Second},
	} {
		l := p.limits(now, row.since, row.working, row.free)
		if steps, kill := l.steps.Sub(now), l.kill.Sub(now); steps != row.steps || kill != row.kill {
			t.Errorf("%s: steps %s, kill %s, want %s, %s", name, steps, kill, row.steps, row.kill)
		}
	}
}
