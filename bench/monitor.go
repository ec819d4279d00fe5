//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// The organization that the monitor is measured with.
const (
	monitorRepositories = 50
	monitorRunners      = 10_000
	monitorJobs         = 1_000
)

// monitor takes the memory of org-runner monitor once it has seen a large
// organization, while its page is asked for every second.
func (b *bench) monitor(product string) error {
	s, err := b.github(0)
	if err != nil {
		return err
	}
	defer s.Close()
	s.AddRunners(monitorRunners, githubtest.Runner{Scope: "acme", Name: "fleet", Online: true, Version: "2.336.0", Labels: []string{"self-hosted", "Linux", "X64", "ephemeral", "docker", "org-runner"}})
	for i := range monitorRepositories {
		s.AddRepository(fmt.Sprintf("acme/r%02d", i))
	}
	for i := range monitorJobs {
		began := time.Now().Add(-time.Duration(i) * 10 * time.Minute)
		s.AddJob(githubtest.Job{Repository: fmt.Sprintf("acme/r%02d", i%monitorRepositories), Workflow: "CI", Name: fmt.Sprint("build ", i%5), Status: "completed", Result: "success",
			RunnerName: "fleet-1", Queued: began, Started: began.Add(10 * time.Second), Completed: began.Add(3 * time.Minute)})
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	free.Close()
	m := exec.Command(product, "monitor", "--listen", address, "--data", filepath.Join(b.dir, "history"), "--calls-per-hour", "10000")
	m.Env = []string{"GITHUB_SERVER_URL=" + s.URL(), "GITHUB_ORGANIZATION=acme", "GITHUB_TOKEN=" + token, "SSL_CERT_FILE=" + filepath.Join(b.dir, "ca.pem")}
	began := time.Now()
	if err := m.Start(); err != nil {
		return err
	}
	defer func() { _ = m.Process.Kill(); _ = m.Wait() }()
	var o struct {
		Runners struct{ Total int }
		GitHub  struct {
			LastHour int `json:"last_hour"`
		}
		Durations struct {
			Week struct{ Execution struct{ Count int } }
		}
	}
	var took []float64
	var most float64
	for settled := 0; settled < 20; time.Sleep(time.Second) {
		if time.Since(began) > 3*time.Minute {
			return fmt.Errorf("the monitor has seen %d runners and %d jobs only", o.Runners.Total, o.Durations.Week.Execution.Count)
		}
		asked := time.Now()
		response, err := http.Get("http://" + address + "/api/overview")
		if err != nil {
			continue
		}
		err = json.NewDecoder(response.Body).Decode(&o)
		response.Body.Close()
		if err != nil {
			return err
		}
		took = append(took, ms(time.Since(asked)))
		most = max(most, memory(m.Process.Pid).peak)
		if o.Runners.Total == monitorRunners && o.Durations.Week.Execution.Count >= monitorJobs*9/10 {
			settled++
		}
	}
	what := fmt.Sprintf("monitor of %d repositories and %d runners, ", monitorRepositories, monitorRunners)
	b.add(what+"highest RSS", "MiB", map[string][]float64{"org-runner": {most}})
	b.add(what+"CPU of its first look", "ms", map[string][]float64{"org-runner": {ticks(m.Process.Pid)}})
	b.add(what+"/api/overview", "ms", map[string][]float64{"org-runner": took})
	b.add(what+"calls of its first look", "calls", map[string][]float64{"org-runner": {float64(o.GitHub.LastHour)}})
	return m.Process.Signal(syscall.SIGTERM)
}
