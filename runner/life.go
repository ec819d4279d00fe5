//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/runner/reset"
)

// GitHub is what a life needs from GitHub. Every call retries what is transient
// until its context ends: the context is its budget.
type GitHub interface {
	// RegistrationToken returns a token with which config.sh can register a
	// runner for the next hour.
	RegistrationToken(ctx context.Context) (secret.String, error)
	// JITConfig registers a runner and returns its configuration for run.sh;
	// taken says that there is a runner of this name already. An error with a method
	// Refused() bool can say that none was made.
	JITConfig(ctx context.Context, name, group string, labels []string, workFolder string) (config secret.String, taken bool, err error)
	// FindRunner returns the id of the runner of exactly this name, 0 if there
	// is none, and how GitHub sees it.
	FindRunner(ctx context.Context, name string) (id int64, state string, err error)
	// RunnerState returns how GitHub sees a runner: Gone, Offline, Online or
	// Working.
	RunnerState(ctx context.Context, id int64) (state string, err error)
	// DeleteRunner takes a runner off GitHub, which is also the question whether
	// it is running a job: then it stays, and busy is true. A runner that is
	// gone already is no error.
	DeleteRunner(ctx context.Context, id int64) (busy bool, err error)
}

// How GitHub sees a runner.
const (
	Gone    = "gone"    // there is no such runner
	Offline = "offline" // it has no session
	Online  = "online"  // it waits for a job
	Working = "busy"    // it runs one
)

// Reuse is what a life does in a container that has already run jobs.
type Reuse string

// The values of RUNNER_ON_REUSE.
const (
	Reset  Reuse = "reset"
	Refuse Reuse = "refuse"
)

// Options is what a life is made of. Nothing of it is read from the environment
// here.
type Options struct {
	GitHub GitHub // nil: no access to the API, only a ready token or JIT configuration

	Home    string // folder of config.sh and run.sh
	WorkDir string // as config.sh takes it: relative to Home, or absolute
	User    string // whose uid the runner gets when we are root

	URL             string // what config.sh registers with
	Name            string
	Base            string // Name without what keeps the runners of a fleet apart
	Fixed           bool   // no other name may be taken
	Group           string // "": do not name one (repositories have none)
	Labels          []string
	JITLabels       []string // the same for a JIT configuration, which adds none
	NoDefaultLabels bool
	DisableUpdate   bool
	Ephemeral       bool

	JIT       bool          // a JIT configuration instead of config.sh
	Token     secret.String // a ready registration token
	JITConfig secret.String // a ready JIT configuration

	RegisterTimeout time.Duration // how long registering may take
	StopGrace       time.Duration // what the engine gives between SIGTERM and SIGKILL
	Watchdog        time.Duration // how often GitHub is asked for our runner; 0: never
	OnReuse         Reuse

	Allowed     func(repository string) bool // nil: every repository
	AllowedRule string                       // the same, for people

	// Refused is why there can be no life: the configuration is wrong. Failed starts
	// are waited out all the same. Nothing but StateDir, Log and what stands here
	// need be known then.
	Refused     error
	ByHand      bool                     // somebody sits before it: failed starts are not waited out
	Hopeless    func(error) bool         // whether another start would end in the same way
	Fingerprint func(salt string) string // of the configuration; nil: it is not looked at

	StateDir string                 // our own small files and the socket; "" if there is no place
	NoteKey  []byte                 // what no job has: notes to the next life are signed with it
	Hook     string                 // job-started.sh; "": none
	Mask     func(string) string    // takes secrets out of what is kept there; nil: there are none
	Environ  []string               // for the children
	Ours     func(name string) bool // variables that no child may see

	// Record keeps a finished job's record; nil: it is only logged.
	Record func(records.Record) error
	// Queued asks since when the job had been waiting that a runner runs; nil:
	// nobody is asked.
	Queued func(ctx context.Context, repository string, run, runner int64) (time.Time, error)
	// Concluded asks how the newest job of a workflow run has ended that a runner
	// had: success, failure or cancelled; "" if GitHub does not tell. nil: nobody is
	// asked.
	Concluded func(ctx context.Context, repository string, run, runner int64) (string, error)

	Viewer  *Viewer  // is shown this life; nil: nobody looks
	Trouble *Trouble // with what GitHub's side waits; nil: not told

	Stdout io.Writer // where the runner's output goes, line by line; two goroutines write there
	Log    zerolog.Logger
}

// Life is one life of one runner in one folder.
type Life struct {
	Options
	machine *machine
	reaper  *reaper
	account *account // whose the children are; nil: ours
	stop    *stopper
	record  *record
	measurer
	began time.Time
	waits Trouble // with what this life waits by itself, beside GitHub's calls

	ctx context.Context // ends with the first signal

	jit string // the part of a JIT configuration that run.sh is given

	// The registration that GitHub may have of us. A name without an id: one
	// that was being made when something went wrong. Written by the life alone,
	// under the lock of view, because the socket's answers read it too.
	name string
	id   int64
	// replaces is set without access to the API: a runner of our name may be there
	// that is our own.
	replaces bool
	// uncertain is set once a config.sh has failed that may have registered us.
	uncertain bool

	rootKill  *process      // the newest kill through sudo
	nudge     chan struct{} // a job's hook has asked: there is a worker
	killedJob bool          // a job was killed: GitHub calls the runner busy until it gives the job up
	owed      []string      // runners that this life has made and had to leave

	used         bool // a job may have run in this container, or in a folder of it, before this life
	around       reset.Container
	note         note       // what the next life is told of the runner's folder
	kept         *reset.Set // the places, locked
	jobRan       bool       // a job has begun in this life
	broken       error      // no job can do its first step here
	looked       bool       // whether used is known yet
	fromReleased bool       // the runner's folder has a note of the version before codes
	jobless      bool       // none had run up to this life, though others have been here
	otherHook    bool       // another hook than ours is called at a job's start
	warnedOfRoot string     // what was said of a job that may have been root
	intact       time.Time  // until when the runner's own files were as they should be

	updateIsClean bool // no job has changed the runner before it began to update itself

	unanswered error // why the socket is not served
	view       view  // what it tells beside the state
}

// Run lives until the runner's work is done or a signal has stopped it. It
// takes over the process: every child and orphan is reaped, and none is left
// when it returns. nil: done, or stopped cleanly.
func Run(options Options, signals <-chan os.Signal) (err error) {
	l := &Life{Options: options, began: time.Now(), name: options.Name}
	l.around = reset.Around(l.StateDir) // before we write anything ourselves
	l.machine = newMachine(l.announce)
	l.view.runs, l.nudge = make(chan struct{}), make(chan struct{}, 1)
	if l.Trouble == nil {
		l.Trouble = &Trouble{}
	}
	if l.Viewer != nil {
		status := func() Status { return l.status(time.Now()) }
		l.Viewer.status.Store(&status)
	}
	l.measurer.cgroup = cgroupDir()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	l.stop, l.ctx = watchSignals(ctx, signals)
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v: please report it with the log above", ErrInternal, fault)
			l.abandon()
		}
	}()

	release, err := l.open()
	if err != nil {
		return err
	}
	defer release()
	err = l.live()
	if errors.Is(err, ErrChanged) {
		return err
	}
	err = l.conclude(err)
	l.awaitRecords()
	if err == nil || !l.machine.is(Starting) {
		l.machine.to(Stopped, "")
	}
	return err
}

// live goes through the states. Whatever it returns, the runner is off GitHub,
// or the record says that it may not be.
func (l *Life) live() error {
	if err := l.waitOutFailures(); err != nil {
		return l.stopEarly(err)
	}
	if l.Refused != nil {
		return l.Refused
	}
	if err := l.awaitEarlierJob(); err != nil { // its files are not reset meanwhile
		return l.stopEarly(err)
	}
	if err := l.prepare(); err != nil {
		return err
	}
	if err := l.repair(); err != nil {
		return l.stopEarly(err)
	}
	l.keepOtherName()
	for again := 0; ; again++ {
		if err := l.pause(again); err != nil {
			return l.leave(err)
		}
		registered, err := l.register()
		if err != nil {
			return l.leave(err)
		}
		end, err := l.serve(registered)
		switch {
		case err != nil || end.stopped:
			return l.leave(err)
		case end.finished:
			l.machine.to(Finished, end.reason)
			return l.leave(nil)
		}
		// A registration that is no longer good: leave it, make another.
		if changed := l.changedByJob(); changed != "" {
			return l.leave(fmt.Errorf("%w: %s, and %s is not as it was before a job ran here: it gets no token to register with: start a new container", ErrRunner, end.reason, changed))
		}
		l.Log.Warn().Str("reason", end.reason).Msg("registering again")
		if err := l.leave(nil); err != nil {
			if !errors.Is(err, errStillBusy) {
				return err
			}
			l.keepLeft(earlier{name: l.name, ids: []int64{l.id}})
			l.owed = append(l.owed, l.name)
			l.record.setRunner("", 0)
			l.leaveBusy()
			if err := l.wipe(); err != nil {
				return l.leave(err)
			}
		}
		if end.lasted > steady {
			again = 0
		}
	}
}

// steady is the length of a session after which an earlier one's trouble no
// longer counts.
const steady = 10 * time.Minute

// open takes the record and the socket, which a life has from its first moment on:
// while it waits after failed starts, status says so. The function that it returns
// gives both back.
func (l *Life) open() (release func(), err error) {
	if l.record, err = openRecord(l.StateDir, l.Log); err != nil {
		return nil, err
	}
	l.record.key = l.NoteKey
	stopServing, err := l.serveSocket()
	l.unanswered = err
	return func() { stopServing(); l.record.close() }, nil
}

// prepare checks this machine's side before GitHub hears of us.
func (l *Life) prepare() (err error) {
	if err := checkFolder(l.Home); err != nil {
		return err
	}
	if l.account, err = accountFor(l.User); err != nil {
		return err
	}
	if err := checkHome(l.Home, l.account); err != nil {
		return err
	}
	if err := l.readyForReuse(); err != nil {
		return err
	}
	if err := l.checkHooks(); err != nil { // after the reset: a job may have left one
		return err
	}
	if err := checkWork(absolute(l.Home, l.WorkDir), l.account); err != nil {
		return err
	}
	if problem := checkToolCache(absolute(l.Home, l.WorkDir), l.account); problem != nil {
		l.Log.Warn().Msg(problem.Error())
	}
	if l.reaper, err = newReaper(); err != nil {
		return err
	}
	switch {
	case l.Allowed != nil && l.unanswered != nil:
		return fmt.Errorf("%w: ALLOWED_REPOSITORIES cannot be enforced, because the hook has no way to ask: %w: give the container a writable %s", ErrConfiguration, l.unanswered, l.StateDir)
	case l.Allowed != nil && l.Hook == "":
		return fmt.Errorf("%w: ALLOWED_REPOSITORIES cannot be enforced, because lib/org-runner/job-started.sh is not beside this program's bin folder: use the image, or copy the file from the source", ErrConfiguration)
	case l.unanswered != nil:
		l.Log.Warn().Err(l.unanswered).Msg("no socket: status and healthcheck will not find this runner")
	}
	return nil
}

// checkFolder tells early what config.sh would tell late.
func checkFolder(home string) error {
	for _, name := range []string{"config.sh", "run.sh"} {
		info, err := os.Stat(home + "/" + name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: there is no %s in %s: set RUNNER_HOME to the folder of the official runner", ErrConfiguration, name, home)
		case err != nil:
			return fmt.Errorf("%w: RUNNER_HOME: %w", ErrConfiguration, err)
		case info.IsDir() || info.Mode()&0o111 == 0:
			return fmt.Errorf("%w: %s/%s is not an executable file: unpack the official runner again", ErrConfiguration, home, name)
		}
	}
	if _, err := os.Stat(home + "/bin"); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no bin in %s: the runner's update of itself was interrupted, or it is not unpacked: start a new container", ErrConfiguration, home)
	}
	return nil
}

// conclude turns the end of a life into what the caller reports.
func (l *Life) conclude(err error) error {
	l.noteJobless()
	var stopped stopCause
	if err == nil || errors.As(err, &stopped) && !errors.Is(err, ErrUnclean) {
		l.record.succeed() // a clean stop is no failure, wherever it came
		return nil
	}
	why := err.Error()
	if l.Mask != nil {
		why = l.Mask(why) // jobs can read what is kept
	}
	l.record.fail(why, l.Hopeless != nil && l.Hopeless(err))
	return err
}

// announce is called at every transition.
func (l *Life) announce(from, to State, reason string) {
	event := l.Log.Info().Str("from", string(from))
	if reason != "" {
		event = event.Str("reason", reason)
	}
	event.Msg(string(to))
}

// abandon ends what a fault of our own has left running.
func (l *Life) abandon() {
	if l.reaper != nil {
		l.endTree()
	}
}
