// Package actions is the Actions service as the official runner's listener and
// worker (2.336.0) know it: registration, OAuth, the broker, the run service and
// the results service of the v2 flow, and the pools, sessions, messages and
// timelines of the classic one. It keeps nothing itself: registrations, sessions
// and jobs are its World's. The paths, fields and statuses are those of the
// recordings in testdata, and of the client's source where these are silent.
package actions

import (
	"crypto/rsa"
	"errors"
	"time"
)

// Flow is which of the service's protocols a runner is sent to.
type Flow string

// The flows.
const (
	V2       Flow = ""         // github.com's: registration by REST, then the broker
	Classic  Flow = "classic"  // pools, agents, messages, timelines
	Mixed    Flow = "mixed"    // a classic registration, whose answer names the broker
	Migrated Flow = "migrated" // a classic session, whose messages name the broker
)

// What a World answers.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("already exists")
	ErrBusy     = errors.New("currently running a job")
)

// World is the GitHub that the service belongs to. It is locked while it is asked.
type World interface {
	URL() string // without a slash at its end
	Now() time.Time
	Flow() Flow
	// Encrypts tells whether classic sessions have a key and encrypted messages.
	Encrypts() bool
	// Feeds tells whether jobs name an address for their lines: see Feed.
	Feeds() bool

	// ScopeOf is the scope that a registration or remove token is for, if that is
	// what the address names too.
	ScopeOf(token, address string, registers bool) (scope string, ok bool)
	Groups(scope string) []Group
	Named(scope, name string) []Runner

	// Register makes or replaces a registration; ErrConflict, ErrNotFound (group).
	Register(Registration) (Runner, error)
	// Unregister takes one off: ErrNotFound, ErrBusy.
	Unregister(scope string, id int64) error
	// Client is the registration that has a client id.
	Client(client string) (Runner, bool)

	// OpenSession opens the session of a listener: ErrConflict while another polls.
	OpenSession(client, version string) (session string, err error)
	CloseSession(client, session string) error

	// Job is a job that a runner has been given.
	Job(id int64) (Job, bool)
	// Take is a runner's word that it has the message of its job, Renew that the
	// job goes on. Both are false for a job that is not running.
	Take(id int64) bool
	Renew(id int64) bool
	Finish(id int64, end End) bool
}

// Group is a runner group, or pool.
type Group struct {
	ID     int64
	Name   string
	Hosted bool
}

// Runner is a registration.
type Runner struct {
	ID        int64
	Scope     string
	Name      string
	Version   string
	Labels    []string
	Group     Group
	Ephemeral bool
	Client    string
	Key       *rsa.PublicKey
	Created   time.Time
}

// Registration is what config.sh asks for.
type Registration struct {
	Scope     string
	Name      string
	Version   string
	Labels    []string
	GroupID   int64
	Ephemeral bool
	Replaces  int64 // a runner's id; 0: a new one
	Key       *rsa.PublicKey
}

// Job is a job as the message to the runner tells it.
type Job struct {
	ID, RunID  int64
	Runner     int64 // its registration
	Repository string
	Workflow   string
	Name       string
	Actor      string
	Branch     string
	Commit     string // the message of its head commit
	GroupName  string
	Token      string // GITHUB_TOKEN
	Env        map[string]string
	Outputs    map[string]string // name: expression
	Steps      []Step
	Logs       *Logs // never nil
}

// Step is a run: step.
type Step struct {
	ID, Name, Run, If string
	Env               map[string]string
	ContinueOnError   bool
	Timeout           int // minutes; 0: none
}

// End is how a job has ended.
type End struct {
	Result   string // success, failure, cancelled
	Shutdown bool   // the runner said that it was shut down
	Log      string
	Outcomes []Outcome
	Outputs  map[string]string
}

// Outcome is how a step ended: success, failure, cancelled, skipped.
type Outcome struct{ Step, Result string }

// Logs are a job's, by the name under which the worker has written them.
type Logs struct {
	names  []string
	texts  map[string]string
	states map[string]Outcome // of steps, by id
}

// Text is the log of a name: that of the job is "job", a step's its id.
func (l *Logs) Text(name string) string { return l.texts[name] }

// State is how far a step is that the worker has told of: its name, and
// in_progress or its result.
func (l *Logs) State(step string) Outcome { return l.states[step] }

// States are those of all steps.
func (l *Logs) States() []Outcome {
	var all []Outcome
	for _, o := range l.states {
		all = append(all, o)
	}
	return all
}

// open returns the number of a log, from 1.
func (l *Logs) open(name string) int {
	for i, n := range l.names {
		if n == name {
			return i + 1
		}
	}
	l.names = append(l.names, name)
	return len(l.names)
}

func (l *Logs) write(name, text string, more bool) {
	if l.texts == nil {
		l.texts = map[string]string{}
	}
	l.open(name)
	if more {
		text = l.texts[name] + text
	}
	l.texts[name] = text
}

func (l *Logs) tell(id string, o Outcome) {
	if l.states == nil {
		l.states = map[string]Outcome{}
	}
	if o.Step == "" {
		o.Step = l.states[id].Step
	}
	l.states[id] = o
}

// whole is the job's log, or where a worker writes none, that of its steps.
func (l *Logs) whole() string {
	if text, ok := l.texts["job"]; ok {
		return plain(text)
	}
	var all string
	for _, name := range l.names {
		all += plain(l.texts[name])
	}
	return all
}
