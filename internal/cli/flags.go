package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
	"github.com/virtuoso902/org-runner/register"
)

// envFile is the option that stands before or after the command's name.
const envFile = "--env-file"

// alternatives are variables of which one is to be set: a file that has one of
// them speaks for all.
var alternatives = [][]string{
	{"GITHUB_TOKEN", "GITHUB_APP_", "RUNNER_TOKEN", "RUNNER_JITCONFIG"},
	{"GITHUB_ORGANIZATION", "GITHUB_REPOSITORY", "GITHUB_ENTERPRISE"},
}

// takeEnvFile takes --env-file out of the arguments and puts the file's variables
// into the environment. The file wins: who names it wants what it says, whatever
// this shell has been used for.
func takeEnvFile(call *Invocation) error {
	var rest []string
	path, given := "", false
	for i := 0; i < len(call.Args); i++ {
		argument := call.Args[i]
		value, joined := strings.CutPrefix(argument, envFile+"=")
		switch {
		case joined:
			path, given = value, true
		case argument == envFile:
			if i++; i == len(call.Args) {
				return fmt.Errorf("%w: %s wants a file, as in org-runner %s .env check", errUsage, envFile, envFile)
			}
			path, given = call.Args[i], true
		default:
			rest = append(rest, argument)
		}
	}
	call.Args = rest
	if !given {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read: %w: start from a copy of .env.example", register.ErrConfiguration, path, err)
	}
	file, err := dotenv.Parse(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", register.ErrConfiguration, path, err)
	}
	inFile := file.Environ()
	call.otherwise = judgeEnvFile(path, file, call.Environ)
	call.Environ = append(slices.DeleteFunc(slices.Clone(call.Environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.ContainsFunc(inFile, func(other string) bool { return replaces(other, name) })
	}), inFile...)
	return nil
}

// otherwise warns of the variables that the shell has too, and not as the file has
// them: for compose it is the shell that wins.
func otherwise(path string, file *dotenv.File, environ []string) (findings []finding) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if inJob(environ) && slices.Contains(ofEveryJob, name) {
			continue // setByJob tells
		}
		switch said, set := file.Get(name); {
		case set && said != value:
			findings = append(findings, warn(onVariables, name+" is also set in this shell, to something else: docker compose takes that one",
				"unset "+name+" in this shell, or set it to the same in "+path))
		case !set && value != "" && config.IsOurs(name) && slices.ContainsFunc(file.Environ(), func(other string) bool { return replaces(other, name) }):
			findings = append(findings, warn(onVariables, name+" is also set in this shell, and "+path+" has another variable for that: docker compose takes both",
				"unset "+name+" in this shell"))
		}
	}
	return findings
}

// replaces tells whether a file's variable ("NAME=value") takes the place of one
// of the shell's.
func replaces(inFile, name string) bool {
	other, value, _ := strings.Cut(inFile, "=")
	if other == name || value != "" && config.IsNetwork(name) && strings.EqualFold(other, name) {
		return true
	}
	return value != "" && config.IsOurs(name) && slices.ContainsFunc(alternatives, func(group []string) bool {
		in := func(name string) bool {
			return slices.ContainsFunc(group, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		}
		return in(name) && in(other)
	})
}

// durationFlag defines an option that says what it wants of who gives it no
// duration; flag's own does not.
func durationFlag(set *flag.FlagSet, name string) *time.Duration {
	var d time.Duration
	set.Func(name, "", func(text string) (err error) {
		if d, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("a duration is wanted, as in --%s 5s", name)
		}
		return err
	})
	return &d
}

// parseFlags parses a command's own options. What is wrong with them is a usage
// error that names the help; arguments is how many others there may be.
func parseFlags(call Invocation, set *flag.FlagSet, arguments int) error {
	set.SetOutput(io.Discard)
	// Options may stand behind arguments too: flag stops at the first.
	var others []string
	rest := call.Args
	for {
		if err := set.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				if err := help(Invocation{Args: []string{set.Name()}, Stdout: call.Stdout}); err != nil {
					return err
				}
				return silent{err, exitDone}
			}
			return fmt.Errorf("%w: %w; org-runner help %s tells how it is called", errUsage, err, set.Name())
		}
		if rest = set.Args(); len(rest) == 0 {
			break
		}
		others, rest = append(others, rest[0]), rest[1:]
	}
	if len(others) > arguments {
		return fmt.Errorf("%w: org-runner %s does not take %q; org-runner help %s tells how it is called", errUsage, set.Name(), others[arguments], set.Name())
	}
	return set.Parse(append([]string{"--"}, others...))
}
