package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How a step is ended when its job is cancelled (ProcessInvoker.cs).
const (
	interruptWait = 7500 * time.Millisecond
	terminateWait = 2500 * time.Millisecond
)

// worker runs one job: the started hook, the steps, the completed hook.
type worker struct {
	root      string
	job       job
	env       []string
	dir       string
	log       bytes.Buffer
	cancelled chan struct{}
}

// work is Runner.Worker: the job comes on standard input, its result goes to
// standard output.
func work(root string) int {
	in := bufio.NewReader(os.Stdin)
	decoder := json.NewDecoder(in)
	var order struct {
		Job        job
		Settings   settings
		HoldOutput bool
	}
	if err := decoder.Decode(&order); err != nil {
		return 1
	}
	w := &worker{root: root, job: order.Job, cancelled: make(chan struct{})}
	go func() {
		var word string
		if decoder.Decode(&word) == nil && word == "cancel" {
			close(w.cancelled)
		}
	}()
	if err := w.prepare(order.Settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if order.HoldOutput {
		daemon := exec.Command("sleep", "600")
		daemon.Stdout, daemon.Stderr = os.Stderr, os.Stderr
		daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = daemon.Start()
	}
	result := w.steps()
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_COMPLETED"); hook != "" && result != "cancelled" {
		fmt.Fprintln(&w.log, "Complete runner")
		if w.step("bash", "-e", hook) != nil && result == "success" {
			result = "failure"
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"Result": result, "Log": strings.ToValidUTF8(w.log.String(), "?")})
	return 100
}

// prepare makes the folder and the default variables.
func (w *worker) prepare(s settings) error {
	work := s.WorkFolder
	if !filepath.IsAbs(work) {
		work = filepath.Join(w.root, work)
	}
	owner, name, _ := strings.Cut(w.job.Repository, "/")
	w.dir = filepath.Join(work, name, name)
	temp := filepath.Join(work, "_temp")
	for _, dir := range []string{w.dir, temp, filepath.Join(work, "_tool"), filepath.Join(w.root, "_diag")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	event := filepath.Join(temp, "event.json")
	if err := os.WriteFile(event, []byte(`{}`), 0o644); err != nil {
		return err
	}
	w.env = append(os.Environ(),
		"GITHUB_ACTIONS=true", "CI=true", "GITHUB_REPOSITORY="+w.job.Repository, "GITHUB_REPOSITORY_OWNER="+owner,
		"GITHUB_WORKFLOW="+w.job.Workflow, "GITHUB_JOB="+w.job.Name, fmt.Sprintf("GITHUB_RUN_ID=%d", w.job.Run), "GITHUB_RUN_ATTEMPT=1",
		"GITHUB_ACTOR=somebody", "GITHUB_EVENT_PATH="+event, "GITHUB_WORKSPACE="+w.dir, "RUNNER_NAME="+s.AgentName, "RUNNER_TEMP="+temp,
		"RUNNER_OS=Linux", "RUNNER_TOOL_CACHE="+filepath.Join(work, "_tool"))
	return nil
}

// steps runs the started hook and the steps; the first failure ends them.
func (w *worker) steps() string {
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_STARTED"); hook != "" {
		fmt.Fprintln(&w.log, "Set up runner")
		if err := w.step("bash", "-e", hook); err != nil {
			fmt.Fprintln(&w.log, "##[error]Process completed with "+err.Error())
			return w.orCancelled("failure")
		}
	}
	for _, script := range w.job.Steps {
		if err := w.step("bash", "-e", "-c", script); err != nil {
			fmt.Fprintln(&w.log, "##[error]Process completed with "+err.Error())
			return w.orCancelled("failure")
		}
	}
	return w.orCancelled("success")
}

func (w *worker) orCancelled(result string) string {
	select {
	case <-w.cancelled:
		return "cancelled"
	default:
		return result
	}
}

// step runs one process and ends it as the official worker does when the job is
// cancelled.
func (w *worker) step(name string, args ...string) error {
	if w.orCancelled("") != "" {
		return fmt.Errorf("the job is cancelled")
	}
	command := exec.Command(name, args...)
	command.Env, command.Dir = w.env, w.dir
	var mu sync.Mutex
	out := writerFunc(func(p []byte) { mu.Lock(); w.log.Write(p); mu.Unlock() })
	command.Stdout, command.Stderr = out, out
	command.WaitDelay = time.Second // a daemon of the step keeps the pipe
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ended:
			return
		case <-w.cancelled:
		}
		for _, escalation := range []struct {
			signal syscall.Signal
			wait   time.Duration
		}{{syscall.SIGINT, interruptWait}, {syscall.SIGTERM, terminateWait}} {
			_ = command.Process.Signal(escalation.signal)
			select {
			case <-ended:
				return
			case <-time.After(escalation.wait):
			}
		}
		_ = command.Process.Kill()
	}()
	err := command.Wait()
	close(ended)
	return err
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }
