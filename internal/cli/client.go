package cli

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// scope is the target in register's words.
func scope(t config.Target) register.Scope {
	switch t.Kind {
	case config.Repository:
		return register.Repository(t.Name)
	case config.Enterprise:
		return register.Enterprise(t.Name)
	}
	return register.Organization(t.Name)
}

// newClient makes the client for the configured credentials; with may change its
// options.
func newClient(build Build, c config.Config, masker *secret.Masker, log zerolog.Logger, with ...func(*register.Options)) (*register.Client, error) {
	credentials := register.Token(c.Credentials.Token)
	if c.Credentials.Kind == config.App {
		app, err := register.NewApp(c.Credentials.AppID, c.Credentials.AppKey, c.Credentials.InstallationID)
		if err != nil {
			return nil, err
		}
		credentials = app
	}
	options := register.Options{
		API: c.APIURL, Scope: scope(c.Target), Credentials: credentials,
		UserAgent: "org-runner/" + build.Version, Log: log, Secret: masker.Add,
	}
	for _, change := range with {
		change(&options)
	}
	if tell := options.Trouble; tell != nil {
		options.Trouble = func(reason string) { tell(masker.Mask(reason)) } // jobs can read it
	}
	return register.New(options), nil
}

// logger writes lines for people or for machines, each in one piece.
func logger(w io.Writer, c config.Config) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel // config has checked it
	}
	zerolog.DurationFieldUnit = time.Second
	zerolog.TimeFieldFormat = time.RFC3339
	if c.LogFormat == "console" {
		w = zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: time.RFC3339}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
