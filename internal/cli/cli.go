// Package cli is the commands of org-runner: it reads the configuration, puts
// register and runner together, and turns every ending into an exit code.
package cli

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
	"github.com/virtuoso902/org-runner/runner"
)

// Exit codes, after sysexits.h.
const (
	exitDone          = 0
	exitUnhealthy     = 1 // healthcheck only: HEALTHCHECK knows 0 and 1
	exitDeprecated    = 7 // as the official runner's own
	exitUsage         = 64
	exitUnreachable   = 69
	exitInternal      = 70
	exitRunnerFailed  = 75
	exitCredentials   = 77
	exitConfiguration = 78
	exitSignal        = 128 // + the signal's number
)

// Build is what the linker says of this binary.
type Build struct{ Version, Commit, Runner string }

// Invocation is one call of the program with everything that it depends on.
type Invocation struct {
	Args           []string
	Environ        []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Build          Build

	otherwise []finding      // what --env-file and the shell say differently
	masker    *secret.Masker // what everything that is printed passes through
}

// command is one of the program's commands.
type command struct {
	name    string
	summary string
	help    string // more than the summary, for help NAME
	hidden  bool   // called by the image, not by people
	run     func(Invocation) error
}

// errUsage is a call that the program does not understand.
var errUsage = errors.New("usage")

// silent is an error that has been told already.
type silent struct {
	error
	code int
}

// errNoRunner is a question to a life that nobody answers: exit code 75, because
// the next one may.
var errNoRunner = errors.New("no runner answers here")

// Main runs one command and returns the exit code. It is the one place where an
// error is printed.
func Main(call Invocation) int {
	harden()
	call = call.masking()
	err := dispatch(call)
	var told silent
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &told):
		return told.code
	}
	fmt.Fprintf(call.Stderr, "org-runner: %s\n", printableLines(err.Error()))
	return exitCode(err)
}

func dispatch(call Invocation) error {
	if err := takeEnvFile(&call); err != nil {
		return err
	}
	// Before they are judged: what is wrong with them is printed too.
	call.know(config.Secrets(call.Environ))
	call.adopt()
	name := "run"
	if len(call.Args) > 0 {
		name, call.Args = call.Args[0], call.Args[1:]
	}
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-v", "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			if name != "run" {
				releaseStops()
			}
			return c.run(call)
		}
	}
	return misused(call, fmt.Errorf("%w: there is no command %q%s; org-runner help lists them", errUsage, name, suggestion(name)))
}

// exitCode finds the code of an error; the order matters where one wraps
// another.
func exitCode(err error) int {
	var problems config.Problems
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &problems), errors.Is(err, runner.ErrConfiguration), errors.Is(err, register.ErrConfiguration):
		return exitConfiguration
	case errors.Is(err, runner.ErrInternal):
		return exitInternal
	}
	if signal, ok := runner.StoppedBy(err).(syscall.Signal); ok {
		return exitSignal + int(signal)
	}
	switch {
	case errors.Is(err, runner.ErrDeprecated):
		return exitDeprecated
	case errors.Is(err, register.ErrCredentials), errors.Is(err, runner.ErrCredentials):
		return exitCredentials
	case errors.Is(err, register.ErrUnreachable), errors.Is(err, runner.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, runner.ErrRunner), errors.Is(err, runner.ErrUnclean), errors.Is(err, errNoRunner):
		return exitRunnerFailed
	}
	return exitInternal
}
