// Org-runner is the entrypoint of a self-hosted GitHub Actions runner container.
// It asks GitHub for a registration token of the organization, runs the official
// runner's config.sh and run.sh, and takes the runner off GitHub again when the
// container stops.
//
//	org-runner [--env-file FILE] [command] [options]
//
// Commands:
//
//	run          the life of one runner (also without a command)
//	check        is everything right, and if not, what to do
//	status       this container's runner
//	org-status   all runners of the organization
//	prune        remove dead runners of this fleet
//	monitor      a page and metrics of the whole organization
//	migrate      from a repository's runners to the organization's
//	rollback     back to the repository's
//	healthcheck  for HEALTHCHECK: 0 healthy, 1 not
//	version      the build's facts
//	help         this, or: help COMMAND
//
// It is configured by its environment. An empty variable is an unset one; a
// malformed one is an error, and all errors are reported together. Those that
// end in _FILE name a file that holds the value.
//
// Who may register (exactly one kind):
//
//	GITHUB_TOKEN, GITHUB_TOKEN_FILE  classic token (scope admin:org), fine-grained token (Self-hosted runners: write) or OAuth token
//	GITHUB_APP_ID                    GitHub App instead: its id or client id
//	GITHUB_APP_PRIVATE_KEY, GITHUB_APP_PRIVATE_KEY_FILE  the App's key, PEM
//	GITHUB_APP_INSTALLATION_ID       looked up if unset
//	RUNNER_TOKEN, RUNNER_TOKEN_FILE  a ready registration token: no access to the API
//	RUNNER_JITCONFIG, RUNNER_JITCONFIG_FILE  a ready JIT configuration
//	MONITOR_GITHUB_TOKEN             for the command monitor alone, instead of all of them
//	MONITOR_HOSTS                    names that the monitor answers to, beside loopback and its own address
//
// For whom (exactly one):
//
//	GITHUB_ORGANIZATION  the organization's name
//	GITHUB_REPOSITORY    owner/name
//	GITHUB_ENTERPRISE    the enterprise's slug
//	GITHUB_SERVER_URL    https://github.com, or a GitHub Enterprise Server, or NAME.ghe.com
//	GITHUB_API_URL       from the server's, unless set
//
// The runner:
//
//	RUNNER_NAME           ephemeral-org-runner; at most 64 characters with the suffix
//	RUNNER_NAME_SUFFIX    hostname, random or none (then no other name is taken beside a living runner)
//	RUNNER_GROUP          default; by name
//	LABELS                self-hosted,Linux,X64,ephemeral,docker,org-runner (the architecture as it is)
//	NO_DEFAULT_LABELS     false; true: the runner adds no labels of its own
//	DISABLE_AUTO_UPDATE   false
//	EPHEMERAL             true: one job, then out
//	RUNNER_REGISTRATION   config (config.sh) or jit
//	RUNNER_HOME           /home/runner: where config.sh is
//	RUNNER_WORKDIR        _work
//	RUNNER_USER           runner: who config.sh and run.sh run as when the container is started as root
//	ALLOWED_REPOSITORIES  names or owner/name, * allowed: jobs of others fail before their first step
//
// Its life:
//
//	RUNNER_REGISTER_TIMEOUT  15m: how long to try
//	RUNNER_STOP_GRACE        10s: what the engine gives between SIGTERM and SIGKILL
//	RUNNER_ON_REUSE          reset or refuse: a container or volume that has run before
//	RUNNER_WATCHDOG          5m: how often an idle runner asks GitHub whether it is still there; 0: never
//	RUNNER_PRUNE_AGE         2m: between the two sightings of prune
//	RUNNER_RECORDS           file of job records (JSON Lines)
//	METRICS_ADDR             address of /metrics, /healthz and /readyz
//	LOG_LEVEL                info; trace, debug, info, warn, error
//	LOG_FORMAT               console or json
//
// All other variables pass through to the official runner, but for those with one
// of these credentials in them. HTTPS_PROXY, HTTP_PROXY and NO_PROXY (in small
// letters too), SSL_CERT_FILE and SSL_CERT_DIR hold for our own requests too.
//
// A first SIGTERM or SIGINT drains, a second one cancels the job, a third one
// kills it. So do SIGQUIT, SIGHUP, SIGABRT and the others that would end a program.
//
// Exit codes: 0 done; 7 GitHub refuses the runner's version; 64 usage; 69 GitHub
// unreachable; 70 a fault of our own; 75 the runner failed, try again; 77
// credentials refused, by GitHub or a proxy; 78 configuration wrong; 128+n the signal n could not be
// answered cleanly.
package main

import (
	"io"
	"os"

	"github.com/virtuoso902/org-runner/internal/cli"
)

// Facts of the build, set by the linker.
var (
	version       = "dev"
	commit        = "unknown"
	runnerVersion = "unknown" // the official runner that the image was built with
)

func main() {
	cli.CatchStops()
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything that it depends on as an argument.
func run(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Main(cli.Invocation{
		Args: args, Environ: environ, Stdin: stdin, Stdout: stdout, Stderr: stderr,
		Build: cli.Build{Version: version, Commit: commit, Runner: runnerVersion},
	})
}
