package cli

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/runner"
)

// misused is for a command line that is not understood. As a container's first
// process it is under a restart policy, perhaps, and waits as every life does that
// cannot be; a call by hand has its answer at once.
func misused(call Invocation, err error) error {
	if !isEntrypoint() {
		return err
	}
	signals := notified()
	defer signal.Stop(signals)
	return refusedLife(call, err, signals)
}

// refusedLife is a life that cannot be: it waits out the failed starts before it, so
// that status can tell why, and ends with the reason.
func refusedLife(call Invocation, reason error, signals <-chan os.Signal) error {
	format := config.Config{LogLevel: "info", LogFormat: "console"}
	if slices.Contains(call.Environ, "LOG_FORMAT=json") {
		format.LogFormat = "json"
	}
	log := logger(call.Stderr, format)
	home := config.Home(call.Environ)
	options := runner.Options{Refused: reason, Home: home, StateDir: stateDir(home, zerolog.Nop()), Log: log, Labels: []string{}}
	governed(call, &options)
	// What is wrong may be a secret in the wrong place, and jobs can read what is kept.
	options.Mask = func(string) string { return brief(reason) }
	return runner.Run(options, signals)
}

// brief is an error without the values that it quotes.
func brief(err error) string {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return "the command line or the configuration is wrong: see the log"
	}
	var names []string
	for _, p := range problems {
		names = append(names, p.Variable)
	}
	return "the configuration is wrong: " + strings.Join(slices.Compact(names), ", ") + ": see the log"
}

// governed sets what a life needs to know of failed starts before it.
func governed(call Invocation, options *runner.Options) {
	options.ByHand = !isEntrypoint() && isTerminal(call.Stderr)
	options.Hopeless = func(err error) bool {
		return slices.Contains([]int{exitUsage, exitCredentials, exitConfiguration}, exitCode(err))
	}
	options.Fingerprint = func(salt string) string {
		return config.Fingerprint(call.Environ, salt, append([]string{call.Build.Version, call.Build.Commit}, call.Args...)...)
	}
}

// isEntrypoint tells whether we are what a container, or a service manager, starts:
// process 1, or the child of one.
func isEntrypoint() bool { return os.Getpid() == 1 || os.Getppid() == 1 }
