//go:build linux

package main

import (
	"context"
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
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// patience bounds each thing that is waited for.
const patience = time.Minute

// life is one process of a contender.
type life struct {
	*exec.Cmd
	home  string
	began time.Time
	ended chan struct{}
	end   time.Time
}

// start starts a contender in a folder of its own. The folder's config.sh notes
// when it was started.
func (b *bench) start(c contender, s *githubtest.Server, name string) (*life, error) {
	home, err := os.MkdirTemp(b.dir, "home")
	if err != nil {
		return nil, err
	}
	if err := runnertest.Install(home, b.listener); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "config.sh")
	if err := os.Rename(config, filepath.Join(home, "config-original.sh")); err != nil {
		return nil, err
	}
	// EPOCHREALTIME is bash's own: no process is started for it.
	wrapper := "#!/bin/bash\necho \"$EPOCHREALTIME\" > " + home + "/.config-began\nexec " + home + "/config-original.sh \"$@\"\n"
	if err := os.WriteFile(config, []byte(wrapper), 0o755); err != nil {
		return nil, err
	}
	l := &life{Cmd: exec.Command(c.command[0], c.command[1:]...), home: home, ended: make(chan struct{})}
	l.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "RUNNER_HOME=" + home, "GITHUB_SERVER_URL=" + s.URL(), "GITHUB_ORGANIZATION=acme", "GITHUB_TOKEN=" + token,
		"RUNNER_NAME=" + name, "RUNNER_NAME_SUFFIX=none", "RUNNER_USER=root", "RUNNER_ALLOW_RUNASROOT=1", "LABELS=org-runner",
		"SSL_CERT_FILE=" + filepath.Join(b.dir, "ca.pem"), "CURL_CA_BUNDLE=" + filepath.Join(b.dir, "ca.pem"),
	}, c.environ...)
	if c.ready {
		l.Env = append(l.Env, "READY_TOKEN="+s.RegistrationToken("acme"))
	}
	// As in a container: what the shell does not end, we end.
	l.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log, err := os.Create(filepath.Join(b.dir, "log")) // of the last one: for when it fails
	if err != nil {
		return nil, err
	}
	defer log.Close()
	l.Stdout, l.Stderr = log, log
	l.began = time.Now()
	if err := l.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = l.Wait()
		l.end = time.Now()
		close(l.ended)
	}()
	return l, nil
}

// wait waits for the life's end.
func (l *life) wait() error {
	select {
	case <-l.ended:
		return os.RemoveAll(l.home)
	case <-time.After(patience):
		_ = syscall.Kill(-l.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("%s does not end", l.Path)
	}
}

// configBegan is when config.sh was started.
func (l *life) configBegan() (time.Time, error) {
	data, err := os.ReadFile(filepath.Join(l.home, ".config-began"))
	if err != nil {
		return time.Time{}, err
	}
	micros, err := strconv.ParseInt(strings.Replace(strings.TrimSpace(string(data)), ".", "", 1), 10, 64)
	return time.UnixMicro(micros), err
}

// until waits for what GitHub sees.
func until(s *githubtest.Server, what string, condition func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.WaitFor(ctx, condition) != nil {
		return errors.New("never came: " + what)
	}
	return nil
}

// ms is a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// samples are a figure's values by contender.
type samples map[string]map[string][]float64

func (s samples) add(figure, contender string, value float64) {
	if s[figure] == nil {
		s[figure] = map[string][]float64{}
	}
	s[figure][contender] = append(s[figure][contender], value)
}

// lives takes what one life costs, in turn.
func (b *bench) lives(latency time.Duration) error {
	s, err := b.github(latency)
	if err != nil {
		return err
	}
	defer s.Close()
	taken := samples{}
	for range b.rounds + 1 {
		for _, c := range b.contenders {
			if err := b.oneJob(c, s, taken); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if c.name == "bare" {
				continue // nobody answers its signals
			}
			if err := b.stopIdle(c, s, taken); err != nil {
				return fmt.Errorf("%s, stopped: %w", c.name, err)
			}
		}
	}
	where := fmt.Sprintf(" (GitHub answers in %d ms)", latency.Milliseconds())
	for _, figure := range []struct{ name, unit string }{
		{"start to config.sh", "ms"}, {"start to listening", "ms"}, {"job's end to exit", "ms"}, {"SIGTERM to exit, idle", "ms"},
		{"CPU of a life, the runner's included", "ms"}, {"RSS while a job runs", "MiB"}, {"PSS while a job runs", "MiB"}, {"highest RSS of a life", "MiB"},
		{"GitHub calls for a job", "calls"}, {"connections for a job, the runner's included", "connections"},
	} {
		for name := range taken[figure.name] {
			taken[figure.name][name] = taken[figure.name][name][1:] // the first warms up
		}
		b.add(figure.name+where, figure.unit, taken[figure.name])
	}
	return nil
}

// oneJob runs a life for one job.
func (b *bench) oneJob(c contender, s *githubtest.Server, taken samples) error {
	restCalls, connections := len(s.Calls("")), s.Connections()
	l, err := b.start(c, s, "bench")
	if err != nil {
		return err
	}
	online := func() bool { r := s.Runners(); return len(r) == 1 && r[0].Online }
	if err := until(s, "a runner that listens", online); err != nil {
		return err
	}
	var listening time.Time
	if err := until(s, "its session", func() bool {
		for _, call := range s.Calls("runner:session") {
			if call.Time.After(l.began) {
				listening = call.Time
			}
		}
		return !listening.IsZero()
	}); err != nil {
		return err
	}
	job := s.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 2.5"}})
	if err := until(s, "the job's start", func() bool { return s.Job(job).Status == "in_progress" }); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // both have come to rest by then
	used := memory(l.Process.Pid)
	if err := until(s, "the job's end", func() bool { return s.Job(job).Status == "completed" }); err != nil {
		return err
	}
	completed := s.Job(job).Completed
	began, noConfig := l.configBegan()
	if err := l.wait(); err != nil {
		return err
	}
	if noConfig == nil {
		taken.add("start to config.sh", c.name, ms(began.Sub(l.began)))
	}
	taken.add("start to listening", c.name, ms(listening.Sub(l.began)))
	taken.add("job's end to exit", c.name, ms(l.end.Sub(completed)))
	taken.add("CPU of a life, the runner's included", c.name, ms(l.ProcessState.UserTime()+l.ProcessState.SystemTime()))
	if c.name != "bare" { // its process is run.sh itself
		taken.add("RSS while a job runs", c.name, used.rss)
		taken.add("PSS while a job runs", c.name, used.pss)
		taken.add("highest RSS of a life", c.name, used.peak)
	}
	taken.add("GitHub calls for a job", c.name, float64(len(s.Calls(""))-restCalls))
	taken.add("connections for a job, the runner's included", c.name, float64(s.Connections()-connections))
	return nil
}

func (b *bench) stopIdle(c contender, s *githubtest.Server, taken samples) error {
	l, err := b.start(c, s, "bench")
	if err != nil {
		return err
	}
	if err := until(s, "a runner that listens", func() bool { r := s.Runners(); return len(r) == 1 && r[0].Online }); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond) // the shell has to reach its wait
	began := time.Now()
	if err := l.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := l.wait(); err != nil {
		return err
	}
	taken.add("SIGTERM to exit, idle", c.name, ms(l.end.Sub(began)))
	if left := s.Runners(); len(left) > 0 {
		return fmt.Errorf("it has left a runner: %+v", left)
	}
	return nil
}

// footprint is a process's memory in MiB: resident, its share of what it has in
// common with others, and the highest resident until now.
type footprint struct{ rss, pss, peak float64 }

func memory(pid int) (f footprint) {
	fields := map[string]*float64{"Rss:": &f.rss, "Pss:": &f.pss, "VmHWM:": &f.peak}
	for _, file := range []string{"smaps_rollup", "status"} {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		for line := range strings.Lines(string(data)) {
			var name string
			var kib float64
			if n, _ := fmt.Sscan(line, &name, &kib); n == 2 && fields[name] != nil {
				*fields[name] = kib / 1024
			}
		}
	}
	return f
}
