package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/cli"
	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Each misconfiguration is found by check, and doing what its remedy says, and
// nothing else, mends it.
func TestRemediesMend(t *testing.T) {
	server, err := githubtest.Start(githubtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.AddOrganization("acme")
	server.AddUser("person")
	for _, name := range []string{"acme/coach", "acme/mcp", "person/coach"} {
		server.AddRepository(name)
	}
	server.AddGroup("acme", githubtest.Group{Name: "Trusted", Visibility: "selected", Repositories: []string{"acme/coach", "acme/mcp"}})
	server.AddToken(githubtest.Token{Value: "ghp_good"})
	server.AddToken(githubtest.Token{Value: "ghp_few", Kind: githubtest.Classic, Scopes: []string{"read:org"}})

	good := map[string]string{
		"GITHUB_SERVER_URL": server.URL(), "GITHUB_ORGANIZATION": "acme", "GITHUB_TOKEN": "ghp_good", "RUNNER_NAME": "fleet", "RUNNER_NAME_SUFFIX": "none",
		"RUNNER_HOME": filepath.Join(t.TempDir(), "not-here"), // as on a host
	}
	for _, row := range []struct {
		name   string
		wrong  map[string]string // "" takes a variable out
		remedy string
		mended map[string]string
		code   int
	}{
		{"an address instead of a name", map[string]string{"GITHUB_ORGANIZATION": "https://github.com/acme"}, "set it to acme", map[string]string{"GITHUB_ORGANIZATION": "acme"}, 78},
		{"a revoked token", map[string]string{"GITHUB_TOKEN": "ghp_revoked"}, "make a new one and set GITHUB_TOKEN to it", map[string]string{"GITHUB_TOKEN": "ghp_good"}, 77},
		{"a token without the scope", map[string]string{"GITHUB_TOKEN": "ghp_few"}, "needed is the scope admin:org", map[string]string{"GITHUB_TOKEN": "ghp_good"}, 77},
		{"a group that is not there", map[string]string{"RUNNER_GROUP": "Trustd"}, "set RUNNER_GROUP to one that exists (Default, Trusted)", map[string]string{"RUNNER_GROUP": "Trusted"}, 78},
		{"no duration", map[string]string{"RUNNER_STOP_GRACE": "a minute"}, "as in", map[string]string{"RUNNER_STOP_GRACE": "60s"}, 78},
		{"two targets", map[string]string{"GITHUB_REPOSITORY": "acme/coach"}, "remove", map[string]string{"GITHUB_REPOSITORY": ""}, 78},
		{"another image's variable", map[string]string{"GITHUB_TOKEN": "", "ACCESS_TOKEN": "ghp_good"}, "GITHUB_TOKEN", map[string]string{"ACCESS_TOKEN": "", "GITHUB_TOKEN": "ghp_good"}, 78},
		{"a personal account", map[string]string{"GITHUB_ORGANIZATION": "person"}, "remove GITHUB_ORGANIZATION and set GITHUB_REPOSITORY=person/REPOSITORY",
			map[string]string{"GITHUB_ORGANIZATION": "", "GITHUB_REPOSITORY": "person/coach"}, 78},
		{"a server's API address", map[string]string{"GITHUB_API_URL": server.URL()}, "remove it", map[string]string{"GITHUB_API_URL": ""}, 78},
		{"an unknown level", map[string]string{"LOG_LEVEL": "loud"}, "info", map[string]string{"LOG_LEVEL": "info"}, 78},
		{"a proxy that is none", map[string]string{"HTTPS_PROXY": "http://%zz"}, "write it as in", map[string]string{"HTTPS_PROXY": ""}, 78},
		{"no name", map[string]string{"RUNNER_NAME": "my fleet"}, "use letters, digits", map[string]string{"RUNNER_NAME": "my-fleet"}, 78},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			variables := map[string]string{}
			check := func(changes map[string]string) (int, string) {
				for _, from := range []map[string]string{good, row.wrong, changes} {
					for name, value := range from {
						variables[name] = value
					}
				}
				var text, out bytes.Buffer
				for name, value := range variables {
					if value != "" {
						text.WriteString(name + "=" + value + "\n")
					}
				}
				if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				code := cli.Main(cli.Invocation{Args: []string{"--env-file", path, "check"}, Stdout: &out, Stderr: &out, Build: cli.Build{Runner: "2.336.0"}})
				// Wrapped for the screen, compared without.
				return code, strings.Join(strings.Fields(out.String()), " ")
			}
			if code, text := check(nil); code != row.code || !strings.Contains(text, row.remedy) {
				t.Errorf("exit code %d, want %d and %q in\n%s", code, row.code, row.remedy, text)
			}
			if code, text := check(row.mended); code != 0 || strings.Contains(text, "FAIL") {
				t.Errorf("mended: exit code %d\n%s", code, text)
			}
		})
	}
}
