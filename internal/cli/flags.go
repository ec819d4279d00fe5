package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

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
