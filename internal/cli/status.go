package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/text"
	"github.com/virtuoso902/org-runner/runner"
)

// ask asks the life of this container for its status.
func ask(call Invocation) (*runner.Status, error) {
	reply, err := runner.Ask(runner.FindSocket(config.Home(call.Environ)), runner.Request{Ask: "status"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w: is this its container, and is it running?", errNoRunner, err)
	}
	if reply.Status == nil {
		return nil, errors.New("the runner's answer holds no status: is another version of org-runner running here?")
	}
	return reply.Status, nil
}

const healthcheckHelp = `Prints one line and ends with 0 when the runner listens, works or drains, with 1
when it is still starting, or fails, or is not there.

  docker inspect --format '{{json .State.Health}}' CONTAINER

  --live          0 also while it starts, or waits for what another start would wait
                  for too: for who ends what is unhealthy, as Swarm does
  --url ADDRESS   asks this address instead of the container's own runner, as
                  http://127.0.0.1:9300/healthz of the monitor: 200 is healthy`

// healthcheck says in one line what HEALTHCHECK wants to know: docker inspect
// shows it.
func healthcheck(call Invocation) error {
	set := flag.NewFlagSet("healthcheck", flag.ContinueOnError)
	live := set.Bool("live", false, "")
	address := set.String("url", "", "")
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	text, healthy := askHealth(call, *address, *live)
	fmt.Fprintln(call.Stdout, text)
	if !healthy {
		return silent{errors.New(text), exitUnhealthy}
	}
	return nil
}

// askHealth asks the life in this container, or an address.
func askHealth(call Invocation, address string, live bool) (text string, healthy bool) {
	if address == "" {
		s, err := ask(call)
		if err != nil {
			return printable(err.Error()), false
		}
		return printable(s.Health), s.Healthy || live && s.Live()
	}
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(address)
	if err != nil {
		return printable(err.Error()), false
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return printable(strings.TrimSpace(string(body))), response.StatusCode == http.StatusOK
}

// githubBudget bounds the question how GitHub sees this runner.
const githubBudget = 3 * time.Second

// stateAtGitHub is GitHub's own view of a runner: gone, offline, online or busy;
// unknown, and why, when it cannot be asked.
func stateAtGitHub(call Invocation, id int64) string {
	if id == 0 {
		return "not registered"
	}
	r, err := newRemote(call)
	if err != nil {
		return "unknown: this call has no credentials to ask with"
	}
	ctx, cancel := context.WithTimeout(context.Background(), githubBudget)
	defer cancel()
	state, err := r.github.RunnerState(ctx, id)
	if err != nil {
		return "unknown: " + err.Error()
	}
	return state
}

const statusHelp = `Asks the life in this container what it is doing, and GitHub how it sees this
runner. --json for scripts.

  docker compose exec runner org-runner status`

// status prints what this container's runner is doing.
func status(call Invocation) error {
	set := flag.NewFlagSet("status", flag.ContinueOnError)
	asJSON := set.Bool("json", false, "")
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	s, err := ask(call)
	if err != nil {
		return err
	}
	there := stateAtGitHub(call, s.ID)
	if *asJSON {
		encoder := json.NewEncoder(call.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			*runner.Status
			GitHub string `json:"github"`
		}{s, there})
	}
	now := time.Now()
	table := tabwriter.NewWriter(call.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, printable(fmt.Sprintf(format, values...)))
	}
	row("state", "%s for %s", s.State, now.Sub(s.Since).Round(time.Second))
	row("health", "%s", s.Health)
	row("at GitHub", "%s", there)
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

// printable makes visible what others have named: a job's name must not steer a
// terminal.
func printable(others string) string { return text.Line(others) }

// printableLines is the same of text with line ends of ours, as an error's.
func printableLines(others string) string { return text.Lines(others) }

// shown is the same of a name, or an address, in the length of one.
func shown(others string) string { return text.Name(others) }

func allShown(others []string) []string {
	names := make([]string, len(others))
	for i, name := range others {
		names[i] = shown(name)
	}
	return names
}
