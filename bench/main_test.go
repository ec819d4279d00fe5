//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// The command works: its quickest part, once.
func TestHealthCheckIsMeasured(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq", "pgrep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the benchmark needs " + tool)
		}
	}
	path := filepath.Join(t.TempDir(), "figures.json")
	if err := run(1, path, "", []string{"health"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	figures := map[string]float64{}
	for _, r := range results {
		figures[r.Figure] = r.Median["org-runner"]
	}
	for _, figure := range []string{"health check, time", "health check, CPU", "binary"} {
		if figures[figure] <= 0 {
			t.Errorf("no figure for %q in %s", figure, data)
		}
	}
}

// The shell that org-runner is measured against ends on SIGTERM, and takes its runner
// off GitHub.
func TestShellEntrypointStops(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq", "pgrep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the shell entrypoint needs " + tool)
		}
	}
	b := &bench{dir: t.TempDir()}
	var err error
	if b.listener, err = runnertest.Build(b.dir); err != nil {
		t.Fatal(err)
	}
	script, err := scripts.ReadFile("entrypoint.sh")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "entrypoint.sh")
	if err := os.WriteFile(path, script, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := b.github(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := b.stopIdle(contender{name: "shell", command: []string{path}}, s, samples{}); err != nil {
		log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		t.Errorf("%v\n%s", err, log)
	}
}

func TestMedianAndSpread(t *testing.T) {
	b := &bench{}
	b.add("figure", "ms", map[string][]float64{"a": {5, 1, 4, 2, 3}, "b": {7}})
	r := b.results[0]
	if r.Median["a"] != 3 || r.Spread["a"] != 2 || r.Median["b"] != 7 || r.Spread["b"] != 0 {
		t.Errorf("%+v", r)
	}
	for value, want := range map[float64]string{3: "3", 0.1234: "0.12", 12.34: "12.3", 1234.5: "1234", -436.2: "-436"} {
		if got := number(value); got != want {
			t.Errorf("%v: %s, want %s", value, got, want)
		}
	}
}
