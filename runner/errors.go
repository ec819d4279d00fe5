package runner

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errors that a life can end with; errors.Is finds them.
var (
	ErrConfiguration = errors.New("configuration")                  // exit code 78: an operator must change something
	ErrCredentials   = errors.New("GitHub refuses the credentials") // exit code 77
	ErrUnreachable   = errors.New("GitHub could not be reached")    // exit code 69
	ErrRunner        = errors.New("the runner failed")              // exit code 75: another try may succeed
	ErrDeprecated    = errors.New("the image's runner is too old")  // exit code 7: the image must be rebuilt
	ErrUnclean       = errors.New("the stop left something undone") // exit code 128+n
	ErrInternal      = errors.New("a fault of org-runner's own")    // exit code 70
	errNameTaken     = errors.New("GitHub has a runner of this name already")
	errHangs         = errors.New("config.sh did not end")
	errOnItsWay      = errors.New("its registration may still be on the way to GitHub")
	errStillBusy     = errors.New("GitHub says that it still runs a job") // a delete that was refused to the end
)

// stopCause is the cause with which everything is cancelled once a signal has
// come.
type stopCause struct{ signal os.Signal }

func (c stopCause) Error() string { return fmt.Sprintf("stopped by %s", signalName(c.signal)) }

func signalName(s os.Signal) string {
	if number, ok := s.(syscall.Signal); ok {
		if name := unix.SignalName(number); name != "" {
			return name
		}
	}
	return s.String()
}

// StoppedBy returns the signal that a life was stopped by, nil if by none: for
// the exit code 128+n.
func StoppedBy(err error) os.Signal {
	var stopped stopCause
	if errors.As(err, &stopped) {
		return stopped.signal
	}
	return nil
}
