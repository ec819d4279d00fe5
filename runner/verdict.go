//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// ending is how one run of run.sh ended when nothing has failed.
type ending struct {
	finished bool // the ephemeral runner's job is done
	stopped  bool // a signal ended it
	// Otherwise the registration is no longer good: make another.
	reason string
	lasted time.Duration
}

// verdict says what the end of run.sh means. Its exit code alone does not: 0
// stands for "done" and for several failures.
func (s *session) verdict() (ending, error) {
	end := ending{lasted: time.Since(s.began)}
	_, err := readSettings(s.Home)
	gone := errors.Is(err, fs.ErrNotExist) // the listener has removed its registration
	// An ephemeral listener removes it after its one job, and GitHub the runner: if it
	// was told, which is not sure of a job that has not succeeded. In every other case
	// GitHub is asked: a job can have removed the file as well. Where it cannot be
	// asked, a job's end that the listener has told counts, though a stop leaves the
	// file.
	told := s.over && s.result != "" && s.result != Lost
	itsJobIsOver := s.Ephemeral && told && s.endedWell()
	if gone && (s.GitHub == nil || itsJobIsOver && s.result == "Succeeded") || s.GitHub == nil && itsJobIsOver {
		s.forget()
	}
	signal, _ := s.stop.first()
	status := s.child.status
	switch {
	case s.Ephemeral && told && (gone || signal == nil):
		end.finished, end.reason = true, "job completed: "+s.result
		return end, nil
	case signal != nil:
		end.stopped = true
		return end, nil
	case s.Ephemeral && s.started && (gone || s.hung):
		end.finished, end.reason = true, "the job has ended at GitHub"
		return end, nil
	case s.ghost != "" && !(s.Ephemeral && s.started):
		end.reason = s.ghost
		return end, nil
	case s.deleted && !(s.Ephemeral && s.started) && (s.GitHub == nil || s.isGone()): // a job's name may say so too
		end.reason = "the registration was deleted at GitHub"
		return end, nil
	case status.ExitStatus() == 7:
		return end, fmt.Errorf("%w: GitHub refuses its version: rebuild the image with the newest RUNNER_VERSION", ErrDeprecated)
	case s.terminated:
		return end, fmt.Errorf("%w: its listener ended with a fatal error: %s", ErrRunner, s.lines.lastWords())
	case s.code != "":
		return end, fmt.Errorf("%w: its listener ended with code %s%s", ErrRunner, s.code, s.explainCode())
	case s.Ephemeral && s.started:
		// Never another registration: what config.sh is now is the job's doing.
		return end, fmt.Errorf("%w: it ended (%s) and did not say how its job did: see the job at GitHub", ErrRunner, describe(status))
	case s.conflict:
		end.reason = "another session of this runner is still open at GitHub"
		return end, nil
	case gone, s.endedWell() && s.isGone():
		end.reason = "the registration was deleted at GitHub"
		return end, nil
	}
	return end, fmt.Errorf("%w: run.sh ended with %s without having been asked to", ErrRunner, describe(status))
}

// isGone asks GitHub whether it has deleted the runner, of which its listener does
// not always say a word.
func (s *session) isGone() bool {
	if s.GitHub == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, lookBudget)
	defer cancel()
	state, err := s.GitHub.RunnerState(ctx, s.id)
	return err == nil && state == Gone
}

// endedWell tells whether the listener has ended by itself and with 0.
func (s *session) endedWell() bool {
	return s.child.status.Exited() && s.child.status.ExitStatus() == 0 && s.code == "" && !s.terminated && !s.conflict
}

func (s *session) explainCode() string {
	if s.code == "137" {
		return " (killed: if nobody did it by hand, the container's memory limit did; give it more)"
	}
	if cause := s.lines.last.died(); cause != "" {
		return ": " + cause + remedyOf(cause)
	}
	return ""
}
