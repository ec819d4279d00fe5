//go:build !linux

package cli

import "errors"

// runLife needs what only Linux has: the official runner's image, PID 1, /proc.
func runLife(Invocation) error {
	return errors.New("a runner's life needs Linux: run the image (docker compose up)")
}
