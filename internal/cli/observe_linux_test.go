package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/monitor"
	"github.com/virtuoso902/org-runner/internal/secret"
)

// Prometheus asks a runner by whatever name, and a client that sends no header to the
// end keeps it from nothing.
func TestObserverAnswersToAnyName(t *testing.T) {
	o, err := newObserver("127.0.0.1:0", t.TempDir(), "", Build{}, &secret.Masker{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	address := o.listener.Addr().String()
	for range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\n")
	}
	request, _ := http.NewRequest("GET", "http://"+address+"/metrics", nil)
	request.Host = "runner-7.example.com:9100"
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 200 || !strings.Contains(string(text), "org_runner_build_info") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

// What Prometheus' alerts and Grafana's dashboard ask for is there: a metric that
// was renamed would leave them silent.
func TestAlertsAndDashboardAskForWhatIsThere(t *testing.T) {
	var known strings.Builder
	o, err := newObserver("127.0.0.1:0", t.TempDir(), "", Build{}, &secret.Masker{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	if _, err := o.registry.WriteTo(&known); err != nil {
		t.Fatal(err)
	}
	m, err := monitor.New(monitor.Options{Transport: monitor.NewTransport(nil, 100), Name: "acme", Data: t.TempDir(), Log: zerolog.New(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	answer := httptest.NewRecorder()
	m.Handler(nil).ServeHTTP(answer, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	known.WriteString(answer.Body.String())
	kinds := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(known.String(), -1) {
		kinds[line[1]] = line[2]
	}

	used := 0
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/alerts_test.yml", "grafana/dashboards/org-runner.json"} {
		data, err := os.ReadFile(filepath.Join("../../monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`org_runner_[a-z_]+`).FindAllString(string(data), -1) {
			used++
			base, isBucket := strings.CutSuffix(name, "_bucket")
			if kind := kinds[base]; kind == "" || isBucket != (kind == "histogram") {
				t.Errorf("%s asks for %s, which is %q", file, name, kind)
			}
		}
	}
	if used < 40 {
		t.Errorf("only %d metrics are asked for", used)
	}

	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	data, err := os.ReadFile("../../monitoring/grafana/dashboards/org-runner.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 || p.Targets[0].Expr == "" {
			t.Errorf("the panel %q asks for nothing", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("the panels %q and %q lie on each other", other, p.Title)
				}
				taken[at] = p.Title
			}
		}
	}
}
