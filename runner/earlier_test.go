//go:build linux

package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// oneRunner is a GitHub that has one runner, in a state that never changes.
type oneRunner struct {
	id      int64
	state   string
	busy    bool
	looks   int
	deletes int
}

func (g *oneRunner) RegistrationToken(context.Context) (secret.String, error) {
	return secret.String{}, errors.New("not asked for")
}

func (g *oneRunner) JITConfig(context.Context, string, string, []string, string) (secret.String, bool, error) {
	return secret.String{}, true, nil
}

func (g *oneRunner) FindRunner(context.Context, string) (int64, string, error) {
	g.looks++
	return g.id, g.state, nil
}

func (g *oneRunner) RunnerState(context.Context, int64) (string, error) { return g.state, nil }

func (g *oneRunner) DeleteRunner(context.Context, int64) (bool, error) {
	g.deletes++
	return g.busy, nil
}

// The wait for a job of the last run says what it waits for at its start and each
// minute, asks seldom, and ends with RUNNER_REGISTER_TIMEOUT.
func TestWaitForAnEarlierJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		github := &oneRunner{id: 7, state: Offline, busy: true}
		l := &Life{ctx: t.Context()}
		l.GitHub, l.RegisterTimeout, l.Log = github, 15*time.Minute, zerolog.New(&out)
		l.Trouble = &Trouble{}
		ctx, cancel := context.WithTimeout(t.Context(), l.RegisterTimeout)
		defer cancel()
		began := time.Now()
		time.AfterFunc(5*time.Minute, func() {
			if said := l.waitsFor(); !strings.Contains(said, "runner fleet is still busy at GitHub") || !strings.Contains(said, "up to 10m") {
				t.Errorf("after five minutes it says %q", said)
			}
		})
		found, err := l.awaitDeleted(ctx, earlier{name: "fleet", ids: []int64{7}, here: true})
		if found != isBusy || err != nil || time.Since(began) != l.RegisterTimeout {
			t.Errorf("%v, %v after %s", found, err, time.Since(began))
		}
		if told := strings.Count(out.String(), "still busy at GitHub"); told < 15 || told > 16 {
			t.Errorf("%d lines in 15 minutes:\n%s", told, out.String())
		}
		if github.deletes < 15 || github.deletes > 75 {
			t.Errorf("%d tries to delete it", github.deletes)
		}
	})
}

// Whose the runner is that GitHub has under a name which an earlier life has noted.
func TestOwnRunner(t *testing.T) {
	for _, row := range []struct {
		ids   []int64
		here  bool
		state string
		want  bool
	}{
		{[]int64{7}, true, Online, true}, // GitHub has not noticed its death yet
		{[]int64{7}, true, Offline, true},
		{[]int64{7}, true, Working, true},
		{[]int64{7}, false, Online, false}, // a clone's
		{[]int64{7}, false, Working, false},
		{[]int64{7}, false, Offline, true},
		{[]int64{8}, true, Offline, false}, // replaced by another container
		{[]int64{8, 7}, true, Online, true},
		{nil, true, Offline, true}, // killed before the id was known
		{nil, true, Online, false}, // then no listener had run with it
		{nil, false, Working, false},
	} {
		if got := (earlier{name: "fleet", ids: row.ids, here: row.here}).owns(7, row.state); got != row.want {
			t.Errorf("%+v: %t", row, got)
		}
	}
}

// A runner of our name that is not ours is deleted only if it stays offline.
func TestClearName(t *testing.T) {
	for _, row := range []struct {
		state       string
		fixed, busy bool
		name        string // afterwards
		deletes     int
		kind        error
		took        time.Duration
	}{
		{state: Offline, name: "fleet-host", deletes: 1, took: 10 * time.Second},
		{state: Offline, busy: true, name: "fleet-host-*", deletes: 1, took: 10 * time.Second},
		{state: Online, name: "fleet-host-*"},
		{state: Working, name: "fleet-host-*"},
		{state: Online, fixed: true, name: "fleet-host", kind: ErrConfiguration, took: 10 * time.Second},
	} {
		t.Run(fmt.Sprintf("%+v", row), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &oneRunner{id: 7, state: row.state, busy: row.busy}
				l := &Life{ctx: t.Context(), name: "fleet-host", record: &record{}}
				l.GitHub, l.Name, l.Fixed, l.RegisterTimeout, l.Log = github, "fleet-host", row.fixed, 15*time.Minute, zerolog.Nop()
				began := time.Now()
				err := l.clearName(t.Context())
				if !errors.Is(err, row.kind) || time.Since(began) != row.took || github.deletes != row.deletes {
					t.Errorf("%v after %s, %d deletes", err, time.Since(began), github.deletes)
				}
				prefix, other := strings.CutSuffix(row.name, "*")
				if other && (!strings.HasPrefix(l.name, prefix) || len(l.name) != len(prefix)+4) || !other && l.name != prefix {
					t.Errorf("the name is %s", l.name)
				}
			})
		})
	}
}

// A name of 64 characters has a variant of 64, which is known again.
func TestOtherNameOfALongOne(t *testing.T) {
	long := strings.Repeat("n", 64)
	l := &Life{name: long, record: &record{}}
	l.Name, l.Log = long, zerolog.Nop()
	if err := l.giveWay("and it is online"); err != nil || len(l.name) != 64 || l.name == long {
		t.Fatalf("%q, %v", l.name, err)
	}
	again := &Life{name: long, record: l.record}
	again.Name = long
	if again.keepOtherName(); again.name != l.name {
		t.Errorf("%q, want %q", again.name, l.name)
	}
	again.name, again.record = long, &record{Instead: strings.Repeat("x", 64)}
	if again.keepOtherName(); again.name != long {
		t.Errorf("a job's name is taken: %q", again.name)
	}
}

// config.sh is run again after longer and longer pauses, and after a minute at the
// least when GitHub limits the calls.
func TestPauseAfterConfigSh(t *testing.T) {
	for failed := 1; failed < 40; failed++ {
		if d := pauseAfter(ErrUnreachable, failed); d < time.Second || d > time.Minute {
			t.Errorf("after %d failures %s", failed, d)
		}
		if d := pauseAfter(limitedError{ErrUnreachable}, failed); d < time.Minute || d > 64*time.Minute {
			t.Errorf("after %d limits %s", failed, d)
		}
	}
	if d := pauseAfter(ErrUnreachable, 1); d > 2*time.Second {
		t.Errorf("the first pause is %s", d)
	}
}
