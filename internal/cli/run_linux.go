package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
	"github.com/virtuoso902/org-runner/runner"
	"github.com/virtuoso902/org-runner/runner/reset"
)

// runLife is the command run: one life of one runner.
func runLife(call Invocation) error {
	if err := parseFlags(call, flag.NewFlagSet("run", flag.ContinueOnError), 0); err != nil {
		return misused(call, err)
	}
	signals := notified()
	defer signal.Stop(signals)
	for {
		if err := live(call, signals); !errors.Is(err, runner.ErrChanged) {
			return err
		}
	}
}

func notified() chan os.Signal {
	signals := stops
	if signals == nil {
		signals = catchStops()
		defer signal.Stop(signals)
	}
	// Nobody who stops reading our output may end a job.
	signal.Ignore(syscall.SIGPIPE)
	return signals
}

// live reads the configuration and lives with it. It returns ErrChanged if that
// has changed before a runner was registered with it.
func live(call Invocation, signals <-chan os.Signal) error {
	c, err := call.parse(config.ThisMachine())
	if err != nil {
		return refusedLife(call, err, signals)
	}
	// Out of our own environment too: nothing below can hand it on by accident.
	os.Clearenv()
	for _, variable := range c.Environ {
		name, value, _ := strings.Cut(variable, "=")
		_ = os.Setenv(name, value)
	}
	log := logger(call.Stderr, c)
	for _, warning := range c.Warnings {
		log.Warn().Msg(warning)
	}
	options, end, err := lifeOptions(call, c, log)
	if err != nil {
		return refusedLife(call, err, signals)
	}
	defer end()
	return runner.Run(options, signals)
}

// lifeOptions puts the two sides together. end gives back what was opened.
func lifeOptions(call Invocation, c config.Config, log zerolog.Logger) (_ runner.Options, end func(), _ error) {
	options := runner.Options{
		Home: c.Home, WorkDir: c.WorkDir, User: c.User,
		Name: c.Name, Base: c.NameBase, Fixed: c.NameFixed, Group: c.Group, Labels: c.Labels, JITLabels: c.JITLabels, NoDefaultLabels: c.NoDefaultLabels,
		DisableUpdate: c.DisableAutoUpdate, Ephemeral: c.Ephemeral || c.Registration == config.JIT,
		JIT:             c.Registration == config.JIT,
		RegisterTimeout: c.RegisterTimeout, StopGrace: c.StopGrace, Watchdog: c.Watchdog,
		OnReuse:  runner.Reuse(c.OnReuse),
		StateDir: stateDir(c.Home, log), Mask: call.masker.Mask,
		Hook:    libFile("job-started.sh"),
		NoteKey: noteKey(c),
		Environ: c.Environ, Ours: config.IsOurs,
		Stdout: call.Stdout,
		Log:    log,
	}
	governed(call, &options)
	if len(c.AllowedRepositories.Rules()) > 0 {
		options.Allowed, options.AllowedRule = c.AllowedRepositories.Allows, c.AllowedRepositories.String()
	}
	if c.Target.Kind != 0 {
		options.URL = scope(c.Target).RunnerURL(c.ServerURL)
	}
	if c.Target.Kind == config.Repository {
		options.Group = "" // runner groups belong to organizations and enterprises
	}
	var o *observer
	if c.MetricsAddr != "" {
		var err error
		if o, err = newObserver(c.MetricsAddr, workFolder(c), inFolder(options.StateDir, "totals.json"), call.Build, call.masker, log); err != nil {
			return options, nil, err
		}
	}
	var client *register.Client
	switch c.Credentials.Kind {
	case config.JITConfig:
		options.JITConfig = c.Credentials.Token
	case config.RegistrationToken:
		options.Token = c.Credentials.Token
	default:
		var trouble runner.Trouble
		var err error
		client, err = newClient(call.Build, c, call.masker, log, func(r *register.Options) {
			r.Trouble = trouble.Set
			if o != nil {
				r.Transport = counted{o, register.NewTransport()}
				r.Trouble = func(reason string) {
					if trouble.Set(reason); reason != "" {
						o.failed.Add(1)
					}
				}
			}
		})
		if err != nil {
			return options, nil, err
		}
		options.GitHub, options.Trouble = client, &trouble
	}
	stop := observed(c, client, o, &options)
	return options, func() {
		stop()
		if o != nil {
			o.close()
		}
	}, nil
}

// noteKey makes of the credentials, which no job can read, a key that does not tell
// them.
func noteKey(c config.Config) []byte {
	key := hmac.New(sha256.New, []byte("org-runner's notes"))
	key.Write([]byte(c.Credentials.Token.Reveal() + "\n" + c.Credentials.AppKey.Reveal()))
	return key.Sum(nil)
}

// sweep is the reset's part that needs another user's rights.
func sweep(call Invocation) error {
	if err := parseFlags(call, flag.NewFlagSet(reset.Command, flag.ContinueOnError), 0); err != nil {
		return err
	}
	return reset.Help(call.Stdin, call.Stdout)
}

// inFolder is a file's path, "" if there is no folder for it.
func inFolder(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// stateDir makes the folder for our own small files. Without one a life goes
// on, and says what it cannot do.
func stateDir(home string, log zerolog.Logger) string {
	dir := runner.StateDir(home)
	// Not MkdirAll: a runner's folder that is not there is not made.
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		log.Warn().Err(err).Msg("no folder for the state: a start after a crash will know nothing of it, status and healthcheck neither")
		return ""
	}
	return dir
}
