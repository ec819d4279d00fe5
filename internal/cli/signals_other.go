//go:build !linux

package cli

// CatchStops is for the life of a runner, which needs Linux.
func CatchStops() {}

func releaseStops() {}
