// Package runner is this machine's side: the life of one self-hosted runner,
// its processes, signals and files. It knows nothing of GitHub's REST API; what
// it needs from there is the interface GitHub.
// A life needs Linux; the types with which it is asked for its status do not.
package runner

import (
	"fmt"
	"sync"
	"time"
)

// State is where a life stands.
type State string

// The states of a life, in the order in which a life meets them.
const (
	Starting      State = "starting"      // repairing what an earlier life left
	Registering   State = "registering"   // asking GitHub for a registration token or a JIT configuration
	Configuring   State = "configuring"   // config.sh runs
	Connecting    State = "connecting"    // run.sh runs, its listener has no session yet (or updates itself)
	Idle          State = "idle"          // listening for jobs
	Busy          State = "busy"          // running a job
	Finished      State = "finished"      // the ephemeral runner's one job is done, GitHub has removed the runner
	Draining      State = "draining"      // asked to stop: waiting for what may still finish
	Deregistering State = "deregistering" // taking the runner off GitHub
	Stopped       State = "stopped"       // nothing of this life is left
)

// States returns all of them, in that order.
func States() []State {
	return []State{Starting, Registering, Configuring, Connecting, Idle, Busy, Finished, Draining, Deregistering, Stopped}
}

// transitions is the whole life: from each state, those that may follow. What
// is not in this table cannot happen: machine.to panics, and Run turns that
// into our own fault (exit code 70) after it has cleaned up.
var transitions = map[State][]State{
	Starting:      {Registering, Draining, Stopped},
	Registering:   {Configuring, Connecting, Deregistering, Draining, Stopped}, // Connecting: a JIT configuration needs no config.sh
	Configuring:   {Registering, Connecting, Deregistering, Draining},          // Registering: config.sh failed, another try with a new token
	Connecting:    {Idle, Busy, Finished, Deregistering, Draining},             // Busy: the line "Listening" was lost
	Idle:          {Busy, Connecting, Finished, Deregistering, Draining},       // Connecting: the listener restarts or updates itself
	Busy:          {Idle, Connecting, Finished, Deregistering, Draining},
	Finished:      {Draining, Stopped},
	Draining:      {Finished, Deregistering, Stopped},
	Deregistering: {Registering, Draining, Stopped}, // Registering: a ghost is registered anew
	Stopped:       {},
}

// machine holds the state of one life. It is safe for use by several
// goroutines; only the life itself calls to.
type machine struct {
	mu     sync.Mutex
	state  State
	since  time.Time
	reason string
	notify func(from, to State, reason string)
}

func newMachine(notify func(from, to State, reason string)) *machine {
	return &machine{state: Starting, since: time.Now(), notify: notify}
}

// to goes to the next state; staying where one is is no transition. It panics
// when the table does not have it.
func (m *machine) to(next State, reason string) {
	m.mu.Lock()
	from := m.state
	if from == next {
		m.mu.Unlock()
		return
	}
	legal := false
	for _, s := range transitions[from] {
		legal = legal || s == next
	}
	if !legal {
		m.mu.Unlock()
		panic(fmt.Sprintf("illegal transition of the runner's life: %s -> %s (%s)", from, next, reason))
	}
	m.state, m.since, m.reason = next, time.Now(), reason
	m.mu.Unlock()
	m.notify(from, next, reason)
}

// current returns the state, since when, and why.
func (m *machine) current() (State, time.Time, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.since, m.reason
}

func (m *machine) is(states ...State) bool {
	now, _, _ := m.current()
	for _, s := range states {
		if s == now {
			return true
		}
	}
	return false
}
