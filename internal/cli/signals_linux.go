package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals are all that can be caught and would otherwise end a process: some by
// Go's own exit code 2 and a stack trace, also process 1, and a runner would be
// left at GitHub.
var stopSignals = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
	syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGILL, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS, syscall.SIGSTKFLT,
}

// stops takes the signals from the program's first instruction on; nil in tests.
var stops chan os.Signal

// CatchStops takes the signals that stop a life, to be called before all else: one
// that comes while the configuration is read must find somebody who answers it.
func CatchStops() { stops = catchStops() }

func catchStops() chan os.Signal {
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, stopSignals...)
	return caught
}

// releaseStops lets signals end a command as they end any program.
func releaseStops() {
	if stops == nil {
		return
	}
	signal.Stop(stops)
	select {
	case caught := <-stops:
		_ = syscall.Kill(os.Getpid(), caught.(syscall.Signal))
	default:
	}
}
