//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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
