package githubtest

import (
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// Behaviour is what the stand-in runner does out of the ordinary. Its listener
// asks for it when it starts.
type Behaviour struct {
	ConfigHang       bool          // config.sh hangs before it registers
	ConfigHangAfter  bool          // config.sh hangs after it has registered, before it writes .runner
	ConfigFail       int           // so many config.sh fail before they register
	ConfigDelay      time.Duration // config.sh takes so long before it registers
	ConfigAbort      string        // config.sh's listener dies of this exception, as without space for its log
	ConfigCall       ConfigCall    // which of config.sh's calls the faults of runner:register hit
	StartDelay       time.Duration // the listener takes so long to start
	ListenerExit     int           // the listener ends with this code once it listens
	ListenerExitOnce bool          // only the first one does
	UpdateInJob      bool          // the listener updates itself beside its first job
	UpdatePause      time.Duration // a self-update has its files, and goes on so much later
	IgnoreInterrupt  bool          // the listener hangs when it is interrupted
	HangInCancel     bool          // the listener hangs when its job is cancelled
	Ghost            bool          // the listener does not notice that it was deleted
	HoldOutput       bool          // each job leaves a daemon behind that keeps the output open
	LoseLines        bool          // the listener prints no state
	HangAfterJob     bool          // the listener hangs once it has told a job's end, as on a disk that the job has filled

	// Classic makes runners speak the classic flow; the default is v2, as
	// github.com has it.
	Classic bool
	// Deleted is how a listener hears that GitHub has deleted its runner.
	Deleted Deleted
	// TokenRefused is whether a listener that is interrupted just behind its
	// runner's deletion gets no new token, and ends with 2: "always", "never", or
	// by default one time in eleven, and always just after a job.
	TokenRefused string
}

// ConfigCall is a call of config.sh to GitHub: each has words of its own when it is
// refused.
type ConfigCall string

// The calls; the zero value is POST actions/runner-registration, the first of both
// flows.
const (
	ConfigRegister ConfigCall = "actions/runners/register" // v2
	ConfigGroups   ConfigCall = "actions/runner-groups"    // v2
	ConfigPools    ConfigCall = "pools"                    // classic, and its agents
)

// Deleted is what GitHub answers a listener whose runner it has deleted.
type Deleted string

// The answers; the zero value is "there is no such runner".
const (
	DeletedSession      Deleted = "session"      // the session is invalid (v2) or has expired (classic)
	DeletedToken        Deleted = "token"        // the access token has expired
	DeletedUnauthorized Deleted = "unauthorized" // 401, for ever
)

// Step is one step of a job. What stands below ContinueOnError only a real runner
// does.
type Step struct {
	Run             string // a shell script
	If              string // default: success()
	ContinueOnError bool

	Name    string            // default: Run and its script
	ID      string            // for the outputs
	Env     map[string]string // its own
	Timeout int               // minutes; 0: none
}

// Outcome is how a step ended: success, failure, cancelled, skipped.
type Outcome = actions.Outcome

// Behave sets what runners do from now on.
func (s *Server) Behave(b Behaviour) { s.change(func() { s.behaviour = b }) }

// BehaveAs sets it for the runner of a name alone.
func (s *Server) BehaveAs(name string, b Behaviour) { s.change(func() { s.behaviours[name] = &b }) }

// nextBehaviour is what a listener that starts is told to do.
func (s *Server) nextBehaviour(name, command string) Behaviour {
	b := &s.behaviour
	if own := s.behaviours[name]; own != nil {
		b = own
	}
	now := *b
	switch {
	case command == "configure" && b.ConfigFail > 0:
		b.ConfigFail--
	case command == "run" && b.ListenerExitOnce:
		b.ListenerExit = 0
	}
	return now
}
