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

// refuse is the answer to a command line that is not understood.
func refuse(_ Invocation, err error) error { return err }
