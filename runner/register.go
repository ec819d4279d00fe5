//go:build linux

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/secret"
)

const (
	// configTries bounds how often config.sh is run when it fails for a cause that
	// nobody knows. While GitHub cannot be reached RUNNER_REGISTER_TIMEOUT does.
	configTries = 3
	// configTimeout is the longest that one config.sh may take. On a slow
	// machine behind a slow network it takes seconds.
	configTimeout = 2 * time.Minute
)

// register makes a registration and returns it.
func (l *Life) register() (Settings, error) {
	ctx, cancel := context.WithTimeoutCause(l.ctx, l.RegisterTimeout,
		fmt.Errorf("RUNNER_REGISTER_TIMEOUT of %s is over", l.RegisterTimeout))
	defer cancel()
	l.machine.to(Registering, "")
	// config.sh writes .env and .path; no job's process is there meanwhile.
	defer func() { l.intact = time.Now() }()
	once, err := l.way()
	if err != nil {
		return Settings{}, err
	}
	taken, failed := 0, 0
	var before error // of the config.sh before
	for {
		registered, err := once(ctx)
		switch {
		case err == nil:
			return registered, nil
		case l.ctx.Err() != nil:
			return Settings{}, context.Cause(l.ctx) // whatever else has failed by then
		case errors.Is(err, errNameTaken):
			cleared := l.clearName(ctx)
			if cleared == nil {
				// A list of runners can be older than a conflict.
				taken++
				cleared = sleep(ctx, jittered(failureWait(taken)))
			}
			switch {
			case l.ctx.Err() == nil && ctx.Err() != nil:
				return Settings{}, fmt.Errorf("%w: %w: set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random", ErrConfiguration, err)
			case cleared != nil:
				return Settings{}, cleared
			}
			l.machine.to(Registering, "the name is free")
		case errors.Is(err, ErrUnreachable), errors.Is(err, ErrRunner) && l.Token.IsZero() && failed+1 < configTries:
			if errors.Is(err, errHangs) {
				err = cmp.Or(before, err) // which tells more
			}
			failed, before = failed+1, err
			if err := l.pauseConfig(ctx, err, failed); err != nil {
				return Settings{}, err
			}
		default:
			return registered, err
		}
	}
}

// pauseConfig waits before config.sh is run again; err is why it failed, and what
// is returned if no further try fits into ctx.
func (l *Life) pauseConfig(ctx context.Context, err error, failed int) error {
	wait := pauseAfter(err, failed)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait+shortestConfig {
		return err
	}
	l.Log.Warn().Err(err).Int("try", failed).Dur("wait", wait).Msgf("retrying in %s: config.sh failed", wait.Round(time.Second))
	l.waits.Set(err.Error())
	defer l.waits.Set("")
	if sleep(ctx, wait) != nil {
		return err
	}
	l.machine.to(Registering, "config.sh failed")
	return nil
}

func (l *Life) registerJIT(ctx context.Context) (Settings, error) {
	config := l.JITConfig
	if config.IsZero() {
		l.remember(l.name)
		var taken bool
		var err error
		if config, taken, err = l.GitHub.JITConfig(ctx, l.name, l.Group, l.JITLabels, l.WorkDir); err != nil {
			var refusal interface{ Refused() bool }
			if errors.As(err, &refusal) && refusal.Refused() {
				l.record.setRunner("", 0) // nothing was made
			}
			return Settings{}, err
		}
		if taken {
			return Settings{}, errNameTaken
		}
	}
	jit, err := ParseJITConfig(config)
	if err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	l.registeredAs(jit.Settings.Name, jit.Settings.ID)
	if err := jit.write(l.Home, l.account); err != nil {
		return Settings{}, fmt.Errorf("%w: the JIT configuration cannot be written: %w", ErrConfiguration, err)
	}
	l.jit = jit.Public
	return jit.Settings, nil
}

func (l *Life) registerConfig(ctx context.Context) (Settings, error) {
	token := l.Token
	if token.IsZero() {
		var err error
		if token, err = l.GitHub.RegistrationToken(ctx); err != nil {
			return Settings{}, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return Settings{}, err
	}
	// From here on GitHub may know us by this name.
	l.remember(l.name)
	l.jit = ""
	l.machine.to(Configuring, "")
	if err := l.configure(ctx, token); err != nil {
		return Settings{}, err
	}
	registered, err := readSettings(l.Home)
	if err != nil {
		return Settings{}, fmt.Errorf("%w: config.sh ended well but left no registration: %w", ErrRunner, err)
	}
	l.registeredAs(l.name, registered.ID)
	return registered, nil
}

// registeredAs notes that too, once GitHub has made it.
func (l *Life) registeredAs(name string, id int64) {
	l.identify(name, id)
	l.record.setRunner(name, id)
}

// remember notes, here and for the next start, that GitHub may have a runner
// of this name.
func (l *Life) remember(name string) {
	l.identify(name, 0)
	l.record.setRunner(name, 0)
}

// configure runs config.sh once. The token goes through the environment: the
// command line is readable by every process.
func (l *Life) configure(ctx context.Context, token secret.String) error {
	args := []string{"--unattended", "--url", l.URL, "--name", l.name, "--work", l.WorkDir}
	if l.Group != "" {
		args = append(args, "--runnergroup", l.Group)
	}
	if len(l.Labels) > 0 {
		args = append(args, "--labels", strings.Join(l.Labels, ","))
	}
	// Never --replace where GitHub can be asked: it would take an idle runner of
	// another container of the same name for ours, and a busy one's job with it.
	for option, wanted := range map[string]bool{"--replace": l.replaces, "--ephemeral": l.Ephemeral, "--no-default-labels": l.NoDefaultLabels, "--disableupdate": l.DisableUpdate} {
		if wanted {
			args = append(args, option)
		}
	}
	evidence, err := l.runConfig(ctx, configTimeout, token, args...)
	switch {
	case evidence.taken:
		if !l.uncertain {
			l.record.setRunner("", 0) // config.sh has looked, and made nothing
		}
		return errNameTaken
	case evidence.noGroup:
		return fmt.Errorf("%w: the runner group %q does not exist, or this target may not use it: set RUNNER_GROUP to one that exists, or create it in the organization's settings under Actions, Runner groups", ErrConfiguration, l.Group)
	case err != nil:
		l.uncertain = true
	}
	return err
}

// configEvidence is what config.sh's output tells beside its exit code.
type configEvidence struct {
	noGroup bool
	taken   bool // a runner has the name already
}

// runConfig runs config.sh with a deadline. A stop lets it go on for as long as
// the plan gives to finishing what has begun: once it has asked GitHub to make
// a runner, only its own end tells the runner's id for sure.
func (l *Life) runConfig(ctx context.Context, timeout time.Duration, token secret.String, args ...string) (configEvidence, error) {
	var seen configEvidence
	lines := newLineQueue()
	child, err := l.spawn("config.sh", args, lines, "ACTIONS_RUNNER_INPUT_TOKEN="+token.Reveal())
	if err != nil {
		return seen, err
	}
	if until, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(until))
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	drain, cancel, drained := l.stop.drain, l.stop.cancel, (<-chan time.Time)(nil)
	if l.machine.is(Deregistering) {
		drain, cancel = nil, nil // it is what the stop leaves time for, which timeout is
	}
	var ended error
	for ended == nil && !child.ended() {
		select {
		case <-child.done:
		case <-drain:
			drain = nil
			if l.machine.is(Configuring) {
				l.machine.to(Draining, "config.sh may finish what it has begun")
			}
			_, since := l.stop.first()
			timer := time.NewTimer(time.Until(since.Add(planFor(l.StopGrace).cancelAt)))
			defer timer.Stop()
			drained = timer.C
		case <-drained:
			ended = context.Cause(l.ctx)
		case <-cancel:
			ended = context.Cause(l.ctx)
		case <-deadline.C:
			ended = fmt.Errorf("%w: %w within %s: check that this container reaches GitHub", ErrUnreachable, errHangs, timeout.Round(time.Second))
		}
	}
	killTree(time.Now().Add(time.Second))
	<-child.done
	child.finishOutput()
	for _, seenLine := range lines.take() {
		seen.noGroup = seen.noGroup || seenLine.what == noSuchGroup
	}
	seen.taken = child.status.ExitStatus() != 0 && lines.last.nameTaken()
	switch {
	case ended != nil:
		return seen, ended
	case child.status.ExitStatus() != 0:
		return seen, l.configFailed(child.status, &lines.last)
	}
	return seen, nil
}
