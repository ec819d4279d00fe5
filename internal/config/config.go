// Package config turns the environment into one validated value. It is the only
// place that reads variables, and it reads them once.
package config

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// CredentialsKind says with what we show GitHub who we are.
type CredentialsKind int

// The kinds of credentials; exactly one is given.
const (
	Token             CredentialsKind = iota + 1 // GITHUB_TOKEN
	App                                          // GITHUB_APP_ID
	RegistrationToken                            // RUNNER_TOKEN: no access to the API
	JITConfig                                    // RUNNER_JITCONFIG: no access to the API
)

// Credentials are what GitHub knows us by.
type Credentials struct {
	Kind           CredentialsKind
	Token          secret.String // of every kind but App
	AppID          string        // numeric id or client id: GitHub takes both
	AppKey         secret.String // PEM
	InstallationID int64         // 0: to be looked up
}

// TargetKind says what a runner is registered for.
type TargetKind int

// The kinds of targets; exactly one is given.
const (
	Organization TargetKind = iota + 1
	Repository
	Enterprise
)

// Target is whom the runner serves; a repository's name is owner/name.
type Target struct {
	Kind TargetKind
	Name string
}

// Registration is how the official runner is configured.
type Registration string

// The values of RUNNER_REGISTRATION.
const (
	ByConfig Registration = "config" // config.sh with a registration token
	JIT      Registration = "jit"    // a just-in-time configuration
)

// Config is the validated configuration.
type Config struct {
	Credentials  Credentials
	MonitorToken secret.String // not used unless Machine.Monitor says so
	Target       Target
	ServerURL    *url.URL // without a trailing slash
	APIURL       *url.URL // without a trailing slash

	Name              string // with its suffix, at most 64 characters
	NameBase          string // without: the fleet's prefix
	NameFixed         bool   // RUNNER_NAME_SUFFIX is none: no other name may be taken
	Group             string
	Labels            []string
	JITLabels         []string // the same, where the runner adds none itself
	NoDefaultLabels   bool
	DisableAutoUpdate bool
	Ephemeral         bool
	Registration      Registration
	Home, WorkDir     string
	User              string

	AllowedRepositories AllowList

	RegisterTimeout, StopGrace, Watchdog, PruneAge time.Duration

	Records, MetricsAddr string   // "": none
	MonitorHosts         []string // lower case, without ports

	OnReuse             string // reset or refuse
	LogLevel, LogFormat string

	Environ  []string        // what programs that are started may have of the environment
	Warnings []string        // what is allowed, and probably not meant
	Secrets  []secret.String // all that must not be printed, those read from files included
}

// Machine is what a configuration depends on beside the environment.
type Machine struct {
	Hostname string
	Arch     string // as runtime.GOARCH
	UID      int    // whose files are read, and, unless it is 0, whose jobs run
	ReadFile func(path string) ([]byte, os.FileInfo, error)
	Random   func() string          // eight characters for RUNNER_NAME_SUFFIX=random
	Sudo     func(user string) bool // whether a user may become root without a password
	Monitor  bool                   // the command monitor asks: MONITOR_GITHUB_TOKEN goes before all other credentials
}

// ThisMachine returns the one that we run on.
func ThisMachine() Machine {
	hostname, _ := os.Hostname() // "": reported when it is needed
	return Machine{
		Hostname: hostname,
		Arch:     runtime.GOARCH,
		UID:      os.Getuid(),
		ReadFile: readFile,
		Sudo:     maySudo,
		Random: func() string {
			b := make([]byte, 4)
			_, _ = rand.Read(b) // never fails (crypto/rand)
			return hex.EncodeToString(b)
		},
	}
}

// Parse reads the environment ("NAME=value" each). When something is wrong, the
// error is a Problems with all of it.
func Parse(environ []string, machine Machine) (Config, error) {
	p := &parser{machine: machine, set: toMap(environ), settled: make(map[string]bool)}
	p.tidy()
	if err := env.ParseWithOptions(&p.raw, env.Options{Environment: p.set, DefaultValueTagName: "default"}); err != nil {
		return Config{}, err // every field is a string: only a fault of the table itself
	}
	p.findStrangers()
	p.credentials()
	p.target()
	p.addresses()
	p.proxies()
	p.authorities()
	p.runner()
	p.life()
	p.monitorHosts()
	p.withoutEffect()
	p.children(environ)
	if len(p.problems) > 0 {
		return Config{}, p.problems.sorted()
	}
	c := &p.config
	c.Secrets = append(Secrets(environ), c.Credentials.Token, c.Credentials.AppKey, c.MonitorToken)
	return p.config, nil
}

// toMap drops empty variables: compose passes them for unset ones. White space
// around a value comes from env files with Windows line ends.
func toMap(environ []string) map[string]string {
	variables := make(map[string]string, len(environ))
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if value = strings.TrimSpace(value); value != "" {
			variables[name] = value
		}
	}
	return variables
}

// Home returns RUNNER_HOME for the commands that need nothing else.
func Home(environ []string) string {
	if home := toMap(environ)["RUNNER_HOME"]; home != "" {
		return home
	}
	return "/home/runner"
}

// DockerHost returns DOCKER_HOST, by which jobs find an engine; "": not set.
func DockerHost(environ []string) string { return toMap(environ)["DOCKER_HOST"] }

// Hook is what the official runner tells the job-started hook.
type Hook struct {
	Socket, Repository, Workflow, RunID, RunURL, Actor string
	Attempt                                            int // 0: not told
}

// ReadHook reads the variables of a hook's environment.
func ReadHook(environ []string) Hook {
	v := toMap(environ)
	h := Hook{Socket: v["ORG_RUNNER_SOCKET"], Repository: v["GITHUB_REPOSITORY"], Workflow: v["GITHUB_WORKFLOW"], RunID: v["GITHUB_RUN_ID"], Actor: v["GITHUB_ACTOR"]}
	h.Attempt, _ = strconv.Atoi(v["GITHUB_RUN_ATTEMPT"])
	if v["GITHUB_SERVER_URL"] != "" && h.Repository != "" && h.RunID != "" {
		h.RunURL = v["GITHUB_SERVER_URL"] + "/" + h.Repository + "/actions/runs/" + h.RunID
	}
	return h
}

// Problem is one thing that is wrong with the configuration.
type Problem struct{ Variable, Cause, Remedy string }

// Problems is everything that is wrong with it.
type Problems []Problem

func (p Problems) Error() string {
	var text strings.Builder
	text.WriteString("the configuration is wrong:")
	for _, problem := range p {
		fmt.Fprintf(&text, "\n  %s %s\n    %s", problem.Variable, problem.Cause, problem.Remedy)
	}
	return text.String()
}
