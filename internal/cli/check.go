package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

const checkHelp = `Checks everything that can be wrong, before it is: variables, credentials and
their rights, the organization, its policy and runner group, the repositories,
the runner's version, the clock, the network, this container.

  org-runner --env-file .env check           on the host
  docker compose run --rm runner check       in a container, with its folders
  org-runner --env-file .env check --json    for scripts

Each line is ok, warn, FAIL or skip (could not be looked at, and why), with what
to do below it. Nothing is changed. Exit code: 0, also with warnings; otherwise
of the worst failure, in this order: 78 configuration, 77 credentials, 69 GitHub
could not be reached.`

// checkBudget bounds each question: what is not there within it is not there.
const checkBudget = 8 * time.Second

// verdict is how one check ended.
type verdict string

const (
	good    verdict = "ok"
	doubt   verdict = "warn"
	bad     verdict = "fail"
	skipped verdict = "skip"
)

// finding is one line of check; its JSON is for scripts.
type finding struct {
	Check  string  `json:"check"`
	Result verdict `json:"result"`
	Detail string  `json:"detail"`
	Remedy string  `json:"remedy,omitempty"`
	code   int     // exit code of a failure
}

func ok(check, format string, values ...any) finding {
	return finding{Check: check, Result: good, Detail: fmt.Sprintf(format, values...)}
}

func warn(check, detail, remedy string) finding {
	return finding{Check: check, Result: doubt, Detail: detail, Remedy: remedy}
}

func fail(check, detail, remedy string) finding {
	return finding{Check: check, Result: bad, Detail: detail, Remedy: remedy, code: exitConfiguration}
}

func skip(check, format string, values ...any) finding {
	return finding{Check: check, Result: skipped, Detail: fmt.Sprintf(format, values...)}
}

// refused makes a finding of an error of GitHub's.
func refused(check string, err error) finding {
	f := finding{Check: check, Result: bad, Detail: err.Error(), code: exitCode(err)}
	var e *register.Error
	if errors.As(err, &e) {
		f.Remedy, e.Remedy = e.Remedy, ""
		f.Detail = err.Error()
		e.Remedy = f.Remedy
	}
	return f
}

func check(call Invocation) error {
	set := flag.NewFlagSet("check", flag.ContinueOnError)
	asJSON := set.Bool("json", false, "")
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	done := progress(call, "checking")
	findings := checkAll(ctx, call)
	done()
	if *asJSON {
		encoder := json.NewEncoder(call.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(findings); err != nil {
			return err
		}
	} else {
		tellFindings(call, findings)
	}
	if code := worst(findings); code != exitDone {
		return silent{errors.New("something is wrong"), code}
	}
	return nil
}

// worst is the exit code. What an operator has to write comes first: with a
// wrong variable nothing else can be judged.
func worst(findings []finding) int {
	code := exitDone
	rank := map[int]int{exitDone: 0, exitRunnerFailed: 1, exitInternal: 1, exitUnreachable: 2, exitCredentials: 3, exitConfiguration: 4}
	for _, f := range findings {
		if f.Result == bad && rank[f.code] > rank[code] {
			code = f.code
		}
	}
	return code
}

func tellFindings(call Invocation, findings []finding) {
	p := newPalette(call, call.Stdout)
	words := map[verdict]string{good: "ok  ", doubt: "warn", bad: "FAIL", skipped: "skip"}
	colours := map[verdict]string{good: green, doubt: yellow, bad: red, skipped: dim}
	const indent = 6
	count := map[verdict]int{}
	for _, f := range findings {
		count[f.Result]++
		text := wrapped(printable(f.Check+": "+f.Detail), indent)
		fmt.Fprintf(call.Stdout, "%s  %s\n", p.paint(colours[f.Result], words[f.Result]), text[indent:])
		if f.Remedy != "" {
			fmt.Fprintln(call.Stdout, wrapped("-> "+printable(f.Remedy), indent))
		}
	}
	fmt.Fprintf(call.Stdout, "\n%d ok, %s, %s, %d skipped\n", count[good], plural(count[doubt], "warning"), plural(count[bad], "failure"), count[skipped])
}

// checkAll runs all checks, side by side where they do not depend on each other,
// and returns their findings in a fixed order.
func checkAll(ctx context.Context, call Invocation) []finding {
	c, err := config.Parse(call.Environ, config.ThisMachine())
	var problems config.Problems
	if errors.As(err, &problems) {
		var findings []finding
		for _, p := range problems {
			findings = append(findings, fail(p.Variable, p.Cause, p.Remedy))
		}
		return append(findings, skip("the rest", "cannot be judged before the variables are right"))
	}
	if err != nil {
		return []finding{{Check: "variables", Result: bad, Detail: err.Error(), code: exitInternal}}
	}
	findings := []finding{ok("variables", "all are well-formed")}
	for _, warning := range c.Warnings {
		findings = append(findings, warn("variables", warning, ""))
	}
	checks := []func(context.Context) []finding{
		func(ctx context.Context) []finding { return checkNetwork(ctx, c) },
		func(ctx context.Context) []finding { return checkHere(call, c) },
	}
	r, err := connect(call, c)
	switch {
	case err != nil && (c.Credentials.Kind == config.RegistrationToken || c.Credentials.Kind == config.JITConfig):
		findings = append(findings, skip("GitHub", "a ready RUNNER_TOKEN or RUNNER_JITCONFIG gives no access to the API: whether it is still good shows at the start"))
	case err != nil:
		findings = append(findings, refused("credentials", err))
	default:
		checks = append([]func(context.Context) []finding{r.checkGitHub}, checks...)
	}
	return append(findings, sideways(ctx, checks)...)
}

// sideways runs checks at once, each with its own time, and keeps their order.
func sideways(ctx context.Context, checks []func(context.Context) []finding) []finding {
	found := make([][]finding, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { found[i] = check(ctx) })
	}
	all.Wait()
	var findings []finding
	for _, f := range found {
		findings = append(findings, f...)
	}
	return findings
}

// timed gives one question its time.
func timed(question func(context.Context) []finding) func(context.Context) []finding {
	return func(ctx context.Context) []finding {
		ctx, cancel := context.WithTimeout(ctx, checkBudget)
		defer cancel()
		return question(ctx)
	}
}

// quoted lists names for people.
func quoted(names []string) string { return strings.Join(names, ", ") }
