//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// What 24 h bring to one runner that stays: a health check every 30 s, the
// watchdog's question every 5 minutes, a job every quarter of an hour, and the
// lines of their output.
const (
	checksOfDay = 24 * 60 * 2
	questions   = 24 * 12
	jobsOfDay   = 24 * 4
)

// day takes the memory of one process at its first rest, and after all that, in
// five minutes.
func (b *bench) day(product string) error {
	s, err := b.github(0)
	if err != nil {
		return err
	}
	defer s.Close()
	c := b.contenders[0]
	c.environ = []string{"EPHEMERAL=false", "RUNNER_WATCHDOG=1s"}
	l, err := b.start(c, s, "bench")
	if err != nil {
		return err
	}
	if err := until(s, "a runner that listens", func() bool { r := s.Runners(); return len(r) == 1 && r[0].Online }); err != nil {
		return err
	}
	b.atRest(c.name, "at the first rest", l)

	var both sync.WaitGroup
	var failed error
	both.Go(func() {
		for range checksOfDay {
			check := exec.Command(product, "healthcheck")
			check.Env = l.Env
			if out, err := check.CombinedOutput(); err != nil {
				failed = fmt.Errorf("healthcheck: %w: %s", err, out)
				return
			}
			time.Sleep(90 * time.Millisecond)
		}
	})
	jobs := func() error {
		for range jobsOfDay {
			id := s.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"for i in $(seq 200); do echo a line of a job $i; done"}})
			if err := until(s, "the job's end", func() bool { return s.Job(id).Status == "completed" }); err != nil {
				return err
			}
			if j := s.Job(id); j.Result != "success" {
				return fmt.Errorf("a job ended with %q", j.Result)
			}
		}
		return nil
	}
	err = jobs()
	both.Wait()
	if err == nil {
		err = failed
	}
	for began := time.Now(); err == nil && len(s.Calls("get-runner")) < questions; time.Sleep(time.Second) {
		if time.Since(began) > 2*questions*time.Second {
			err = fmt.Errorf("the watchdog asks too seldom: %d times", len(s.Calls("get-runner")))
		}
	}
	if err != nil {
		return err
	}
	b.atRest(c.name, "after a day's events", l)
	_ = l.Process.Signal(syscall.SIGTERM)
	return l.wait()
}

// atRest takes the memory of a life between two of the watchdog's questions, which
// go on: the least of what is seen in five seconds.
func (b *bench) atRest(contender, when string, l *life) {
	time.Sleep(time.Second)
	least := memory(l.Process.Pid)
	for range 50 {
		time.Sleep(100 * time.Millisecond)
		if now := memory(l.Process.Pid); now.rss < least.rss {
			least = now
		}
	}
	b.add(when+", RSS", "MiB", map[string][]float64{contender: {least.rss}})
	b.add(when+", PSS", "MiB", map[string][]float64{contender: {least.pss}})
}
