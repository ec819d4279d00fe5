package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const pruneHelp = `Removes this fleet's dead runners: those with our RUNNER_NAME and LABELS that are
offline now and still offline RUNNER_PRUNE_AGE (2m) later. A runner between
registering and listening is offline too, so one look is not enough. A busy one
is never removed.

  org-runner --env-file .env prune --dry-run
  org-runner --env-file .env prune --yes

  --dry-run  shows what one look finds, and removes nothing
  --all      for the emergency: idle ones too, and after one look
  --cancel   with --all: cancels the runs of the busy ones, and removes them too
  --yes      does not ask; needed where nobody can answer
  --json     the summary, for scripts`

const (
	// pruneBudget bounds the questions of one look, and one removal.
	pruneBudget = time.Minute
	// cancelPatience is how long a cancelled job may take to end: GitHub gives its
	// steps five minutes.
	cancelPatience = 6 * time.Minute
	cancelPause    = 2 * time.Second
)

// pruned is what was done; its JSON is for scripts.
type pruned struct {
	Removed  []string          `json:"removed"`
	Gone     []string          `json:"gone"`      // by themselves
	CameBack []string          `json:"came_back"` // between the two looks
	Busy     []string          `json:"busy"`      // kept
	Failed   map[string]string `json:"failed"`    // why
	DryRun   bool              `json:"dry_run,omitempty"`
	Would    []string          `json:"would_remove,omitempty"`
}

// errInterrupted is a Ctrl-C before anything was removed.
var errInterrupted = errors.New("interrupted: nothing was removed")

type pruning struct {
	remote
	call        Invocation
	fleet       fleet
	all, cancel bool
	result      pruned
	worst       error
}

func prune(call Invocation) error {
	set := flag.NewFlagSet("prune", flag.ContinueOnError)
	p := &pruning{call: call, result: pruned{Removed: []string{}, Gone: []string{}, CameBack: []string{}, Busy: []string{}, Failed: map[string]string{}}}
	set.BoolVar(&p.all, "all", false, "")
	set.BoolVar(&p.cancel, "cancel", false, "")
	set.BoolVar(&p.result.DryRun, "dry-run", false, "")
	yes, asJSON := set.Bool("yes", false, ""), set.Bool("json", false, "")
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	if p.cancel && !p.all {
		return fmt.Errorf("%w: --cancel cancels the jobs of busy runners, which only --all touches: give both, or neither", errUsage)
	}
	if !*yes && !p.result.DryRun && (!isTerminal(call.Stdin) || *asJSON) {
		return fmt.Errorf("%w: nobody can be asked here: give --yes to remove, or --dry-run to look", errUsage)
	}
	var err error
	if p.remote, err = newRemote(call); err != nil {
		return err
	}
	p.fleet = newFleet(p.config)
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	if err := p.run(ctx, !*yes); err != nil {
		if ctx.Err() != nil {
			return silent{errInterrupted, p.interrupted()}
		}
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(call.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(p.result); err != nil {
			return err
		}
	} else {
		p.tell()
	}
	if ctx.Err() != nil {
		return silent{errInterrupted, exitSignal + int(syscall.SIGINT)}
	}
	if p.worst != nil {
		return silent{p.worst, exitCode(p.worst)}
	}
	return nil
}

func (p *pruning) interrupted() int {
	fmt.Fprintln(p.call.Stderr, "org-runner: "+errInterrupted.Error())
	return exitSignal + int(syscall.SIGINT)
}

// candidates looks once.
func (p *pruning) candidates(ctx context.Context) (map[int64]register.Runner, error) {
	ctx, cancel := context.WithTimeout(ctx, pruneBudget)
	defer cancel()
	defer progress(p.call, "asking GitHub")()
	found := map[int64]register.Runner{}
	for runner, err := range p.github.Runners(ctx) {
		switch {
		case err != nil:
			return nil, err
		case !p.fleet.has(runner):
		case state(runner) == "offline", p.all && state(runner) == "idle", p.cancel:
			found[runner.ID] = runner
		case p.all:
			p.result.Busy = append(p.result.Busy, runner.Name)
		}
	}
	return found, nil
}

// byName brings runners into an order.
func byName(runners map[int64]register.Runner) []register.Runner {
	var list []register.Runner
	for _, r := range runners {
		list = append(list, r)
	}
	sortBy(list, func(a, b register.Runner) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (p *pruning) run(ctx context.Context, ask bool) error {
	first, err := p.candidates(ctx)
	if err != nil {
		return err
	}
	if p.result.DryRun {
		for _, r := range byName(first) {
			p.result.Would = append(p.result.Would, r.Name)
		}
		return nil
	}
	if len(first) == 0 {
		return nil
	}
	doomed := byName(first)
	if !p.all {
		if doomed, err = p.lookAgain(ctx, first); err != nil {
			return err
		}
	}
	if len(doomed) == 0 || ask && !p.agreed(doomed) {
		return nil
	}
	for _, r := range doomed {
		if ctx.Err() != nil {
			p.result.Failed[r.Name] = "interrupted before it was removed"
			continue
		}
		p.remove(ctx, r)
	}
	return nil
}

// lookAgain waits, and keeps those that are still offline: the same
// registrations, not others of the same names.
func (p *pruning) lookAgain(ctx context.Context, first map[int64]register.Runner) ([]register.Runner, error) {
	fmt.Fprintf(p.call.Stderr, "%s offline: looking again in %s (RUNNER_PRUNE_AGE)\n", plural(len(first), "runner"), p.config.PruneAge)
	timer := time.NewTimer(p.config.PruneAge)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	again, cancel := context.WithTimeout(ctx, pruneBudget)
	defer cancel()
	seen := map[int64]register.Runner{}
	for runner, err := range p.github.Runners(again) {
		if err != nil {
			return nil, err
		}
		seen[runner.ID] = runner
	}
	var doomed []register.Runner
	for _, r := range byName(first) {
		now, there := seen[r.ID]
		switch {
		case !there:
			p.result.Gone = append(p.result.Gone, r.Name)
		case state(now) != "offline":
			p.result.CameBack = append(p.result.CameBack, r.Name)
		default:
			doomed = append(doomed, now)
		}
	}
	return doomed, nil
}

// agreed asks on the terminal.
func (p *pruning) agreed(doomed []register.Runner) bool {
	for _, r := range doomed {
		fmt.Fprintf(p.call.Stderr, "  %s (%s)\n", printable(r.Name), state(r))
	}
	fmt.Fprintf(p.call.Stderr, "Remove %s? [y/N] ", plural(len(doomed), "runner"))
	answer, _ := bufio.NewReader(p.call.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// remove deletes one runner. GitHub refuses that for one that runs a job: it is
// kept, or its run is cancelled first.
func (p *pruning) remove(ctx context.Context, r register.Runner) {
	budget := pruneBudget
	if p.cancel {
		budget = cancelPatience
	}
	ctx, end := context.WithTimeout(ctx, budget)
	defer end()
	busy, err := p.github.DeleteRunner(ctx, r.ID)
	if err == nil && busy && p.cancel {
		busy, err = p.cancelAndRemove(ctx, r)
	}
	switch {
	case err != nil:
		p.result.Failed[r.Name] = err.Error()
		if p.worst == nil || exitCode(err) > exitCode(p.worst) {
			p.worst = err
		}
	case busy:
		p.result.Busy = append(p.result.Busy, r.Name)
	default:
		p.result.Removed = append(p.result.Removed, r.Name)
	}
}

// cancelAndRemove cancels the run whose job a runner runs, and waits until the
// runner can be deleted.
func (p *pruning) cancelAndRemove(ctx context.Context, r register.Runner) (busy bool, err error) {
	repositories, err := p.repositories(ctx)
	if err != nil {
		return true, err
	}
	cancelled := false
	for _, repository := range repositories {
		jobs, err := p.unfinished(ctx, repository)
		if err != nil {
			return true, err
		}
		for _, job := range jobs {
			if job.RunnerID != r.ID {
				continue
			}
			fmt.Fprintf(p.call.Stderr, "cancelling run %d of %s, which %s runs\n", job.RunID, printable(repository), printable(r.Name))
			if err := p.github.CancelRun(ctx, repository, job.RunID); err != nil {
				return true, err
			}
			cancelled = true
		}
	}
	if !cancelled {
		return true, fmt.Errorf("%w: it is busy, and none of the repositories that the credentials can see has a job on it: cancel its run on the run's page", register.ErrConfiguration)
	}
	for {
		if busy, err := p.github.DeleteRunner(ctx, r.ID); err != nil || !busy {
			return busy, err
		}
		select {
		case <-time.After(cancelPause):
		case <-ctx.Done():
			return true, fmt.Errorf("%w: its run was cancelled, but GitHub still calls it busy: try again in some minutes", register.ErrUnreachable)
		}
	}
}

// tell prints the summary.
func (p *pruning) tell() {
	r, out := &p.result, p.call.Stdout
	line := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(out, "%s: %s\n", what, quoted(allShown(names)))
		}
	}
	if r.DryRun {
		line("would remove", r.Would)
		line("busy, kept", r.Busy)
		switch {
		case len(r.Would) == 0:
			fmt.Fprintln(out, "nothing to remove")
		case !p.all:
			fmt.Fprintf(out, "if still offline after %s (RUNNER_PRUNE_AGE); nothing was removed\n", p.config.PruneAge)
		}
		return
	}
	line("removed", r.Removed)
	line("gone by themselves", r.Gone)
	line("came back, kept", r.CameBack)
	line("busy, kept", r.Busy)
	for _, name := range sortedKeys(r.Failed) {
		fmt.Fprintln(out, wrapped("failed: "+printable(name+": "+r.Failed[name]), 0))
	}
	if len(r.Removed)+len(r.Gone)+len(r.CameBack)+len(r.Busy)+len(r.Failed) == 0 {
		fmt.Fprintln(out, "nothing to remove")
	}
}
