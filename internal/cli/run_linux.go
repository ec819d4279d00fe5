package cli

import (
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
	"github.com/virtuoso902/org-runner/runner"
)

// runLife is the command run: one life of one runner.
func runLife(call Invocation) error {
	if err := parseFlags(call, flag.NewFlagSet("run", flag.ContinueOnError), 0); err != nil {
		return err
	}
	// From the first moment: a signal that comes while the configuration is read
	// must find somebody who answers it.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	defer signal.Stop(signals)
	// Nobody who stops reading our output may end a job.
	signal.Ignore(syscall.SIGPIPE)

	c, err := config.Parse(call.Environ, config.ThisMachine())
	if err != nil {
		return err
	}
	// Out of our own environment too: nothing below can hand it on by accident.
	for _, name := range config.Names() {
		_ = os.Unsetenv(name)
	}
	masker := &secret.Masker{}
	masker.Add(c.Credentials.Token)
	masker.Add(c.Credentials.AppKey)
	masker.Add(c.MonitorToken)
	log := logger(masker.Writer(call.Stderr), c)
	for _, warning := range c.Warnings {
		log.Warn().Msg(warning)
	}
	options, end, err := lifeOptions(call, c, masker, log)
	if err != nil {
		return err
	}
	defer end()
	if err := runner.Run(options, signals); err != nil {
		return masked{err, masker}
	}
	return nil
}

// masked is an error whose text passes through the masker: the last line of
// defence, as for the log.
type masked struct {
	error
	masker *secret.Masker
}

func (m masked) Error() string { return m.masker.Mask(m.error.Error()) }
func (m masked) Unwrap() error { return m.error }

// lifeOptions puts the two sides together. end gives back what was opened.
func lifeOptions(call Invocation, c config.Config, masker *secret.Masker, log zerolog.Logger) (_ runner.Options, end func(), _ error) {
	options := runner.Options{
		Home: c.Home, WorkDir: c.WorkDir, User: c.User,
		Name: c.Name, Base: c.NameBase, Group: c.Group, Labels: c.Labels, NoDefaultLabels: c.NoDefaultLabels,
		DisableUpdate: c.DisableAutoUpdate, Ephemeral: c.Ephemeral || c.Registration == config.JIT,
		JIT:             c.Registration == config.JIT,
		RegisterTimeout: c.RegisterTimeout, StopGrace: c.StopGrace, Watchdog: c.Watchdog,
		OnReuse:  runner.Reuse(c.OnReuse),
		StateDir: stateDir(c.Home, log), Mask: masker.Mask,
		Hook:    libFile("job-started.sh"),
		Environ: call.Environ, Ours: config.IsOurs,
		Stdout: call.Stdout,
		Log:    log,
	}
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
		if o, err = newObserver(c.MetricsAddr, workFolder(c), inFolder(options.StateDir, "totals.json"), call.Build, log); err != nil {
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
		client, err = newClient(call.Build, c, masker, log, func(r *register.Options) {
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Warn().Err(err).Msg("no folder for the state: a start after a crash will know nothing of it, status and healthcheck neither")
		return ""
	}
	return dir
}
