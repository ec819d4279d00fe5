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
	// lookSoon is the time to a look at something that GitHub alone can tell: that
	// there is a connection again, or that it has given us a job.
	lookSoon = 10 * time.Second
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
	wrong int // sightings in a row

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

// soon brings the next look forward.
func (w *watchdog) soon() { w.after(min(w.every, lookSoon)) }

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

// opinion is what a look at GitHub is worth. of is how many such sightings in a row
// make it certain that something is wrong; 0: all is well.
type opinion struct {
	connected bool // GitHub has a connection to the listener
	of        int
}

// judge compares what runs here with how GitHub sees the runner. lost: the listener
// has said that it has no connection, not long ago.
func judge(here stage, lost bool, github string) opinion {
	o := opinion{connected: github == Online || github == Working}
	switch {
	case here != noJob && (github == Working || github == Offline):
		// Offline: the connection is lost, the job may go on.
	case here == noJob && (github == Online || github == Offline && lost):
	case here == noJob && github == Working:
		o.of = busySightings
	default:
		o.of = sightings
	}
	return o
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
	s.seeWorker()
	lost := s.view.lostFor(time.Now())
	o := judge(s.work.stage, lost > 0 && lost < s.every, seen.state)
	if o.connected {
		s.view.connection(true)
	}
	if seen.state == Working {
		s.work = s.work.confirmed(time.Now())
	}
	if o.of == 0 {
		s.watchdog.reset()
		if s.work.stage == announced || s.view.lostFor(time.Now()) > 0 {
			s.soon()
		}
		return
	}
	s.wrong++
	s.Log.Warn().Str("here", map[bool]string{true: "busy", false: "listening"}[s.work.running()]).Str("at GitHub", seen.state).
		Int("sighting", s.wrong).Int("of", o.of).Msg("GitHub sees this runner differently")
	if s.wrong < o.of {
		s.after(min(s.every, lookAgain))
		return
	}
	s.removed = s.removed || seen.state == Gone
	if s.work.running() {
		s.hung = true
		s.ghost = "the job is over at GitHub (" + seen.state + "), the listener hangs"
	} else {
		s.ghost = "the listener waits for jobs, but at GitHub the runner is " + seen.state
	}
	s.interrupt(s.ghost)
}
