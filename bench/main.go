//go:build linux

// Bench measures org-runner against a plain shell entrypoint and against the
// official scripts without any:
//
//	go run ./bench
//
// All of them run the stand-in runner over the same fake GitHub with TLS, in
// turn. It prints a table in Markdown; -json writes the same as JSON.
package main

import (
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

//go:embed entrypoint.sh bare.sh
var scripts embed.FS

// result is one row: the medians of all contenders for one figure.
type result struct {
	Figure string             `json:"figure"`
	Unit   string             `json:"unit"`
	Median map[string]float64 `json:"median"`
	Spread map[string]float64 `json:"spread"` // between the quartiles
}

// contender is one way to run a runner.
type contender struct {
	name    string
	command []string
	environ []string
	ready   bool // gets a registration token
}

type bench struct {
	dir, listener string
	rounds        int
	contenders    []contender
	results       []result
}

func main() {
	rounds := flag.Int("rounds", 9, "how often each figure is taken; the median counts")
	path := flag.String("json", "", "write the figures to this file too")
	fleet := flag.String("fleet", "1,10,50,100", "how many idle runners at once; empty: none")
	parts := flag.String("parts", "lives,turnaround,health,day,monitor,fleet", "what to measure")
	flag.Parse()
	if err := run(*rounds, *path, *fleet, strings.Split(*parts, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, path, fleet string, parts []string) (err error) {
	for _, tool := range []string{"bash", "curl", "jq", "pgrep"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the shell entrypoint needs %s: install it (apt-get install bash curl jq procps)", tool)
		}
	}
	dir, err := os.MkdirTemp("", "org-runner-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, rounds: rounds}
	product, err := runnertest.BuildProduct(dir, strings.Fields(runnertest.ImageFlags)...)
	if err != nil {
		return err
	}
	if b.listener, err = runnertest.Build(dir); err != nil {
		return err
	}
	for _, name := range []string{"entrypoint.sh", "bare.sh"} {
		data, err := scripts.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			return err
		}
	}
	b.contenders = []contender{
		{name: "org-runner", command: []string{product}},
		{name: "org-runner, jit", command: []string{product}, environ: []string{"RUNNER_REGISTRATION=jit"}},
		{name: "shell", command: []string{filepath.Join(dir, "entrypoint.sh")}},
		{name: "bare", command: []string{filepath.Join(dir, "bare.sh")}, ready: true},
	}
	defer func() {
		if err == nil {
			return
		}
		if text, readErr := os.ReadFile(filepath.Join(dir, "log")); readErr == nil {
			err = fmt.Errorf("%w\n%s", err, text)
		}
	}()
	for _, part := range parts {
		switch part {
		case "lives":
			err = errors.Join(b.lives(0), b.lives(50*time.Millisecond))
		case "turnaround":
			err = b.turnaround()
		case "health":
			err = b.healthCheck(product)
		case "day":
			err = b.day(product)
		case "monitor":
			err = b.monitor(product)
		case "fleet":
			err = b.fleets(fleet)
		default:
			err = fmt.Errorf("-parts knows lives, turnaround, health, day, monitor and fleet, not %q", part)
		}
		if err != nil {
			return err
		}
	}
	if info, err := os.Stat(product); err == nil {
		b.add("binary", "MB", map[string][]float64{"org-runner": {float64(info.Size()) / 1e6}})
	}
	b.print()
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// add keeps one figure's samples, by contender.
func (b *bench) add(figure, unit string, samples map[string][]float64) {
	r := result{Figure: figure, Unit: unit, Median: map[string]float64{}, Spread: map[string]float64{}}
	for name, values := range samples {
		slices.Sort(values)
		r.Median[name] = values[len(values)/2]
		r.Spread[name] = values[len(values)*3/4] - values[len(values)/4]
	}
	b.results = append(b.results, r)
}

// print writes the table.
func (b *bench) print() {
	fmt.Printf("%s, %d cores, %s\n\n", runtime.Version(), runtime.NumCPU(), kernel())
	fmt.Print("| figure |")
	for _, c := range b.contenders {
		fmt.Printf(" %s |", c.name)
	}
	fmt.Print("\n|---|" + strings.Repeat("---|", len(b.contenders)) + "\n")
	for _, r := range b.results {
		fmt.Printf("| %s, %s |", r.Figure, r.Unit)
		for _, c := range b.contenders {
			if value, ok := r.Median[c.name]; ok {
				fmt.Printf(" %s ± %s |", number(value), number(r.Spread[c.name]/2))
			} else {
				fmt.Print(" |")
			}
		}
		fmt.Println()
	}
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func kernel() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(data))
}

// github starts a fake with TLS.
func (b *bench) github(latency time.Duration) (*githubtest.Server, error) {
	s, err := githubtest.Start(githubtest.Options{Latency: latency, TLSHosts: []string{"127.0.0.1"}, CallsPerHour: 1 << 20})
	if err != nil {
		return nil, err
	}
	s.AddOrganization("acme")
	s.AddRepository("acme/coach")
	s.AddToken(githubtest.Token{Value: token})
	// As large as a system's file of authorities: to read it is part of a start.
	system, _ := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	return s, os.WriteFile(filepath.Join(b.dir, "ca.pem"), append(system, s.CA()...), 0o644)
}

const token = "ghp_of-the-benchmark"
