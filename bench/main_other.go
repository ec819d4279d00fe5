//go:build !linux

// Bench measures org-runner; a runner's life needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: a runner's life needs Linux: run this in a container")
	os.Exit(1)
}
