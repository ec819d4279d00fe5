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
	plain, err := os.ReadFile(filepath.Join(dir, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	withRunners, err := os.ReadFile(filepath.Join(dir, "with-runners.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(withRunners), string(plain)) {
		t.Error("with-runners.yml is not prometheus.yml and one job more")
	}
	must(t, promtool, "check", "config", filepath.Join(dir, "prometheus.yml"))
	must(t, promtool, "check", "config", filepath.Join(dir, "with-runners.yml"))
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
		_, name, found := strings.Cut(strings.TrimSpace(line), "alert: ")
		if !found {
			continue
		}
		if !strings.Contains(string(tests), "        alertname: "+name+"\n        exp_alerts:") {
			t.Errorf("no test expects the alert %s", name)
		}
		if !strings.Contains(string(tests), "      - {eval_time: 120m, alertname: "+name+"}\n") {
			t.Errorf("no test expects that the alert %s stays away when all is well, and when nothing is known", name)
		}
	}
}

// The dashboard's numbers are those of this moment: what nobody tells any more is
// unknown, and not what it was hours ago. Each panel asks what Prometheus takes.
func TestDashboard(t *testing.T) {
	promtool := needTool(t, "promtool")
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct {
				Expr           string
				Instant, Range *bool
			}
			FieldConfig struct{ Defaults struct{ NoValue string } }
		}
	}
	data, err := os.ReadFile(filepath.Join(root, "monitoring/grafana/dashboards/org-runner.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			rules += fmt.Sprintf("      - {record: 'panel:%d:%d', expr: '%s'}\n", p.ID, i, target.Expr)
			if p.Type == "stat" && (target.Instant == nil || !*target.Instant || target.Range == nil || *target.Range || p.FieldConfig.Defaults.NoValue != "unknown") {
				t.Errorf("the panel %q shows the past as the present", p.Title)
			}
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"rules.yml": rules, "rules_test.yml": dashboardTests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, promtool, "check", "rules", filepath.Join(dir, "rules.yml"))
	must(t, promtool, "test", "rules", filepath.Join(dir, "rules_test.yml"))
}

// dashboardTests: the panel of the monitor tells a dead one from one that sees
// nothing, and a repository without failures has a share of 0.
const dashboardTests = `
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series:
      - {series: 'up{job="monitor", instance="monitor:9300"}', values: '1x40 0x20'}
      - {series: 'org_runner_monitor_stale{job="monitor"}', values: '0x10 1x10 0x20 stale'}
      - {series: 'org_runner_monitor_runners_stale{job="monitor"}', values: '_x5 0x24 1x10 stale'}
    promql_expr_test:
      - {expr: 'panel:6:0', eval_time: 2m, exp_samples: [{labels: 'panel:6:0', value: 0}]}
      - {expr: 'panel:6:0', eval_time: 9m, exp_samples: [{labels: 'panel:6:0', value: 0}]}
      - {expr: 'panel:6:0', eval_time: 15m, exp_samples: [{labels: 'panel:6:0', value: 1}]}
      - {expr: 'panel:6:0', eval_time: 25m, exp_samples: [{labels: 'panel:6:0', value: 0}]}
      - {expr: 'panel:6:0', eval_time: 35m, exp_samples: [{labels: 'panel:6:0', value: 1}]}
      - {expr: 'panel:6:0', eval_time: 50m, exp_samples: [{labels: 'panel:6:0', value: 2}]}
      - {expr: 'panel:1:0', eval_time: 50m}
  - interval: 1m
    input_series:
      - {series: 'org_runner_monitor_jobs_total{repository="acme/coach", conclusion="success"}', values: '0+3x60'}
      - {series: 'org_runner_monitor_jobs_total{repository="acme/coach", conclusion="failure"}', values: '0+1x60'}
      - {series: 'org_runner_monitor_jobs_total{repository="acme/mcp", conclusion="success"}', values: '0+1x60'}
      - {series: 'org_runner_monitor_jobs_total{repository="acme/quiet", conclusion="success"}', values: '7x60'}
    promql_expr_test:
      - expr: panel:10:0
        eval_time: 60m
        exp_samples:
          - {labels: 'panel:10:0{repository="acme/coach"}', value: 0.25}
          - {labels: 'panel:10:0{repository="acme/mcp"}', value: 0}
`

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

	p.up("--scale", "runner=5", "runner")
	fleet := p.do("ps", "-q", "runner")
	p.up("monitor", "prometheus") // Grafana's image would have to be pulled
	if after := p.do("ps", "-q", "runner"); len(strings.Fields(fleet)) != 5 || after != fleet {
		t.Errorf("the monitor's start has changed the runners %s to %s", fleet, after)
	}

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
	until(t, "the fleet in the monitor", func() bool {
		var o monitor.Overview
		return json.Unmarshal([]byte(get(t, page+"/api/overview")), &o) == nil && o.Runners != nil && o.Runners.Idle == 5
	})
	// Prometheus gets what ends from now on.
	for i := range 40 {
		repository, step := []string{"coach", "mcp", "personal", "ghActions"}[i%4], "sleep 0.2"
		if i%4 == 0 && i < 12 {
			step = "exit 1" // three of coach's
		}
		github.Enqueue(githubtest.Job{Repository: o.name + "/" + repository, Workflow: "CI", Name: fmt.Sprintf("build %d", i), Steps: []string{step}})
	}
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
	runners, linted := strings.Fields(p.do("ps", "-q", "runner")), 0
	own := must(t, docker, "inspect", "--format", `{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{$n.IPAddress}}{{"\n"}}{{end}}`, runners[0])
	for line := range strings.Lines(own) {
		if name, address, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasSuffix(name, "_metrics") {
			linted++
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
	if linted != 1 {
		t.Errorf("%d networks with Prometheus:\n%s", linted, own)
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
	// No page of another place may read it.
	foreign, err := http.NewRequest(http.MethodGet, prometheus+"/api/v1/query?query=up", nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign.Header.Set("Origin", "https://elsewhere.example.com")
	answer, err := http.DefaultClient.Do(foreign)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if origin := answer.Header.Get("Access-Control-Allow-Origin"); answer.StatusCode != http.StatusOK || origin != "" {
		t.Errorf("%s; %q may read Prometheus", answer.Status, origin)
	}
	// The other services are out of reach of the jobs; the other runners are not.
	reach := `for place in prometheus/9090 prometheus.monitoring/9090 monitor/9300 runner/9100; do
  if timeout 3 bash -c "exec 3<>/dev/tcp/$place" 2>/dev/null; then echo "open $place"; else echo "closed $place"; fi
done`
	if got, want := p.do("exec", "-T", "runner", "bash", "-c", reach), "closed prometheus/9090\nclosed prometheus.monitoring/9090\nclosed monitor/9300\nopen runner/9100"; got != want {
		t.Errorf("from a runner's container:\n%s", got)
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
	p.up("--force-recreate", "monitor")
	until(t, "the history of the container before", func() bool {
		var o monitor.Overview
		if json.Unmarshal([]byte(get(t, page+"/api/overview")), &o) != nil {
			return false
		}
		return o.Durations.Hour.Execution != nil && o.Durations.Hour.Execution.Count == 40
	})
	p.do("stop", "monitor", "prometheus")
	if left := p.do("ps", "--services"); left != "runner" {
		t.Errorf("after the monitor's stop there are %s", left)
	}
	p.do("stop")
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
