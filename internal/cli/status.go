package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/runner"
)

// ask asks the life of this container for its status.
func ask(call Invocation) (*runner.Status, error) {
	socket := runner.Socket(runner.StateDir(config.Home(call.Environ)))
	reply, err := runner.Ask(socket, runner.Request{Ask: "status"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w: is this its container, and is it running?", errNoRunner, err)
	}
	if reply.Status == nil {
		return nil, errors.New("the runner's answer holds no status: is another version of org-runner running here?")
	}
	return reply.Status, nil
}

// healthcheck says in one line what HEALTHCHECK wants to know: docker inspect
// shows it.
func healthcheck(call Invocation) error {
	s, err := ask(call)
	if err != nil {
		fmt.Fprintln(call.Stdout, err)
		return silent{err, exitUnhealthy}
	}
	fmt.Fprintln(call.Stdout, s.Health)
	if !s.Healthy {
		return silent{errors.New(s.Health), exitUnhealthy}
	}
	return nil
}

const statusHelp = `Asks the life in this container what it is doing. --json for scripts.

  docker compose exec runner org-runner status`

// status prints what this container's runner is doing.
func status(call Invocation) error {
	asJSON := slices.Contains(call.Args, "--json")
	if extra := len(call.Args); extra > 1 || extra == 1 && !asJSON {
		return fmt.Errorf("%w: org-runner status [--json]", errUsage)
	}
	s, err := ask(call)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(call.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	now := time.Now()
	table := tabwriter.NewWriter(call.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, printable(fmt.Sprintf(format, values...)))
	}
	row("state", "%s for %s", s.State, now.Sub(s.Since).Round(time.Second))
	row("health", "%s", s.Health)
	if s.Job != nil {
		row("job", "%s for %s", s.Job.Name, now.Sub(s.Job.Since).Round(time.Second))
		if s.Job.Repository != "" {
			row("repository", "%s", s.Job.Repository)
		}
	}
	row("runner", "%s", s.Name)
	if s.ID != 0 {
		row("id", "%d", s.ID)
	}
	row("registered at", "%s", s.URL)
	if s.Group != "" {
		row("group", "%s", s.Group)
	}
	row("labels", "%s", strings.Join(s.Labels, ", "))
	row("ephemeral", "%t", s.Ephemeral)
	return table.Flush()
}

// printable takes control characters out of what others have named: a job's
// name must not steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
