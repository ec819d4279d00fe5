//go:build linux

package containers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/monitor"
)

// needTool skips a test without a program; where an engine is promised, the
// program is too.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("ORG_RUNNER_REQUIRE_ENGINE") != "" {
			t.Fatal(err)
		}
		t.Skip(name + " is not installed")
	}
	return path
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What Prometheus is given is what it takes, and each alert comes and stays away
// when it should.
func TestPrometheusFiles(t *testing.T) {
	promtool := needTool(t, "promtool")
	dir := filepath.Join(root, "monitoring/prometheus")
	must(t, promtool, "check", "config", filepath.Join(dir, "prometheus.yml"))
	must(t, promtool, "check", "rules", filepath.Join(dir, "alerts.yml"))
	must(t, promtool, "test", "rules", filepath.Join(dir, "alerts_test.yml"))
	rules, err := os.ReadFile(filepath.Join(dir, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(dir, "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rules)) {
		if _, name, found := strings.Cut(strings.TrimSpace(line), "alert: "); found && !strings.Contains(string(tests), "        alertname: "+name+"\n        exp_alerts:") {
			t.Errorf("no test expects the alert %s", name)
		}
	}
}

// makePrometheus makes what the official image is, of this machine's Prometheus.
func makePrometheus(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	must(t, "cp", "-L", needTool(t, "prometheus"), filepath.Join(dir, "prometheus"))
	if err := build(dir, name, "FROM "+debianImage+`
COPY prometheus /bin/prometheus
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
`); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never came: " + what)
		}
	}
}

// The fleet of five runs forty jobs of four repositories. The monitor's page, its
// JSON and Prometheus, which asks the monitor and the runners, tell of them; all of
// it under the compose files as they are.
func TestMonitoring(t *testing.T) {
	o := newOrganization(t)
	github.AddRepository(o.name + "/personal")
	github.AddPublicRepository(o.name + "/ghActions")
	github.AddGroup(o.name, githubtest.Group{Name: "Open", Visibility: "all", AllowsPublic: true})
	// The monitor's own token may read and nothing else.
	const readToken = "github_pat_for-the-monitor"
	github.AddToken(githubtest.Token{Value: readToken, Kind: githubtest.FineGrained, Account: o.name,
		Permissions: map[string]string{"organization_self_hosted_runners": "read", "actions": "read", "metadata": "read"}})
	const monitorPort, prometheusPort = "19300", "19090"
	p := o.compose("RUNNER_GROUP=Open", "MONITOR_GITHUB_TOKEN="+readToken, "MONITOR_PORT="+monitorPort, "PROMETHEUS_PORT="+prometheusPort,
		"PROMETHEUS_IMAGE=org-runner-test-prometheus")
	p.more = []string{filepath.Join(root, "docker-compose.override.yml"), filepath.Join(root, "monitoring/runners.yml"), filepath.Join(root, "monitoring/records.yml")}
	// No image of Grafana can be had here; what it is given is checked elsewhere.
	if services := strings.Fields(p.do("--profile", "monitoring", "config", "--services")); len(services) != 4 {
		t.Errorf("services with the profile: %v", services)
	}
	if services := p.do("config", "--services"); services != "runner" {
		t.Errorf("services without the profile: %v", services)
	}
	makePrometheus(t, "org-runner-test-prometheus")

	for i := range 40 {
		repository, step := []string{"coach", "mcp", "personal", "ghActions"}[i%4], "sleep 0.2"
		if i%4 == 0 && i < 12 {
			step = "exit 1" // three of coach's
		}
		github.Enqueue(githubtest.Job{Repository: o.name + "/" + repository, Workflow: "CI", Name: fmt.Sprintf("build %d", i), Steps: []string{step}})
	}
	p.up("--scale", "runner=5", "runner")
	p.do("--profile", "monitoring", "up", "-d", "--no-build", "--no-deps", "monitor", "prometheus")

	page := "http://127.0.0.1:" + monitorPort
	var last monitor.Overview
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := try(docker, p.args("--profile", "monitoring", "logs", "--no-color", "monitor", "prometheus")...)
			text, _ := json.MarshalIndent(last, "", " ")
			t.Logf("%s\n%s", logs, text)
		}
		_, _ = try(docker, p.args("--profile", "monitoring", "down", "-v", "-t", "1")...)
	})
	until(t, "forty finished jobs and five runners in the monitor", func() bool {
		last = monitor.Overview{}
		if json.Unmarshal([]byte(get(t, page+"/api/overview")), &last) != nil {
			return false
		}
		done := 0
		for _, r := range last.Repositories {
			done += r.Jobs.Hour.Total
		}
		return done == 40 && last.Runners != nil && last.Runners.Idle == 5 && last.Running.Total == 0 && last.Queue.Total == 0
	})
	if len(last.Unknown) > 0 || last.StaleSince != nil {
		t.Errorf("the least permissions do not show %v, %s", last.Unknown, last.StaleReason)
	}
	if last.Memory == nil {
		// Without cgroup v2 the records tell no memory, but they are there.
		t.Error("the job records were not read")
	}
	if state := strings.TrimSpace(must(t, docker, "inspect", "--format", "{{.State.Health.Status}}", p.do("--profile", "monitoring", "ps", "-q", "monitor"))); state != "healthy" && state != "starting" {
		t.Errorf("the monitor is %s", state)
	}

	// Both endpoints are what promtool calls right, and Prometheus scrapes them.
	promtool := needTool(t, "promtool")
	lint := exec.Command(promtool, "check", "metrics")
	lint.Stdin = strings.NewReader(get(t, page+"/metrics"))
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("the monitor's metrics: %v\n%s", err, out)
	}
	runners := strings.Fields(p.do("ps", "-q", "runner"))
	own := must(t, docker, "inspect", "--format", `{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{$n.IPAddress}}{{"\n"}}{{end}}`, runners[0])
	for line := range strings.Lines(own) {
		if name, address, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasSuffix(name, "_monitoring") {
			lint := exec.Command(promtool, "check", "metrics")
			text := get(t, "http://"+address+":9100/metrics")
			if !strings.Contains(text, "org_runner_state") {
				t.Errorf("the runner's metrics: %q", text)
			}
			lint.Stdin = strings.NewReader(text)
			if out, err := lint.CombinedOutput(); err != nil {
				t.Errorf("the runner's metrics: %v\n%s", err, out)
			}
		}
	}
	prometheus := "http://127.0.0.1:" + prometheusPort
	query := func(expression string) string {
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		request, err := http.NewRequest(http.MethodGet, prometheus+"/api/v1/query", nil)
		if err != nil {
			t.Fatal(err)
		}
		values := request.URL.Query()
		values.Set("query", expression)
		request.URL.RawQuery = values.Encode()
		if json.Unmarshal([]byte(get(t, request.URL.String())), &answer) != nil || len(answer.Data.Result) != 1 {
			return ""
		}
		return fmt.Sprint(answer.Data.Result[0].Value[1])
	}
	for expression, want := range map[string]string{
		`sum(up{job="monitor"})`: "1", `sum(up{job="runner"})`: "5", `sum(org_runner_monitor_jobs_total)`: "40",
		`sum(org_runner_monitor_jobs_total{conclusion="failure"})`: "3", `sum(org_runner_state{state="idle"})`: "5", `sum(org_runner_monitor_runners{state="idle"})`: "5",
	} {
		until(t, expression+" = "+want, func() bool { return query(expression) == want })
	}
	if rules := get(t, prometheus+"/api/v1/rules"); !strings.Contains(rules, "NoRunnerOnline") {
		t.Errorf("the rules are not loaded: %s", rules)
	}
	p.noSecretIn("the overview", get(t, page+"/api/overview"), readToken)

	// The page in a browser, which is a module of its own.
	tiles, err := json.Marshal(map[string]string{"Runners online": "5 | 0 busy, 5 idle", "Jobs running": "0", "Jobs waiting": "0", "Longest wait": "–"})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := json.Marshal(map[string]string{o.name + "/coach": "10 7 3", o.name + "/mcp": "10 10 0", o.name + "/personal": "10 10 0", o.name + "/ghActions": "10 10 0"})
	if err != nil {
		t.Fatal(err)
	}
	needTool(t, "chromium")
	browser := exec.Command("go", "test", "-count=1", "-run", "^TestLive$", ".")
	browser.Dir = filepath.Join(root, "test/page")
	browser.Env = append(os.Environ(), "PAGE="+page+"/", "TILES="+string(tiles), "JOBS="+string(jobs))
	if out, err := browser.CombinedOutput(); err != nil || strings.Contains(string(out), "SKIP") {
		t.Errorf("the page: %v\n%s", err, out)
	}

	// The history survives the container.
	p.do("--profile", "monitoring", "up", "-d", "--no-build", "--no-deps", "--force-recreate", "monitor")
	until(t, "the history of the container before", func() bool {
		var o monitor.Overview
		if json.Unmarshal([]byte(get(t, page+"/api/overview")), &o) != nil {
			return false
		}
		return o.Durations.Hour.Execution != nil && o.Durations.Hour.Execution.Count == 40
	})
	p.do("--profile", "monitoring", "stop")
	o.none()
}

func (p *project) noSecretIn(what, text string, secrets ...string) {
	p.o.t.Helper()
	for _, s := range append(secrets, goodToken) {
		if strings.Contains(text, s) {
			p.o.t.Errorf("%s holds a token", what)
		}
	}
}
