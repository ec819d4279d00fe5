package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
)

// root is the module's.
const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// .env.example names every variable once, in the table's order, with its
// description and its default, and is what docker's parsers take.
func TestEnvExampleIsTheTable(t *testing.T) {
	var want, got []string
	for _, v := range config.Variables() {
		want = append(want, v.Description, v.Name+"="+v.Default)
	}
	table, compose, _ := strings.Cut(read(t, ".env.example"), "\n\n")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for _, line := range lines[3:] {
		got = append(got, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("line %d: %q, want %q", i+4, got[i], want[i])
			}
		}
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	// What is Compose's own has the default that it has there.
	composeFiles := read(t, "docker-compose.yml") + read(t, "docker-compose.override.yml")
	for _, match := range regexp.MustCompile(`(?m)^#([A-Z_]+)=(.*)$`).FindAllStringSubmatch(compose, -1) {
		if use := "${" + match[1] + ":-" + match[2] + "}"; !strings.Contains(composeFiles, use) {
			t.Errorf("the compose files have no %s", use)
		}
		lines = append(lines, match[0])
	}
	// With all defaults written out and a token it parses to the same thing.
	environ := []string{}
	for _, line := range lines {
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && config.IsOurs(name) {
			environ = append(environ, name+"="+value)
		}
	}
	if c := parse(t, append(environ, token, organization)...); c.Name != "ephemeral-org-runner-3f2a9c" {
		t.Errorf("parsed %+v", c)
	}
}

func TestComposePassesEveryVariable(t *testing.T) {
	text := read(t, "docker-compose.yml")
	for _, name := range config.Names() {
		if strings.HasPrefix(name, "MONITOR_") { // the runners have no use for it
			if strings.Contains(text, name) {
				t.Errorf("%s is passed to the runners", name)
			}
			continue
		}
		if !regexp.MustCompile(`(?m)^      ` + name + `: \$\{` + name + `:-`).MatchString(text) {
			t.Errorf("%s is not passed", name)
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^      ([A-Z_]+): `).FindAllStringSubmatch(text, -1) {
		if !config.IsOurs(match[1]) {
			t.Errorf("%s is passed and is no variable of ours", match[1])
		}
	}
}

func TestManualAndReadmeNameEveryVariable(t *testing.T) {
	manual, readme := read(t, "main.go"), read(t, "README.md")
	for _, v := range config.Variables() {
		if !regexp.MustCompile(`\b` + v.Name + `\b`).MatchString(manual) {
			t.Errorf("the manual in main.go does not name %s", v.Name)
		}
		row := "| `" + v.Name + "` |"
		if !strings.Contains(readme, row) || v.Default != "" && !strings.Contains(readme, row+" `"+v.Default+"` |") {
			t.Errorf("README.md has no row %s with the default %q", v.Name, v.Default)
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|").FindAllStringSubmatch(readme, -1) {
		if !config.IsOurs(match[1]) {
			t.Errorf("README.md has a row for %s, which is no variable of ours", match[1])
		}
	}
}

// What is handed on is so in docker-compose.yml, and is named wherever people look
// for it. Without a value it stays unset where it is: an image may have one.
func TestDocumentsNameWhatIsHandedOn(t *testing.T) {
	compose, override, readme, example := read(t, "docker-compose.yml"), read(t, "docker-compose.override.yml"), read(t, "README.md"), read(t, ".env.example")
	for _, v := range config.Passed() {
		if config.IsOurs(v.Name) {
			t.Errorf("%s is ours, and does not reach children", v.Name)
		}
		if hint := config.Hint(v.Name); hint != "" {
			t.Errorf("%s is warned of: %s", v.Name, hint)
		}
		line := "\n      " + v.Name + ":\n"
		if !strings.Contains(compose, line) {
			t.Errorf("docker-compose.yml does not hand on %s", v.Name)
		}
		if strings.Contains(override, line) != config.IsNetwork(v.Name) {
			t.Errorf("the monitor gets %s: %t", v.Name, strings.Contains(override, line))
		}
		if !strings.Contains(readme, "`"+v.Name+"`") {
			t.Errorf("README.md does not name %s", v.Name)
		}
		if v.Name == strings.ToUpper(v.Name) && !strings.Contains(example, "\n# "+v.Name+"=") {
			t.Errorf(".env.example does not name %s", v.Name)
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^      ([A-Za-z_]+):$`).FindAllStringSubmatch(compose, -1) {
		if !config.IsPassed(match[1]) && match[1] != "resources" && match[1] != "options" {
			t.Errorf("docker-compose.yml hands on %s, of which the parser does not know", match[1])
		}
	}
}

// docker-compose.override.yml starts nothing without its profile, listens on
// loopback only, and passes variables that there are.
func TestMonitoringIsOnDemand(t *testing.T) {
	text := read(t, "docker-compose.override.yml")
	services, _, _ := strings.Cut(text[strings.Index(text, "\nservices:"):], "\nnetworks:")
	// Of the runners it only says what Swarm takes no variable for, with the number
	// that Swarm gets.
	const limit = "\n  runner:\n    deploy:\n      resources:\n        limits:\n          pids: ${RUNNER_PIDS:-4096}\n"
	if !strings.Contains(services, limit) || !strings.Contains(read(t, "docker-compose.yml"), "\n          pids: 4096\n") {
		t.Error("the runners' limit of processes is not the same in both files")
	}
	services = strings.Replace(services, limit, "", 1)
	parts := regexp.MustCompile(`(?m)^  ([a-z]+):$`).Split(services, -1)[1:]
	for i, name := range regexp.MustCompile(`(?m)^  ([a-z]+):$`).FindAllStringSubmatch(services, -1) {
		if !strings.Contains(parts[i], "\n    profiles: [monitoring]\n") {
			t.Errorf("%s is always started", name[1])
		}
	}
	if len(parts) != 3 {
		t.Errorf("%d services", len(parts))
	}
	for _, match := range regexp.MustCompile(`(?m)^      - (".*:\d+")$`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(match[1], `"127.0.0.1:${`) {
			t.Errorf("the port %s is not on loopback", match[1])
		}
	}
	// Without these any web page in the browser of who runs it reads Prometheus, and
	// one whose name points at 127.0.0.1 Grafana. $$ is how Compose writes $.
	for _, line := range []string{"- --web.cors.origin=^$$", "GF_SERVER_DOMAIN: 127.0.0.1", `GF_SERVER_ENFORCE_DOMAIN: "true"`, "GF_SERVER_ROOT_URL: http://127.0.0.1:${GRAFANA_PORT:-3000}/"} {
		if !strings.Contains(services, "\n      "+line+"\n") {
			t.Errorf("docker-compose.override.yml lacks %s", line)
		}
	}
	_, monitor, _ := strings.Cut(services, "\n  monitor:")
	monitor, _, _ = strings.Cut(monitor, "\n  prometheus:")
	for _, match := range regexp.MustCompile(`(?m)^      ([A-Z_]+): `).FindAllStringSubmatch(monitor, -1) {
		if !config.IsOurs(match[1]) {
			t.Errorf("%s is passed and is no variable of ours", match[1])
		}
	}
	for _, name := range []string{"MONITOR_GITHUB_TOKEN", "GITHUB_TOKEN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_PRIVATE_KEY_FILE", "GITHUB_APP_INSTALLATION_ID"} {
		if !strings.Contains(monitor, "\n      "+name+": ${"+name+":-}\n") {
			t.Errorf("the monitor does not get %s", name)
		}
	}
	// Prometheus asks for it by this name.
	if target := read(t, "monitoring/prometheus/prometheus.yml"); !strings.Contains(monitor, "\n      MONITOR_HOSTS: monitor,${MONITOR_HOSTS:-}\n") || !strings.Contains(target, `"monitor:9300"`) {
		t.Error("Prometheus asks the monitor by a name that it does not answer to")
	}
	document := read(t, "docs/monitoring.md")
	for _, match := range regexp.MustCompile(`\$\{((?:MONITOR|PROMETHEUS|GRAFANA|ORG_RUNNER)_[A-Z_]+):-`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(document, "| "+match[1]+" |") {
			t.Errorf("docs/monitoring.md has no row for %s", match[1])
		}
	}
	// Grafana passes over a key that it does not know.
	if dashboards := read(t, "monitoring/grafana/provisioning/dashboards/org-runner.yml"); !strings.Contains(dashboards, "\n    allowUiUpdates: false\n") {
		t.Errorf("the dashboard can be changed in the browser: %s", dashboards)
	}
	// It brings the runners back to their number in .env, and stops the others.
	for _, name := range []string{"README.md", "docs/operating.md", "docker-compose.yml", "docker-compose.override.yml", "monitoring/runners.yml", "monitoring/records.yml", "monitoring/prometheus/alerts.yml"} {
		if strings.Contains(read(t, name), "--profile monitoring up") {
			t.Errorf("%s starts the monitor by its profile", name)
		}
	}
}
