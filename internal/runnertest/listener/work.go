package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
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

// order is what a worker is told on its standard input; after it may come one
// word: cancel or shutdown.
type order struct {
	Job        job
	Settings   settings
	HoldOutput bool
}

// outcome is what it answers on its standard output: success, failure, cancelled
// or shutdown.
type outcome struct{ Result, Log string }

// worker runs one job: the started hook, the steps, the completed hook.
type worker struct {
	job       job
	env       []string
	dir       string
	log       logBuffer
	word      string // why it is cancelled; read after cancelled is closed
	once      sync.Once
	cancelled chan struct{}
}

// logBuffer is what a step and what it leaves behind write into.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ToValidUTF8(l.b.String(), "?")
}

// work is Runner.Worker.
func work(root string) int {
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	var o order
	if err := decoder.Decode(&o); err != nil {
		return fail("%s", err)
	}
	w := &worker{job: o.Job, cancelled: make(chan struct{})}
	w.watch(decoder)
	if err := w.prepare(root, o.Settings); err != nil {
		return fail("%s", err)
	}
	if o.HoldOutput {
		daemon := exec.Command("sleep", "600")
		daemon.Stdout, daemon.Stderr = os.Stderr, os.Stderr
		daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = daemon.Start()
	}
	result := w.steps()
	// A shutdown skips the hook too; a person's cancellation does not.
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_COMPLETED"); hook != "" && result != "shutdown" {
		fmt.Fprintln(&w.log, "Complete runner")
		if w.process(nil, "bash", "-e", hook) != nil && result == "success" {
			result = "failure"
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(outcome{result, w.log.String()})
	return 0
}

// watch waits for the word that ends the job. An interrupt leaves the worker
// alone, so that its listener can end the job; SIGTERM ends the job.
func (w *worker) watch(decoder *json.Decoder) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				w.cancel("shutdown")
			}
		}
	}()
	go func() {
		var word string
		if decoder.Decode(&word) == nil {
			w.cancel(word)
		}
	}()
}

func (w *worker) cancel(word string) {
	w.once.Do(func() {
		w.word = word
		if word == "shutdown" {
			fmt.Fprintln(&w.log, "##[error]The runner has received a shutdown signal. This can happen when the runner service is stopped, or a manually started runner is canceled.")
		}
		close(w.cancelled)
	})
}

// prepare makes the folders and the default variables.
func (w *worker) prepare(root string, s settings) error {
	work := s.WorkFolder
	if !filepath.IsAbs(work) {
		work = filepath.Join(root, work)
	}
	owner, name, _ := strings.Cut(w.job.Repository, "/")
	w.dir = filepath.Join(work, name, name)
	temp, tools, diagnostics := filepath.Join(work, "_temp"), filepath.Join(work, "_tool"), filepath.Join(root, "_diag")
	for _, dir := range []string{w.dir, temp, tools, diagnostics} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	event := filepath.Join(temp, "_github_workflow", "event.json")
	if err := os.MkdirAll(filepath.Dir(event), 0o755); err != nil {
		return err
	}
	for path, content := range map[string]string{event: "{}", filepath.Join(diagnostics, fmt.Sprintf("Worker_%d-utc.log", w.job.ID)): "the worker's log\n"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	w.env = os.Environ()
	for name, value := range w.job.Env {
		w.env = append(w.env, name+"="+value)
	}
	w.env = append(w.env,
		"GITHUB_ACTIONS=true", "CI=true", "GITHUB_SERVER_URL="+server(s.GitHubURL), "GITHUB_REPOSITORY="+w.job.Repository, "GITHUB_REPOSITORY_OWNER="+owner,
		"GITHUB_WORKFLOW="+w.job.Workflow, "GITHUB_JOB="+w.job.Name, fmt.Sprintf("GITHUB_RUN_ID=%d", w.job.Run), "GITHUB_RUN_ATTEMPT=1",
		"GITHUB_RUN_NUMBER=1", "GITHUB_ACTOR=somebody", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+event, "GITHUB_REF=refs/heads/main",
		"GITHUB_SHA=0123456789abcdef0123456789abcdef01234567",
		"GITHUB_WORKSPACE="+w.dir, "RUNNER_NAME="+s.AgentName, "RUNNER_ENVIRONMENT=self-hosted", "RUNNER_OS=Linux", "RUNNER_ARCH=X64",
		"RUNNER_TEMP="+temp, "RUNNER_TOOL_CACHE="+tools, "RUNNER_WORKSPACE="+filepath.Dir(w.dir))
	w.setUp(root)
	return nil
}

// setUp writes what "Set up job" shows, .setup_info included.
func (w *worker) setUp(root string) {
	fmt.Fprintf(&w.log, "Current runner version: '%s'\n", version)
	var info []struct{ Group, Detail string }
	data, err := os.ReadFile(filepath.Join(root, ".setup_info"))
	if err != nil || json.Unmarshal(bytes.TrimPrefix(data, []byte(byteOrderMark)), &info) != nil {
		return
	}
	for _, i := range info {
		fmt.Fprintf(&w.log, "##[group]%s\n%s\n##[endgroup]\n", i.Group, i.Detail)
	}
}

// steps runs the started hook and the steps; the first failure ends them.
func (w *worker) steps() string {
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_STARTED"); hook != "" {
		fmt.Fprintln(&w.log, "Set up runner")
		if w.process(w.cancelled, "bash", "-e", hook) != nil {
			return w.orCancelled("failure")
		}
	}
	for _, script := range w.job.Steps {
		if w.process(w.cancelled, "bash", "-e", "-c", script) != nil {
			return w.orCancelled("failure")
		}
	}
	return w.orCancelled("success")
}

func (w *worker) orCancelled(result string) string {
	select {
	case <-w.cancelled:
		if w.word == "shutdown" {
			return "shutdown"
		}
		return "cancelled"
	default:
		return result
	}
}

// process runs one process, and ends it as the official worker does when
// cancelled is closed.
func (w *worker) process(cancelled <-chan struct{}, name string, args ...string) error {
	select {
	case <-cancelled:
		return os.ErrProcessDone
	default:
	}
	command := exec.Command(name, args...)
	command.Env, command.Dir = w.env, w.dir
	command.Stdout, command.Stderr = &w.log, &w.log
	command.WaitDelay = time.Second // a daemon of the step keeps the pipe
	if err := command.Start(); err != nil {
		fmt.Fprintln(&w.log, "##[error]"+err.Error())
		return err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ended:
		case <-cancelled:
			escalate(command.Process, ended)
		}
	}()
	err := command.Wait()
	close(ended)
	if code := command.ProcessState.ExitCode(); code != 0 {
		fmt.Fprintf(&w.log, "##[error]Process completed with exit code %d.\n", code)
		return err
	}
	return nil
}

// escalate interrupts a process, then terminates it, then kills all of its tree.
func escalate(process *os.Process, ended <-chan struct{}) {
	for _, s := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, interruptWait}, {syscall.SIGTERM, terminateWait}} {
		_ = process.Signal(s.signal)
		select {
		case <-ended:
			return
		case <-time.After(s.wait):
		}
	}
	for _, pid := range descendants(process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = process.Kill()
}

// descendants lists a process's tree without itself, where the system has /proc.
func descendants(pid int) []int {
	entries, _ := os.ReadDir("/proc")
	children := map[int][]int{}
	for _, entry := range entries {
		var child, parent int
		data, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue
		}
		// The name in parentheses can hold anything, parentheses too.
		_, rest, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')')+1:]), " ")
		var state string
		if _, err := fmt.Sscan(rest, &state, &parent); err != nil {
			continue
		}
		if _, err := fmt.Sscan(entry.Name(), &child); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}
