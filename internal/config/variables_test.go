package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is said of a variable fits one line of a file.
func TestTheTableIsComplete(t *testing.T) {
	for _, v := range Variables() {
		if v.Name == "" || v.Description == "" || len(v.Description) > 140 || strings.ContainsAny(v.Description, "\r\n") {
			t.Errorf("%+v", v)
		}
		secrets := []string{"GITHUB_TOKEN", "GITHUB_APP_PRIVATE_KEY", "RUNNER_TOKEN", "RUNNER_JITCONFIG", "MONITOR_GITHUB_TOKEN"}
		if secret := slices.Contains(secrets, v.Name); v.Secret != secret {
			t.Errorf("%s: secret is %t", v.Name, v.Secret)
		}
	}
}

func TestMeantKnowsOnlyWhatIsMeant(t *testing.T) {
	for name := range elsewhere {
		if IsOurs(name) || slices.Contains(official, name) {
			t.Errorf("%s is in two tables", name)
		}
	}
	for _, name := range append(Names(), official...) {
		if remedy := meant(name); remedy != "" {
			t.Errorf("%s: %s", name, remedy)
		}
	}
}

// No manual misspells a variable.
func TestManualsHaveNoMisspeltVariable(t *testing.T) {
	word := regexp.MustCompile(`\b[A-Z][A-Z0-9_]+\b`)
	for _, name := range []string{"main.go", "README.md", "docker-compose.yml", ".env.example"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range word.FindAllString(string(text), -1) {
			if remedy := meant(found); remedy != "" && elsewhere[found] == "" {
				t.Errorf("%s names %s, which is no variable: %s", name, found, remedy)
			}
		}
	}
}

// docker run --env-file takes a line as a comment, as nothing or as NAME=value,
// and the value as it stands: with what a newcomer must fill in, .env.example
// has neither a problem nor a warning, and nothing but the defaults.
func TestEnvExampleIsWhatDockerReads(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	fill := map[string]string{"GITHUB_TOKEN": "ghp_example", "GITHUB_ORGANIZATION": "acme"}
	var environ []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !IsOurs(name) {
			t.Errorf("%q is no variable and no comment", line)
		}
		if value == "" {
			value = fill[name]
			delete(fill, name)
		}
		environ = append(environ, name+"="+value)
	}
	if len(fill) > 0 {
		t.Errorf("not there to be filled in: %v", fill)
	}
	c, err := Parse(environ, Machine{Hostname: "3f2a9c", Arch: "amd64"})
	if err != nil || len(c.Warnings) > 0 || c.Target.Name != "acme" {
		t.Errorf("%v, %v", c.Warnings, err)
	}
}
