package cli

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
)

// commands is the table of all of them, in the order of help.
func commands() []command {
	return []command{
		{name: "run", summary: "the life of one runner (also without a command)", run: runLife,
			help: "Registers a runner, runs it until its work is done or a signal comes, and takes it\noff GitHub. A first SIGTERM or SIGINT drains, a second one cancels the job, a third\none kills it.\n\n  docker run --rm --env-file .env org-runner\n\nIt has no options: it is configured by environment variables."},
		{name: "check", summary: "is everything right, and if not, what to do", run: check, help: checkHelp},
		{name: "status", summary: "this container's runner", run: status, help: statusHelp},
		{name: "org-status", summary: "all runners of the organization", run: orgStatus, help: orgStatusHelp},
		{name: "prune", summary: "remove dead runners of this fleet", run: prune, help: pruneHelp},
		{name: "monitor", summary: "a page and metrics of the whole organization", run: runMonitor, help: monitorHelp},
		{name: "migrate", summary: "from a repository's runners to the organization's", run: migrate, help: migrateHelp},
		{name: "rollback", summary: "back to the repository's", run: rollback, help: rollbackHelp},
		{name: "healthcheck", summary: "for HEALTHCHECK: 0 healthy, 1 not", run: healthcheck, help: healthcheckHelp},
		{name: "hook", hidden: true, run: hook},
		{name: "sweep", hidden: true, run: sweep}, // called by the reset
		{name: "version", summary: "the build's facts", run: version, help: "  org-runner version"},
		{name: "help", summary: "this, or: help COMMAND", run: help},
	}
}

func help(call Invocation) error {
	if len(call.Args) == 0 {
		var text strings.Builder
		text.WriteString("org-runner: the entrypoint of a self-hosted GitHub Actions runner container\n\n  org-runner [--env-file FILE] [command] [options]\n\n")
		for _, c := range commands() {
			if !c.hidden {
				fmt.Fprintf(&text, "  %-11s  %s\n", c.name, c.summary)
			}
		}
		text.WriteString("\nConfigured by environment variables: README.md and .env.example list them.\nIt needs GITHUB_ORGANIZATION and GITHUB_TOKEN at least.\n")
		_, err := fmt.Fprint(call.Stdout, text.String())
		return err
	}
	for _, c := range commands() {
		if c.name == call.Args[0] && !c.hidden {
			_, err := fmt.Fprintf(call.Stdout, "org-runner %s: %s\n\n%s\n", c.name, c.summary, c.help)
			return err
		}
	}
	return fmt.Errorf("%w: there is no command %q%s; org-runner help lists them", errUsage, call.Args[0], suggestion(call.Args[0]))
}

func version(call Invocation) error {
	if err := parseFlags(call, flag.NewFlagSet("version", flag.ContinueOnError), 0); err != nil {
		return err
	}
	commit := call.Build.Commit
	if info, ok := debug.ReadBuildInfo(); ok && commit == "unknown" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				commit = setting.Value
			}
		}
	}
	_, err := fmt.Fprintf(call.Stdout, "org-runner %s\ncommit %s\nofficial runner in the image %s\n%s %s/%s\n",
		call.Build.Version, commit, call.Build.Runner, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// suggestion names the command that was probably meant, if one is near.
func suggestion(name string) string {
	var known []string
	for _, c := range commands() {
		if !c.hidden {
			known = append(known, c.name)
		}
	}
	if best := config.Nearest(name, known); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}
