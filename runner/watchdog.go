//go:build linux

package runner

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// lookAgain is the time between a first sighting that something is wrong and
	// the next one.
	lookAgain = 30 * time.Second
	// lookBudget bounds one question.
	lookBudget = 20 * time.Second
	// sightings is how many in a row make it certain that a runner is gone or
	// offline.
	sightings = 2
	// busySightings is the same for a runner that GitHub calls busy and that has
	// no job here: GitHub does so for tens of seconds after each job.
	busySightings = 5
)

// watchdog asks GitHub now and then whether it sees the runner as we do: a
// listener can print "Listening for Jobs" for ever while GitHub has no such
// runner (actions/runner#4617, #4191), and it can hang in a cancelled job
// (#4569).
type watchdog struct {
	every time.Duration // 0: never
	watch *time.Timer
	looks chan look
	wrong int  // sightings in a row
	busy  bool // what we think: a job is running

	ghost string // why the registration is no longer good
	hung  bool   // the job is over at GitHub, not here
}

type look struct {
	state string
	err   error
}

func newWatchdog(every time.Duration) watchdog {
	w := watchdog{every: every, watch: time.NewTimer(time.Hour), looks: make(chan look, 1)}
	w.reset()
	return w
}

func (w *watchdog) quit() { w.watch.Stop() }

// reset begins a new interval: our own state has changed.
func (w *watchdog) reset() {
	w.wrong = 0
	w.after(w.every)
}

// after sets the next look; a tenth of jitter keeps a fleet from asking in one
// wave.
func (w *watchdog) after(d time.Duration) {
	w.watch.Stop()
	if w.every > 0 {
		w.watch.Reset(d + rand.N(d/10+1))
	}
}

// look asks beside the loop; the answer comes to looked.
func (s *session) look() {
	if s.phase != serving || s.GitHub == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, lookBudget)
	go func() {
		defer cancel()
		state, err := s.GitHub.RunnerState(ctx, s.id)
		s.looks <- look{state, err}
	}()
}

func (s *session) looked(seen look) {
	if s.phase != serving {
		return
	}
	if seen.err != nil {
		s.Log.Warn().Err(seen.err).Msg("GitHub could not be asked for this runner")
		s.after(s.every)
		return
	}
	enough := sightings
	switch {
	case s.busy && (seen.state == Working || seen.state == Offline):
		// Offline while busy: the connection is lost, the job may go on.
		s.reset()
		return
	case !s.busy && seen.state == Online:
		s.reset()
		return
	case !s.busy && seen.state == Working:
		enough = busySightings
	}
	s.wrong++
	s.Log.Warn().Str("here", map[bool]string{true: "busy", false: "listening"}[s.busy]).Str("at GitHub", seen.state).
		Int("sighting", s.wrong).Int("of", enough).Msg("GitHub sees this runner differently")
	if s.wrong < enough {
		s.after(min(s.every, lookAgain))
		return
	}
	if s.busy {
		s.hung = true
		s.ghost = "the job is over at GitHub (" + seen.state + "), the listener hangs"
	} else {
		s.ghost = "the listener waits for jobs, but at GitHub the runner is " + seen.state
	}
	s.interrupt(s.ghost)
}
