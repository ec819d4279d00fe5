package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

const checkHelp = `Checks everything that can be wrong, before it is: variables, credentials and
their rights, the organization, its policy and runner group, the repositories,
the runner's version, the clock, the network, this container. With --env-file
also what docker compose, docker run and others on this machine make of the file.

  org-runner --env-file .env check           on the host
  docker compose run --rm runner check       in a container, with its folders
  org-runner --env-file .env check --json    for scripts: a list of check, result
                                             (ok, warn, fail, skip), detail, remedy

  FAIL  group: organization acme has no runner group "Trustd"
        -> set RUNNER_GROUP to one that exists (Default, Trusted), or create it
        under Settings, Actions, Runner groups

Each line is ok, warn, FAIL or skip (could not be looked at, and why), with what
to do below it. Nothing is changed. Exit code: 0, also with warnings; otherwise
of the worst failure, in this order: 78 configuration, without which nothing else
can be judged; 77 credentials; 69 GitHub could not be reached.`

// checkBudget bounds each question: what is not there within it is not there.
const checkBudget = 5 * time.Second

// The checks, by the names that scripts know, in the order of the output.
const (
	onVariables    = "variables"
	onCredentials  = "credentials"
	onClock        = "clock"
	onTarget       = "target"
	onPolicy       = "policy"
	onGroup        = "group"
	onRepositories = "repositories"
	onName         = "name"
	onLabels       = "labels"
	onVersion      = "version"
	onRateLimit    = "rate limit"
	onNetwork      = "network"
	onRunnerFolder = "runner folder"
	onWorkFolder   = "work folder"
	onReset        = "reset"
	onHooks        = "hooks"
	onDisk         = "disk"
	onRecords      = "records"
	onDocker       = "docker"
)

var (
	allChecks = []string{onVariables, onCredentials, onClock, onTarget, onPolicy, onGroup, onRepositories, onName, onLabels, onVersion, onRateLimit,
		onNetwork, onRunnerFolder, onWorkFolder, onReset, onHooks, onDisk, onRecords, onDocker}
	ofTarget    = []string{onPolicy, onGroup, onRepositories, onName, onVersion, onRateLimit} // what only GitHub can tell, once it knows us
	ofContainer = []string{onRunnerFolder, onWorkFolder, onReset, onHooks, onDisk, onRecords, onDocker}
)

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
	return finding{Check: check, Result: good, Detail: printable(fmt.Sprintf(format, values...))}
}

func warn(check, detail, remedy string) finding {
	return finding{Check: check, Result: doubt, Detail: printable(detail), Remedy: printable(remedy)}
}

func fail(check, detail, remedy string) finding {
	return finding{Check: check, Result: bad, Detail: printable(detail), Remedy: printable(remedy), code: exitConfiguration}
}

func skip(check, format string, values ...any) finding {
	return finding{Check: check, Result: skipped, Detail: printable(fmt.Sprintf(format, values...))}
}

// notChecked says of several checks why they could not be made.
func notChecked(why string, checks ...string) (findings []finding) {
	for _, check := range checks {
		findings = append(findings, skip(check, "not checked: %s", why))
	}
	return findings
}

// refused makes a finding of an error of GitHub's.
func refused(check string, err error) finding {
	f := finding{Check: check, Result: bad, Detail: err.Error(), code: exitCode(err)}
	var e *register.Error
	if errors.As(err, &e) {
		plain := *e
		plain.Remedy = ""
		f.Detail, f.Remedy = plain.Error(), e.Remedy
	}
	return f
}

// invisible tells whether an error only says that the credentials may not look,
// and why; of what they need not see that is no failure.
func invisible(err error) (why string, yes bool) {
	var e *register.Error
	switch {
	case errors.Is(err, register.ErrNotFound):
		return "this server does not tell it to these credentials", true
	case errors.Is(err, register.ErrCredentials) && errors.As(err, &e):
		return e.Remedy, true
	}
	return "", false
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
	if ctx.Err() != nil {
		fmt.Fprintln(call.Stderr, "org-runner: interrupted: not everything was checked")
		return silent{ctx.Err(), exitSignal + int(syscall.SIGINT)}
	}
	if *asJSON {
		encoder := json.NewEncoder(call.Stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(findings); err != nil {
			return err
		}
	} else {
		tellFindings(call.Stdout, newPalette(call, call.Stdout), findings)
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

// tellFindings writes a line for each finding, and what to do below it. Checks
// that were left out for the same reason share one.
func tellFindings(w io.Writer, p palette, findings []finding) {
	words := map[verdict]string{good: "ok  ", doubt: "warn", bad: "FAIL", skipped: "skip"}
	colours := map[verdict]string{good: green, doubt: yellow, bad: red, skipped: dim}
	const indent = 6
	count := map[verdict]int{}
	for i := 0; i < len(findings); i++ {
		f := findings[i]
		count[f.Result]++
		names := f.Check
		for f.Result == skipped && i+1 < len(findings) && findings[i+1].Result == skipped && findings[i+1].Detail == f.Detail {
			i++
			count[skipped]++
			names += ", " + findings[i].Check
		}
		text := wrapped(printable(names+": "+f.Detail), indent)
		fmt.Fprintf(w, "%s  %s\n", p.paint(colours[f.Result], words[f.Result]), text[indent:])
		if f.Remedy != "" {
			fmt.Fprintln(w, wrapped("-> "+printable(f.Remedy), indent))
		}
	}
	fmt.Fprintf(w, "\n%d ok, %s, %s, %d skipped\n", count[good], plural(count[doubt], "warning"), plural(count[bad], "failure"), count[skipped])
}

// checkAll runs all checks, side by side where they do not depend on each other,
// and returns their findings in a fixed order.
func checkAll(ctx context.Context, call Invocation) []finding {
	c, err := call.parse(config.ThisMachine())
	var problems config.Problems
	if errors.As(err, &problems) {
		var findings []finding
		for _, p := range problems {
			findings = append(findings, fail(onVariables, p.Variable+" "+p.Cause, p.Remedy))
		}
		findings = append(findings, call.otherwise...)
		return append(findings, notChecked("the variables have to be right first", allChecks[1:]...)...)
	}
	if err != nil {
		return []finding{{Check: onVariables, Result: bad, Detail: err.Error(), code: exitInternal}}
	}
	findings := []finding{ok(onVariables, "all are well-formed")}
	for _, warning := range c.Warnings {
		findings = append(findings, warn(onVariables, warning, ""))
	}
	findings = append(findings, call.otherwise...)
	findings = append(findings, checkLabels(c))
	findings = append(findings, checkSudo(c)...)
	checks := []func(context.Context) []finding{
		func(ctx context.Context) []finding { return checkNetwork(ctx, c) },
		func(context.Context) []finding { return checkHere(c, call.Environ) },
	}
	// What was tried again stands in the finding; it needs no line for each time.
	r, err := connect(call, c, func(o *register.Options) { o.Log = zerolog.Nop() })
	switch {
	case err != nil && (c.Credentials.Kind == config.RegistrationToken || c.Credentials.Kind == config.JITConfig):
		findings = append(findings, skip(onCredentials, "not checked: a ready RUNNER_TOKEN or RUNNER_JITCONFIG gives no access to the API: whether it is still good shows at the start"))
		findings = append(findings, notChecked("without access to the API", append([]string{onTarget}, ofTarget...)...)...)
	case err != nil:
		findings = append(findings, refused(onCredentials, err))
		findings = append(findings, notChecked("the credentials have to be right first", append([]string{onTarget}, ofTarget...)...)...)
	default:
		checks = append(checks, r.checkGitHub)
	}
	findings = append(findings, sideways(ctx, checks)...)
	sortBy(findings, func(a, b finding) int { return slices.Index(allChecks, a.Check) - slices.Index(allChecks, b.Check) })
	return findings
}

// checkLabels shows what a job can ask for; config has judged it.
func checkLabels(c config.Config) finding {
	if c.Credentials.Kind == config.JITConfig {
		return skip(onLabels, "not checked: RUNNER_JITCONFIG decides them")
	}
	return ok(onLabels, "%s", quoted(c.Labels))
}

// sideways runs checks at once and keeps their order.
func sideways(ctx context.Context, checks []func(context.Context) []finding) []finding {
	found := make([][]finding, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { found[i] = check(ctx) })
	}
	all.Wait()
	return slices.Concat(found...)
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
