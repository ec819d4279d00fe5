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

func TestPlanFitsIntoEveryGrace(t *testing.T) {
	for grace := time.Second; grace <= 6*time.Hour; grace += grace/7 + time.Millisecond {
		p := planFor(grace)
		for _, part := range []struct {
			name    string
			length  time.Duration
			atLeast time.Duration
		}{
			{"drain", p.cancelAt, grace / 2},
			{"cancel", p.killAt - p.cancelAt, min(grace/5, 12*time.Second)},
			{"deregister", p.giveUp - p.killAt, min(grace/10, 5*time.Second)},
			{"margin", grace - p.giveUp, min(grace/25, 500*time.Millisecond)},
		} {
			if part.length < part.atLeast {
				t.Errorf("grace %s: %s has %s, less than %s", grace, part.name, part.length, part.atLeast)
			}
		}
	}
}

func TestPlanOfDockerStop(t *testing.T) {
	want := plan{cancelAt: 5250 * time.Millisecond, killAt: 8250 * time.Millisecond, giveUp: 9500 * time.Millisecond}
	if got := planFor(10 * time.Second); got != want {
		t.Errorf("planFor(10s) = %+v, want %+v: the comment above plan says otherwise", got, want)
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
