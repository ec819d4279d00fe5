//go:build !linux

package cli

import (
	"errors"
	"flag"
)

// runLife needs what only Linux has: the official runner's image, PID 1, /proc.
func runLife(call Invocation) error {
	if err := parseFlags(call, flag.NewFlagSet("run", flag.ContinueOnError), 0); err != nil {
		return err
	}
	return errors.New("a runner's life needs Linux: run the image (docker compose up)")
}

// misused is the answer to a command line that is not understood.
func misused(_ Invocation, err error) error { return err }

// sweep is a part of a life.
func sweep(call Invocation) error { return runLife(call) }
