//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// turnaround takes how many jobs of one second one container slot does in a
// minute: each life is followed by the next at once.
func (b *bench) turnaround() error {
	const jobs = 4
	s, err := b.github(20 * time.Millisecond)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, delay := range []time.Duration{0, time.Second, 3 * time.Second} {
		taken := map[string][]float64{}
		for _, c := range b.contenders {
			if c.name == "bare" {
				continue
			}
			s.Behave(githubtest.Behaviour{StartDelay: delay})
			began := time.Now()
			for range jobs {
				id := s.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 1"}})
				l, err := b.start(c, s, "bench")
				if err != nil {
					return err
				}
				if err := l.wait(); err != nil {
					return err
				}
				if j := s.Job(id); j.Result != "success" {
					return fmt.Errorf("%s: the job ended with %q", c.name, j.Result)
				}
			}
			taken[c.name] = []float64{jobs * 60 / time.Since(began).Seconds()}
		}
		b.add(fmt.Sprintf("jobs of 1 s through one slot, listener starts in %d s", int(delay.Seconds())), "jobs/min", taken)
	}
	return nil
}

// healthCheck takes what HEALTHCHECK costs.
func (b *bench) healthCheck(product string) error {
	s, err := b.github(0)
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := b.start(b.contenders[0], s, "bench")
	if err != nil {
		return err
	}
	if err := until(s, "a runner that listens", func() bool { r := s.Runners(); return len(r) == 1 && r[0].Online }); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // it has come to rest, as it has in nearly every check
	var took, cpu []float64
	for range b.rounds * 3 {
		check := exec.Command(product, "healthcheck")
		check.Env = l.Env
		began := time.Now()
		if out, err := check.CombinedOutput(); err != nil {
			return fmt.Errorf("healthcheck: %w: %s", err, out)
		}
		took = append(took, ms(time.Since(began)))
		cpu = append(cpu, ms(check.ProcessState.UserTime()+check.ProcessState.SystemTime()))
	}
	peak, err := b.heldCheck(product, l)
	if err != nil {
		return err
	}
	b.add("health check, time", "ms", map[string][]float64{"org-runner": took})
	b.add("health check, CPU", "ms", map[string][]float64{"org-runner": cpu})
	b.add("health check, highest RSS", "MiB", map[string][]float64{"org-runner": {peak}})
	_ = l.Process.Signal(syscall.SIGTERM)
	return l.wait()
}

// heldCheck is the memory of a health check that has asked and gets no answer yet,
// in MiB: the life is held meanwhile. What the kernel tells of a process that has
// ended counts the one that started it too.
func (b *bench) heldCheck(product string, l *life) (float64, error) {
	if err := l.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	check := exec.Command(product, "healthcheck")
	check.Env = l.Env
	err := check.Start()
	if err == nil {
		time.Sleep(time.Second) // it waits for five
		peak := memory(check.Process.Pid).peak
		err = l.Process.Signal(syscall.SIGCONT)
		return peak, errors.Join(err, check.Wait())
	}
	return 0, errors.Join(err, l.Process.Signal(syscall.SIGCONT))
}

// fleets takes several sizes, with commas between them.
func (b *bench) fleets(sizes string) error {
	for size := range strings.SplitSeq(sizes, ",") {
		if size == "" {
			continue
		}
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-fleet: %w", err)
		}
		if err := b.fleet(n); err != nil {
			return err
		}
	}
	return nil
}

// fleet takes what many idle runners cost, each.
func (b *bench) fleet(size int) error {
	const watched = 5 * time.Second
	s, err := b.github(0)
	if err != nil {
		return err
	}
	defer s.Close()
	rss, pss, cpu := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for _, c := range b.contenders {
		if c.name != "org-runner" && c.name != "shell" {
			continue
		}
		var all []*life
		for i := range size {
			l, err := b.start(c, s, fmt.Sprint("bench-", i))
			if err != nil {
				return err
			}
			all = append(all, l)
		}
		if err := until(s, "a fleet that listens", func() bool {
			online := 0
			for _, r := range s.Runners() {
				if r.Online {
					online++
				}
			}
			return online == size
		}); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		var r, p, used float64
		for _, l := range all {
			used -= ticks(l.Process.Pid)
		}
		time.Sleep(watched)
		for _, l := range all {
			used += ticks(l.Process.Pid)
			one := memory(l.Process.Pid)
			r, p = r+one.rss, p+one.pss
		}
		rss[c.name], pss[c.name], cpu[c.name] = []float64{r / float64(size)}, []float64{p / float64(size)}, []float64{used / float64(size) / watched.Seconds()}
		for _, l := range all {
			_ = l.Process.Signal(syscall.SIGTERM)
		}
		for _, l := range all {
			if err := l.wait(); err != nil {
				return err
			}
		}
	}
	b.add(fmt.Sprintf("each of %d idle, RSS", size), "MiB", rss)
	b.add(fmt.Sprintf("each of %d idle, PSS", size), "MiB", pss)
	b.add(fmt.Sprintf("each of %d idle, CPU", size), "ms/s", cpu)
	return nil
}

// ticks is the CPU time of a process alone, in milliseconds.
func ticks(pid int) float64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) * 10 // 100 ticks a second
}
