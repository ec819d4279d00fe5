package main

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// The official runner's own times, as they were seen with 2.336.0.
const (
	startTime      = 300 * time.Millisecond // of .NET, until the listener's handler of signals is there
	workerDelay    = 100 * time.Millisecond // from "Running job" to the worker's process
	workerStart    = 300 * time.Millisecond // of the worker, until its first step
	reportTime     = 400 * time.Millisecond // from the last step's end to the report
	interruptWait  = 7500 * time.Millisecond
	terminateWait  = 2500 * time.Millisecond
	heldOutputWait = 5 * time.Second // for a child that holds the output of a step that has ended
	cancelTimeout  = 5 * time.Minute // from a cancellation at GitHub to the worker's end by force
	renewPause     = time.Minute
	sessionPause   = 30 * time.Second
	callTimeout    = 100 * time.Second
	// unloadTimeout is how long a listener lives after SIGTERM at most.
	unloadTimeout = 30 * time.Second
	// justAfterJob is how long a listener's next call asks for a new token first.
	justAfterJob = 5 * time.Second
)

// speed makes every time shorter, for tests that would take minutes otherwise.
var speed = readSpeed()

func readSpeed() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("STAND_IN_SPEED")); err == nil && n > 0 {
		return time.Duration(n)
	}
	return 1
}

func pace(d time.Duration) time.Duration { return d / speed }

// between is a random time: the official runner spreads its tries.
func between(least, most time.Duration) time.Duration {
	return pace(least + rand.N(most-least+1))
}

// wait waits for a time that pace has been asked for; false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
