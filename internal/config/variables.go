package config

import (
	"reflect"
	"slices"
	"sync"
)

// raw is the environment as it comes: the one table of all variables. An empty
// variable is an unset one. desc is what .env.example says of it.
type raw struct {
	Token                 string `env:"GITHUB_TOKEN" secret:"true" desc:"token that may register runners: classic (admin:org), fine-grained (Self-hosted runners: write) or OAuth"`
	TokenFile             string `env:"GITHUB_TOKEN_FILE" desc:"file that holds the token instead"`
	AppID                 string `env:"GITHUB_APP_ID" desc:"GitHub App instead of a token: its id or client id"`
	AppKey                string `env:"GITHUB_APP_PRIVATE_KEY" secret:"true" desc:"the App's private key, PEM; line ends may be written as \\n"`
	AppKeyFile            string `env:"GITHUB_APP_PRIVATE_KEY_FILE" desc:"file that holds the App's private key instead"`
	AppInstallation       string `env:"GITHUB_APP_INSTALLATION_ID" desc:"id of the App's installation; looked up if unset"`
	RegistrationToken     string `env:"RUNNER_TOKEN" secret:"true" desc:"a ready registration token instead, good for one hour: no access to the API"`
	RegistrationTokenFile string `env:"RUNNER_TOKEN_FILE" desc:"file that holds the ready registration token instead"`
	JITConfig             string `env:"RUNNER_JITCONFIG" secret:"true" desc:"a ready JIT configuration instead"`
	JITConfigFile         string `env:"RUNNER_JITCONFIG_FILE" desc:"file that holds the ready JIT configuration instead"`
	MonitorToken          string `env:"MONITOR_GITHUB_TOKEN" secret:"true" desc:"token of the command monitor instead of all of the above: read access is enough"`
	MonitorHosts          string `env:"MONITOR_HOSTS" desc:"names that the monitor answers to, with commas, beside loopback and its own address"`
	Organization          string `env:"GITHUB_ORGANIZATION" desc:"the organization's name; exactly one of organization, repository, enterprise"`
	Repository            string `env:"GITHUB_REPOSITORY" desc:"a repository instead, as owner/name"`
	Enterprise            string `env:"GITHUB_ENTERPRISE" desc:"an enterprise's slug instead"`
	ServerURL             string `env:"GITHUB_SERVER_URL" default:"https://github.com" desc:"GitHub Enterprise Server or NAME.ghe.com otherwise"`
	APIURL                string `env:"GITHUB_API_URL" desc:"derived from the server's address unless set"`
	Name                  string `env:"RUNNER_NAME" default:"ephemeral-org-runner" desc:"the runner's name; at most 64 characters with the suffix"`
	NameSuffix            string `env:"RUNNER_NAME_SUFFIX" default:"hostname" desc:"what keeps replicas apart: hostname (shortened if it does not fit), random or none"`
	Group                 string `env:"RUNNER_GROUP" default:"default" desc:"the runner group, by name"`
	Labels                string `env:"LABELS" default:"self-hosted,Linux,X64,ephemeral,docker,org-runner" desc:"labels for runs-on, with commas; the architecture as it is; owner/name is allowed"`
	NoDefaultLabels       string `env:"NO_DEFAULT_LABELS" default:"false" desc:"true: only what LABELS says, whose default is then without self-hosted, Linux and X64"`
	DisableAutoUpdate     string `env:"DISABLE_AUTO_UPDATE" default:"false" desc:"true: the runner does not update itself; rebuild the image within 30 days of a release"`
	Ephemeral             string `env:"EPHEMERAL" default:"true" desc:"one job, then out; false: job after job in the same container"`
	Registration          string `env:"RUNNER_REGISTRATION" default:"config" desc:"config (config.sh) or jit (just-in-time, one call)"`
	Home                  string `env:"RUNNER_HOME" default:"/home/runner" desc:"folder of the official runner's config.sh"`
	WorkDir               string `env:"RUNNER_WORKDIR" default:"_work" desc:"folder of the jobs, relative to RUNNER_HOME or absolute"`
	AllowedRepositories   string `env:"ALLOWED_REPOSITORIES" desc:"names or owner/name with commas, * allowed: jobs of others fail before their first step"`
	RegisterTimeout       string `env:"RUNNER_REGISTER_TIMEOUT" default:"15m" desc:"how long to try to register, 10s to 24h"`
	StopGrace             string `env:"RUNNER_STOP_GRACE" default:"10s" desc:"what the engine gives between SIGTERM and SIGKILL, 1s to 6h"`
	OnReuse               string `env:"RUNNER_ON_REUSE" default:"reset" desc:"in a container or on a volume that has run before: reset what jobs wrote, or refuse to start"`
	User                  string `env:"RUNNER_USER" default:"runner" desc:"whose uid config.sh and run.sh get when the container is started as root"`
	Watchdog              string `env:"RUNNER_WATCHDOG" default:"5m" desc:"how often an idle runner asks GitHub whether it is still there, 1s to 24h; 0: never"`
	PruneAge              string `env:"RUNNER_PRUNE_AGE" default:"2m" desc:"time between the two sightings of prune, 1s to 24h"`
	Records               string `env:"RUNNER_RECORDS" desc:"file of job records (JSON Lines)"`
	MetricsAddr           string `env:"METRICS_ADDR" desc:"address of /metrics, /healthz and /readyz, as in :9100"`
	LogLevel              string `env:"LOG_LEVEL" default:"info" desc:"trace, debug, info, warn or error"`
	LogFormat             string `env:"LOG_FORMAT" default:"console" desc:"console or json"`
}

// Variable is one row of the table of variables.
type Variable struct {
	Name        string
	Default     string // "" if there is none
	Description string
	Secret      bool // its value is a credential
}

// Variables returns the table, in the order in which people should read it.
func Variables() []Variable {
	fields := reflect.VisibleFields(reflect.TypeFor[raw]())
	table := make([]Variable, len(fields))
	for i, field := range fields {
		table[i] = Variable{
			Name:        field.Tag.Get("env"),
			Default:     field.Tag.Get("default"),
			Description: field.Tag.Get("desc"),
			Secret:      field.Tag.Get("secret") == "true",
		}
	}
	return table
}

var names = sync.OnceValue(func() []string {
	var all []string
	for _, v := range Variables() {
		all = append(all, v.Name)
	}
	return all
})

// Names returns the names of all variables.
func Names() []string { return slices.Clone(names()) }

// IsOurs tells whether a variable is one of ours, which no child may see.
func IsOurs(name string) bool { return slices.Contains(names(), name) }
