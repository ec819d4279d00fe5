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
)

// GitHub is what a life needs from GitHub. Every call retries what is transient
// until its context ends: the context is its budget.
type GitHub interface {
	// RegistrationToken returns a token with which config.sh can register a
	// runner for the next hour.
	RegistrationToken(ctx context.Context) (secret.String, error)
	// JITConfig registers a runner and returns its configuration for run.sh. A
	// runner that already has the name is replaced.
	JITConfig(ctx context.Context, name, group string, labels []string, workFolder string) (secret.String, error)
	// FindRunner returns the id of the runner of exactly this name, 0 if there
	// is none.
	FindRunner(ctx context.Context, name string) (id int64, err error)
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
	Group           string // "": do not name one (repositories have none)
	Labels          []string
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

	StateDir string                 // our own small files and the socket; "" if there is no place
	Hook     string                 // job-started.sh; "": none
	Mask     func(string) string    // takes secrets out of what is kept there; nil: there are none
	Environ  []string               // for the children
	Ours     func(name string) bool // variables that no child may see

	// Record keeps a finished job's record; nil: it is only logged.
	Record func(records.Record) error
	// Queued asks since when the job had been waiting that a runner runs; nil:
	// nobody is asked.
	Queued func(ctx context.Context, repository string, run, runner int64) (time.Time, error)

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

	ctx context.Context // ends with the first signal

	jit string // the part of a JIT configuration that run.sh is given

	// The registration that GitHub may have of us. A name without an id: one
	// that was being made when something went wrong. Written by the life alone,
	// under the lock of view, because the socket's answers read it too.
	name string
	id   int64

	jobRan bool      // a job has begun in this life
	intact time.Time // until when the runner's own files were as they should be

	answering bool // the socket is served
	view      view // what it tells beside the state
}

// Run lives until the runner's work is done or a signal has stopped it. It
// takes over the process: every child and orphan is reaped, and none is left
// when it returns. nil: done, or stopped cleanly.
func Run(options Options, signals <-chan os.Signal) (err error) {
	l := &Life{Options: options, began: time.Now(), name: options.Name}
	l.machine = newMachine(l.announce)
	l.view.runs = make(chan struct{})
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

	release, err := l.prepare()
	if err != nil {
		return err
	}
	defer release()
	err = l.conclude(l.live())
	l.awaitRecords()
	l.machine.to(Stopped, "")
	return err
}

// live goes through the states. Whatever it returns, the runner is off GitHub,
// or the record says that it may not be.
func (l *Life) live() error {
	if err := l.waitOutFailures(); err != nil {
		return err
	}
	if err := l.repair(); err != nil {
		return err
	}
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
		l.Log.Warn().Str("reason", end.reason).Msg("registering anew")
		if err := l.leave(nil); err != nil {
			if !errors.Is(err, errStillBusy) {
				return err
			}
			l.takeAnotherName()
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

// prepare checks this machine's side before GitHub hears of us. The function it
// returns gives back what was taken.
func (l *Life) prepare() (release func(), err error) {
	if err := checkFolder(l.Home); err != nil {
		return nil, err
	}
	if err := ensureWritable(l.Home); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 && l.User != "root" {
		if l.account, err = lookUpAccount(l.User); err != nil {
			return nil, err
		}
	}
	l.record, err = openRecord(l.StateDir, l.Log)
	if err != nil {
		return nil, err
	}
	if err := l.readyForReuse(); err != nil {
		l.record.close()
		return nil, err
	}
	if l.reaper, err = newReaper(); err != nil {
		l.record.close()
		return nil, err
	}
	stopServing, err := l.serveSocket()
	l.answering = err == nil
	if err != nil {
		if l.Allowed != nil {
			l.record.close()
			return nil, fmt.Errorf("%w: ALLOWED_REPOSITORIES cannot be enforced, because the hook has no way to ask: %w: give the container a writable %s", ErrConfiguration, err, l.StateDir)
		}
		l.Log.Warn().Err(err).Msg("no socket: status and healthcheck will not find this runner")
	}
	if l.Allowed != nil && l.Hook == "" {
		stopServing()
		l.record.close()
		return nil, fmt.Errorf("%w: ALLOWED_REPOSITORIES cannot be enforced, because lib/org-runner/job-started.sh is not beside this program's bin folder: use the image, or copy the file from the source", ErrConfiguration)
	}
	return func() { stopServing(); l.record.close() }, nil
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
	var stopped stopCause
	if err == nil || errors.As(err, &stopped) && !errors.Is(err, ErrUnclean) {
		l.record.succeed() // a clean stop is no failure, wherever it came
		return nil
	}
	why := err.Error()
	if l.Mask != nil {
		why = l.Mask(why) // jobs can read what is kept
	}
	l.record.fail(why)
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
		killTree(time.Now().Add(time.Second))
	}
}
