package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
)

// machine is one whose facts do not change.
func machine() config.Machine {
	m := config.ThisMachine()
	m.Hostname, m.Arch, m.UID, m.Random = "3f2a9c", "amd64", 0, func() string { return "0badcafe" }
	m.Sudo = func(string) bool { return false }
	return m
}

func parse(t *testing.T, environ ...string) config.Config {
	t.Helper()
	c, err := config.Parse(environ, machine())
	if err != nil {
		t.Fatalf("%v: %v", environ, err)
	}
	return c
}

const token, organization = "GITHUB_TOKEN=ghp_example", "GITHUB_ORGANIZATION=acme"

func TestDefaultsAreTheTable(t *testing.T) {
	c := parse(t, token, organization)
	if c.Credentials.Kind != config.Token || c.Credentials.Token.Reveal() != "ghp_example" {
		t.Errorf("credentials %+v", c.Credentials)
	}
	if c.Target != (config.Target{Kind: config.Organization, Name: "acme"}) {
		t.Errorf("target %+v", c.Target)
	}
	if c.ServerURL.String() != "https://github.com" || c.APIURL.String() != "https://api.github.com" {
		t.Errorf("addresses %s, %s", c.ServerURL, c.APIURL)
	}
	if c.Name != "ephemeral-org-runner-3f2a9c" || c.NameBase != "ephemeral-org-runner" || c.Group != "default" {
		t.Errorf("name %q, base %q, group %q", c.Name, c.NameBase, c.Group)
	}
	if got := strings.Join(c.Labels, ","); got != "self-hosted,Linux,X64,ephemeral,docker,org-runner" {
		t.Errorf("labels %s", got)
	}
	if !c.Ephemeral || c.NoDefaultLabels || c.DisableAutoUpdate || c.Registration != config.ByConfig {
		t.Errorf("switches %+v", c)
	}
	if c.Home != "/home/runner" || c.WorkDir != "_work" || c.User != "runner" || c.OnReuse != "reset" || c.LogLevel != "info" || c.LogFormat != "console" {
		t.Errorf("words %+v", c)
	}
	if c.RegisterTimeout != 15*time.Minute || c.StopGrace != 10*time.Second || c.Watchdog != 5*time.Minute || c.PruneAge != 2*time.Minute {
		t.Errorf("durations %+v", c)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings %v", c.Warnings)
	}
}

// Compose passes an empty value for every variable that is not set.
func TestEmptyIsUnset(t *testing.T) {
	environ := []string{token, organization}
	for _, name := range config.Names() {
		if name != "GITHUB_TOKEN" && name != "GITHUB_ORGANIZATION" {
			environ = append(environ, name+"=")
		}
	}
	got, want := parse(t, environ...), parse(t, token, organization)
	got.Credentials, want.Credentials = config.Credentials{}, config.Credentials{}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("with empties %+v\nwithout %+v", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for server, api := range map[string]string{
		"https://github.com/":          "https://api.github.com",
		"https://acme.ghe.com":         "https://api.acme.ghe.com",
		"https://git.example.com":      "https://git.example.com/api/v3",
		"https://git.example.com:8443": "https://git.example.com:8443/api/v3",
		"http://127.0.0.1:8080":        "http://127.0.0.1:8080/api/v3",
		"http://[::1]:8080":            "http://[::1]:8080/api/v3",
		"http://localhost:8080":        "http://localhost:8080/api/v3",
	} {
		c := parse(t, token, organization, "GITHUB_SERVER_URL="+server)
		if c.APIURL.String() != api || c.ServerURL.String() != strings.TrimSuffix(server, "/") {
			t.Errorf("%s: server %s, API %s", server, c.ServerURL, c.APIURL)
		}
	}
	if c := parse(t, token, organization, "GITHUB_SERVER_URL=https://GitHub.com:443"); c.ServerURL.String() != "https://github.com" || c.APIURL.String() != "https://api.github.com" {
		t.Errorf("server %s, API %s", c.ServerURL, c.APIURL)
	}
	if c := parse(t, token, organization, "GITHUB_API_URL=https://proxy.example.com/api/"); c.APIURL.String() != "https://proxy.example.com/api" {
		t.Errorf("API %s", c.APIURL)
	}
}

func TestNamesAndLabels(t *testing.T) {
	for _, row := range []struct {
		environ []string
		name    string
		labels  string
	}{
		{[]string{"RUNNER_NAME=a", "RUNNER_NAME_SUFFIX=none"}, "a", "self-hosted,Linux,X64,ephemeral,docker,org-runner"},
		{[]string{"RUNNER_NAME=a", "RUNNER_NAME_SUFFIX=random"}, "a-0badcafe", "self-hosted,Linux,X64,ephemeral,docker,org-runner"},
		{[]string{"LABELS= acme/coach , GPU,gpu,, "}, "ephemeral-org-runner-3f2a9c", "acme/coach,GPU"},
		{[]string{"NO_DEFAULT_LABELS=yes"}, "ephemeral-org-runner-3f2a9c", "ephemeral,docker,org-runner"},
		{[]string{"NO_DEFAULT_LABELS=yes", "LABELS=self-hosted,gpu"}, "ephemeral-org-runner-3f2a9c", "self-hosted,gpu"},
		{[]string{"LABELS=gpu,linux", "RUNNER_REGISTRATION=jit"}, "ephemeral-org-runner-3f2a9c", "self-hosted,X64,gpu,linux"},
		{[]string{"LABELS=gpu", "RUNNER_REGISTRATION=jit"}, "ephemeral-org-runner-3f2a9c", "self-hosted,Linux,X64,gpu"},
		{[]string{"LABELS=gpu", "RUNNER_REGISTRATION=jit", "NO_DEFAULT_LABELS=true"}, "ephemeral-org-runner-3f2a9c", "gpu"},
		{[]string{"EPHEMERAL=false"}, "ephemeral-org-runner-3f2a9c", "self-hosted,Linux,X64,docker,org-runner"},
	} {
		c := parse(t, append(row.environ, token, organization)...)
		if got := strings.Join(c.Labels, ","); c.Name != row.name || got != row.labels {
			t.Errorf("%v: %s, %s", row.environ, c.Name, got)
		}
	}
	m := machine()
	m.Arch = "arm64"
	c, err := config.Parse([]string{token, organization}, m)
	if err != nil || !slices.Contains(c.Labels, "ARM64") || slices.Contains(c.Labels, "X64") {
		t.Errorf("on arm64: %v, %v", c.Labels, err)
	}
}

// A Pod's hostname may leave no room: the name is still at most 64 characters,
// the same for the same Pod, and another for another.
func TestLongHostnamesAreShortened(t *testing.T) {
	name := func(base, hostname string) string {
		t.Helper()
		m := machine()
		m.Hostname = hostname
		c, err := config.Parse([]string{token, organization, "RUNNER_NAME=" + base}, m)
		if err != nil {
			t.Fatal(err)
		}
		return c.Name
	}
	pod := "runners-of-the-whole-organization-7d9f8b6c5d-x2k4"
	for base := 1; base <= 55; base++ {
		a, again, b := name(strings.Repeat("n", base), pod+"q"), name(strings.Repeat("n", base), pod+"q"), name(strings.Repeat("n", base), pod+"r")
		if len(a) > 64 || a != again || a == b {
			t.Errorf("a base of %d: %s (%d), %s, %s", base, a, len(a), again, b)
		}
	}
	if got := name("n", pod); got != "n-"+pod {
		t.Errorf("a hostname that fits became %s", got)
	}
}

func TestBooleansAreNeverGuessed(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "TRUE": true, "1": true, "yes": true, "false": false, "0": false, "No": false, "off": false} {
		if c := parse(t, token, organization, "EPHEMERAL="+value); c.Ephemeral != want {
			t.Errorf("EPHEMERAL=%s is %t", value, c.Ephemeral)
		}
	}
}

// Every row: what is set, and the problem that is reported: variable, a part of
// the cause, a part of the remedy.
func TestProblems(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("n", 60)
	for _, row := range []struct {
		environ  []string
		variable string
		cause    string
		remedy   string
	}{
		{[]string{organization}, "GITHUB_TOKEN", "is not set", "admin:org"},
		{[]string{token}, "GITHUB_ORGANIZATION", "is not set", "GITHUB_REPOSITORY"},
		{[]string{token, organization, "GITHUB_REPOSITORY=acme/coach"}, "GITHUB_REPOSITORY", "together with GITHUB_ORGANIZATION", "remove GITHUB_REPOSITORY"},
		{[]string{token, organization, "RUNNER_TOKEN=ABC"}, "RUNNER_TOKEN", "together with GITHUB_TOKEN", "one kind"},
		{[]string{token, organization, "GITHUB_TOKEN_FILE=/x"}, "GITHUB_TOKEN_FILE", "together with GITHUB_TOKEN", "keep one"},
		{[]string{organization, "GITHUB_TOKEN_FILE=" + folder + "/none"}, "GITHUB_TOKEN_FILE", "does not exist", "mount"},
		{[]string{organization, "GITHUB_TOKEN_FILE=" + folder}, "GITHUB_TOKEN_FILE", "a folder", "name the file"},
		{[]string{organization, "GITHUB_TOKEN_FILE=" + file("empty", "\n", 0o600)}, "GITHUB_TOKEN_FILE", "empty file", "write the secret"},
		{[]string{organization, "GITHUB_TOKEN_FILE=" + file("large", strings.Repeat("x", 70<<10), 0o600)}, "GITHUB_TOKEN_FILE", "64 KiB", "nothing but the secret"},
		{[]string{organization, "GITHUB_TOKEN_FILE=/dev/null"}, "GITHUB_TOKEN_FILE", "no regular file", "name a file"},
		{[]string{organization, "GITHUB_TOKEN_FILE=github_pat_hushhush"}, "GITHUB_TOKEN_FILE", "holds a credential", "set GITHUB_TOKEN to it"},
		{[]string{token, organization, "RUNNER_GROUP=ghp_hushhush"}, "RUNNER_GROUP", "has a credential in it", "GITHUB_TOKEN"},
		{[]string{token, "GITHUB_ORGANIZATION=https://x:hush@github.com/acme"}, "GITHUB_ORGANIZATION", "has a credential in it", "remove"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://x:hu%sh@hush@github.com"}, "GITHUB_SERVER_URL", "has a credential in it", "remove"},
		{[]string{organization, "GITHUB_TOKEN=-----BEGIN RSA PRIVATE KEY-----hush"}, "GITHUB_TOKEN", "is a key", "GITHUB_APP_PRIVATE_KEY"},
		{[]string{organization, "GITHUB_TOKEN_FILE=" + file("quoted", `'hush'`, 0o600)}, "GITHUB_TOKEN_FILE", "has quotes", "remove"},
		{[]string{organization, "RUNNER_TOKEN=ghp_hushhush"}, "RUNNER_TOKEN", "not a registration token", "set GITHUB_TOKEN to it"},
		{[]string{organization, token, "RUNNER_TOKEN_FILE=/x"}, "RUNNER_TOKEN_FILE", "together with GITHUB_TOKEN", "one kind"},
		{[]string{organization, token, "GITHUB_APP_INSTALLATION_ID=1"}, "GITHUB_APP_INSTALLATION_ID", "together with GITHUB_TOKEN", "one kind"},
		{[]string{organization, "GITHUB_APP_INSTALLATION_ID=1"}, "GITHUB_APP_ID", "but GITHUB_APP_INSTALLATION_ID is", "settings page"},
		{[]string{organization, "ACCESS_TOKEN=hush"}, "GITHUB_TOKEN", "but ACCESS_TOKEN is, which org-runner does not read", "set GITHUB_TOKEN"},
		{[]string{token, "GITHUB_ORGANISATION=acme"}, "GITHUB_ORGANIZATION", "but GITHUB_ORGANISATION is", "set it"},
		{[]string{token, "GITHUB_ORGANIZATION=https://github.com/enterprises/acme"}, "GITHUB_ORGANIZATION", "no name", "set it to acme"},
		{[]string{token, "GITHUB_REPOSITORY=acme/coach", "GITHUB_ENTERPRISE=acme"}, "GITHUB_ENTERPRISE", "together with GITHUB_REPOSITORY", "that one repository"},
		{[]string{organization, `GITHUB_TOKEN="ghp_example"`}, "GITHUB_TOKEN", "has quotes", "--env-file"},
		{[]string{organization, "GITHUB_TOKEN=ghp_exa mple"}, "GITHUB_TOKEN", "white space", "copy"},
		{[]string{token, "GITHUB_ORGANIZATION=https://github.com/acme"}, "GITHUB_ORGANIZATION", "no name", "set it to acme"},
		{[]string{token, "GITHUB_ORGANIZATION=acme/coach"}, "GITHUB_ORGANIZATION", "no name", "GITHUB_REPOSITORY=acme/coach"},
		{[]string{token, "GITHUB_REPOSITORY=https://github.com/acme/coach.git"}, "GITHUB_REPOSITORY", "not owner/name", "set it to acme/coach"},
		{[]string{token, "GITHUB_REPOSITORY=git@github.com:acme/coach.git"}, "GITHUB_REPOSITORY", "not owner/name", "set it to acme/coach"},
		{[]string{token, "GITHUB_REPOSITORY=acme/coach.git"}, "GITHUB_REPOSITORY", "not owner/name", "set it to acme/coach"},
		{[]string{token, "GITHUB_REPOSITORY=coach"}, "GITHUB_REPOSITORY", "not owner/name", "OWNER/coach"},
		{[]string{token, organization, "GITHUB_SERVER_URL=http://git.example.com"}, "GITHUB_SERVER_URL", "not encrypted", "https://"},
		{[]string{token, organization, "GITHUB_SERVER_URL=http://127.example.com"}, "GITHUB_SERVER_URL", "not encrypted", "https://"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://www.github.com"}, "GITHUB_SERVER_URL", "not the address of the server", "set it to https://github.com:"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://api.acme.ghe.com"}, "GITHUB_SERVER_URL", "not the address of the server", "set it to https://acme.ghe.com:"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://github.com?x"}, "GITHUB_SERVER_URL", "more than an address", "https://"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://:8443"}, "GITHUB_SERVER_URL", "no address", "https://"},
		{[]string{token, organization, "GITHUB_API_URL=https://github.com"}, "GITHUB_API_URL", "not of its API", "https://api.github.com"},
		{[]string{token, organization, "GITHUB_API_URL=http://api.github.com", "GITHUB_SERVER_URL=x"}, "GITHUB_API_URL", "not encrypted", "https://"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://github.com/acme"}, "GITHUB_SERVER_URL", "has a path", "https://github.com"},
		{[]string{token, organization, "GITHUB_SERVER_URL=https://api.github.com"}, "GITHUB_SERVER_URL", "not the address of the server", "set it to https://github.com:"},
		{[]string{token, organization, "GITHUB_SERVER_URL=github.com"}, "GITHUB_SERVER_URL", "no address", "https://"},
		{[]string{token, organization, "GITHUB_API_URL=https://u:p@x.example"}, "GITHUB_API_URL", "user name or password", "alone"},
		{[]string{token, "GITHUB_REPOSITORY=ssh://git@github.com/acme/coach.git"}, "GITHUB_REPOSITORY", "not owner/name", "set it to acme/coach"},
		{[]string{token, organization, "EPHEMERAL=ture"}, "EPHEMERAL", `"ture"`, "true or false"},
		{[]string{token, organization, "RUNNER_STOP_GRACE=10"}, "RUNNER_STOP_GRACE", "no unit", "10s"},
		{[]string{token, organization, "RUNNER_STOP_GRACE=soon"}, "RUNNER_STOP_GRACE", "no duration", "90s"},
		{[]string{token, organization, "RUNNER_STOP_GRACE=7h"}, "RUNNER_STOP_GRACE", `"7h"`, "between 1s and 6h"},
		{[]string{token, organization, "RUNNER_REGISTER_TIMEOUT=-1m"}, "RUNNER_REGISTER_TIMEOUT", `"-1m"`, "between 10s and 24h"},
		{[]string{token, organization, "RUNNER_NAME=" + long}, "RUNNER_NAME", "67 characters", "by 3"},
		{[]string{token, organization, "RUNNER_NAME=" + long + long, "RUNNER_NAME_SUFFIX=none"}, "RUNNER_NAME", "120 characters", "by 56"},
		{[]string{token, organization, "RUNNER_NAME=" + long, "RUNNER_NAME_SUFFIX=random"}, "RUNNER_NAME", `"-0badcafe"`, "by 5"},
		{[]string{token, organization, "RUNNER_NAME=a b"}, "RUNNER_NAME", `"a b"`, "letters"},
		{[]string{token, organization, "RUNNER_NAME_SUFFIX=host"}, "RUNNER_NAME_SUFFIX", `"host"`, "hostname, random or none"},
		{[]string{token, organization, "LABELS=a," + strings.Repeat("x", 257)}, "LABELS", "256", "shorten"},
		{[]string{token, organization, "LABELS= , "}, "LABELS", "no label", "name one"},
		{[]string{token, organization, "RUNNER_HOME=runner"}, "RUNNER_HOME", "not the absolute path", "/home/runner"},
		{[]string{token, organization, "RUNNER_HOME=/"}, "RUNNER_HOME", "not the absolute path", "/home/runner"},
		{[]string{token, organization, "RUNNER_WORKDIR=.."}, "RUNNER_WORKDIR", "no folder of its own", "_work"},
		{[]string{token, organization, "RUNNER_WORKDIR=."}, "RUNNER_WORKDIR", "no folder of its own", "_work"},
		{[]string{token, organization, "RUNNER_WORKDIR=../other"}, "RUNNER_WORKDIR", "no folder of its own", "_work"},
		{[]string{token, organization, "RUNNER_WORKDIR=/home"}, "RUNNER_WORKDIR", "no folder of its own", "_work"},
		{[]string{token, organization, "RUNNER_WORKDIR=/"}, "RUNNER_WORKDIR", "no folder of its own", "_work"},
		{[]string{token, organization, "RUNNER_REGISTRATION=jit", "EPHEMERAL=false"}, "EPHEMERAL", "always ephemeral", "RUNNER_REGISTRATION=config"},
		{[]string{"RUNNER_TOKEN=ABC", organization, "RUNNER_REGISTRATION=jit"}, "RUNNER_TOKEN", "jit", "GITHUB_TOKEN"},
		{[]string{"RUNNER_JITCONFIG=hush"}, "RUNNER_JITCONFIG", "is not a JIT configuration", "encoded_jit_config"},
		{[]string{"RUNNER_JITCONFIG=" + jit, "RUNNER_REGISTRATION=config"}, "RUNNER_REGISTRATION", "is config", "remove"},
		{[]string{"GITHUB_APP_ID=my-app", "GITHUB_APP_PRIVATE_KEY=" + rsaKey(t, 1), organization}, "GITHUB_APP_ID", "neither an App's id nor a client id", "a number"},
		{[]string{"GITHUB_APP_ID=1", organization}, "GITHUB_APP_PRIVATE_KEY", "is not set", "GITHUB_APP_PRIVATE_KEY_FILE"},
		{[]string{"GITHUB_APP_PRIVATE_KEY=x", organization}, "GITHUB_APP_ID", "is not set", "settings page"},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=hush", organization}, "GITHUB_APP_PRIVATE_KEY", "no PEM", ".pem"},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + ecKey(t), organization}, "GITHUB_APP_PRIVATE_KEY", "not an RSA", ".pem"},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_INSTALLATION_ID=x", "GITHUB_APP_PRIVATE_KEY=" + rsaKey(t, 1), organization}, "GITHUB_APP_INSTALLATION_ID", "no id", "looked up"},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + rsaKey(t, 1), "GITHUB_ENTERPRISE=acme"}, "GITHUB_ENTERPRISE", "GitHub App", "manage_runners:enterprise"},
		{[]string{token, organization, "ALLOWED_REPOSITORIES=coach,a/b/c"}, "ALLOWED_REPOSITORIES", `"a/b/c"`, "acme/tool-*"},
		{[]string{token, organization, "ALLOWED_REPOSITORIES= , "}, "ALLOWED_REPOSITORIES", "names no repository", "remove it"},
		{[]string{token, "GITHUB_ENTERPRISE=acme", "ALLOWED_REPOSITORIES=coach"}, "ALLOWED_REPOSITORIES", `"coach" without an owner`, "OWNER/coach"},
		{[]string{"RUNNER_JITCONFIG=" + jit, "ALLOWED_REPOSITORIES=coach"}, "ALLOWED_REPOSITORIES", `"coach" without an owner`, "OWNER/coach"},
		{[]string{token, organization, `LABELS="gpu"`}, "LABELS", "has quotes", "--env-file"},
		{[]string{token, organization, "LABELS=a\nb"}, "LABELS", "control character", "remove"},
		{[]string{token, organization, "RUNNER_GROUP=a\x00b"}, "RUNNER_GROUP", `"a\x00b"`, "name"},
		{[]string{token, organization, "RUNNER_USER=1001:1001"}, "RUNNER_USER", `"1001:1001"`, "as in runner"},
		{[]string{token, organization, "RUNNER_WATCHDOG=25h"}, "RUNNER_WATCHDOG", `"25h"`, "or to 0 for never"},
		{[]string{token, organization, "LOG_LEVEL=loud"}, "LOG_LEVEL", `"loud"`, "warn or error"},
		{[]string{token, organization, "RUNNER_RECORDS=jobs.jsonl"}, "RUNNER_RECORDS", "no absolute path", "a file on a volume"},
		{[]string{token, organization, "HTTPS_PROXY=http://user:hush%@proxy:3128"}, "HTTPS_PROXY", "no address of a proxy", "http://proxy.example.com:3128"},
		{[]string{token, organization, "https_proxy=ftp://proxy:3128"}, "https_proxy", "no address of a proxy", "%25"},
		{[]string{token, organization, "METRICS_ADDR=9100"}, "METRICS_ADDR", "no address with a port", ":9100"},
	} {
		_, err := config.Parse(row.environ, machine())
		var problems config.Problems
		if !errors.As(err, &problems) {
			t.Errorf("%v: %v", row.environ, err)
			continue
		}
		if !slices.ContainsFunc(problems, func(p config.Problem) bool {
			return p.Variable == row.variable && strings.Contains(p.Cause, row.cause) && strings.Contains(p.Remedy, row.remedy)
		}) {
			t.Errorf("%v: want %s %q %q, got\n%v", row.environ, row.variable, row.cause, row.remedy, err)
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%v: the secret is in %v", row.environ, err)
		}
	}
}

func TestAllProblemsAreReportedTogetherInTableOrder(t *testing.T) {
	_, err := config.Parse([]string{"EPHEMERAL=x", "LOG_LEVEL=x", "RUNNER_STOP_GRACE=x", "GITHUB_SERVER_URL=x"}, machine())
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Variable)
	}
	want := []string{"GITHUB_TOKEN", "GITHUB_ORGANIZATION", "GITHUB_SERVER_URL", "EPHEMERAL", "RUNNER_STOP_GRACE", "LOG_LEVEL"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAllowedRepositories(t *testing.T) {
	for _, row := range []struct {
		rule, repository string
		allowed          bool
	}{
		{"coach", "acme/coach", true}, {"coach", "Acme/Coach", true}, {"coach", "other/coach", false}, {"coach", "acme/coach2", false},
		{"other/*", "other/x", true}, {"other/*", "acme/x", false}, {"tool-*,mcp", "acme/tool-a", true}, {"tool-*,mcp", "acme/mcp", true},
		{"*", "acme/x", true}, {"*", "other/x", false}, {"*/*", "other/x", true}, {"*-a-*", "acme/x-a-y", true}, {"*-a-*", "acme/x-b-y", false},
		{"coach", "", false}, {"coach", "coach", false},
	} {
		c := parse(t, token, organization, "ALLOWED_REPOSITORIES="+row.rule)
		if got := c.AllowedRepositories.Allows(row.repository); got != row.allowed {
			t.Errorf("rule %s, repository %q: %t", row.rule, row.repository, got)
		}
	}
	if c := parse(t, token, organization); !c.AllowedRepositories.Allows("any/thing") || len(c.AllowedRepositories.Rules()) != 0 {
		t.Error("without a rule something is refused")
	}
}

func TestStrangersAreNoticed(t *testing.T) {
	for variable, want := range map[string]string{
		"GITHUB_ORGANISATION": "GITHUB_ORGANIZATION", "RUNNER_GROUPS": "RUNNER_GROUP", "ACCESS_TOKEN": "GITHUB_TOKEN", "RUNNER_LABELS": "LABELS", "RUNNER_STOP_GRASE": "RUNNER_STOP_GRACE", "LOG_LEVELS": "LOG_LEVEL", "Runner_Name": "RUNNER_NAME",
	} {
		if c := parse(t, token, organization, variable+"=x"); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], want) {
			t.Errorf("%s: %v", variable, c.Warnings)
		}
	}
	for _, variable := range []string{"RUNNER_MANUALLY_TRAP_SIG", "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT", "RUNNER_LOGRETENTION", "HOME", "PATH", "GITHUB_SHA"} {
		if c := parse(t, token, organization, variable+"=1"); len(c.Warnings) != 0 {
			t.Errorf("%s: %v", variable, c.Warnings)
		}
	}
}

func TestWhatChangesNothingIsSaid(t *testing.T) {
	for _, row := range []struct {
		environ []string
		want    string
	}{
		{[]string{token, "GITHUB_REPOSITORY=acme/coach", "RUNNER_GROUP=fleet"}, "RUNNER_GROUP has no effect"},
		{[]string{"RUNNER_JITCONFIG=" + jit, "LABELS=gpu"}, "LABELS has no effect"},
		{[]string{"RUNNER_TOKEN=ABC", organization, "RUNNER_WATCHDOG=1m"}, "RUNNER_WATCHDOG has no effect"},
		{[]string{token, organization, "RUNNER_REGISTRATION=jit", "DISABLE_AUTO_UPDATE=true"}, "DISABLE_AUTO_UPDATE has no effect"},
		{[]string{token, organization, "RUNNER_WATCHDOG=1s"}, "5000 requests"},
	} {
		if c := parse(t, row.environ...); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], row.want) {
			t.Errorf("%v: %v", row.environ, c.Warnings)
		}
	}
}

// A problem is told once: a value that cannot be read has no consequences.
func TestOneMistakeIsOneProblem(t *testing.T) {
	for _, variable := range []string{`EPHEMERAL="yes please"`, "EPHEMERAL=maybe", "GITHUB_TOKEN_FILE=ghp_hushhush", "GITHUB_ORGANIZATION=https://ghp_hushhush@github.com/acme", "RUNNER_NAME_SUFFIX=host", "GITHUB_API_URL=http://a.example", `RUNNER_GROUP="a"`} {
		environ := []string{"RUNNER_REGISTRATION=jit", organization, variable}
		if !strings.HasPrefix(variable, "GITHUB_TOKEN") {
			environ = append(environ, token)
		}
		_, err := config.Parse(environ, machine())
		var problems config.Problems
		want := 1
		if variable == `EPHEMERAL="yes please"` {
			want = 2 // the quotes, and what is in them
		}
		if !errors.As(err, &problems) || len(problems) != want {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

func TestValuesAreShownBoundedAndEscaped(t *testing.T) {
	_, err := config.Parse([]string{token, organization, "LOG_LEVEL=\x1b[31m" + strings.Repeat("x", 1<<20)}, machine())
	if err == nil || len(err.Error()) > 400 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%.500v", err)
	}
}
