package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

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
	return string(bytes.ToValidUTF8(l.b.Bytes(), []byte("?")))
}

func (l *logBuffer) say(format string, values ...any) { fmt.Fprintf(l, format+"\n", values...) }

// invoke runs a step's process and returns its exit code. When cancelled is
// closed it ends it as the official ProcessInvoker does. A child of the process
// that holds the output costs five seconds.
func (w *worker) invoke(cancelled <-chan struct{}, name string, args ...string) int {
	command := exec.Command(name, args...)
	command.Env, command.Dir = w.env, w.dir
	output, write, err := os.Pipe()
	if err != nil {
		w.log.say("##[error]%s", err)
		return 1
	}
	command.Stdout, command.Stderr = write, write
	err = command.Start()
	write.Close()
	if err != nil {
		output.Close()
		w.log.say("##[error]%s", err)
		return 1
	}
	ended, escalated, copied := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(&w.log, output) }()
	go func() {
		defer close(escalated)
		select {
		case <-ended:
		case <-cancelled:
			escalate(command.Process, ended)
		}
	}()
	_ = command.Wait()
	close(ended)
	<-escalated
	select {
	case <-copied:
	case <-time.After(pace(heldOutputWait)):
	}
	output.Close()
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}

// escalate interrupts a process, then terminates it, then kills all of its tree.
func escalate(process *os.Process, ended <-chan struct{}) {
	for _, s := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, interruptWait}, {syscall.SIGTERM, terminateWait}} {
		_ = syscall.Kill(process.Pid, s.signal)
		select {
		case <-ended:
			return
		case <-time.After(pace(s.wait)):
		}
	}
	for _, pid := range append(descendants(process.Pid), process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// terminateOrphans kills what carries the job's tracking id, as the official
// worker does at a job's end.
func (w *worker) terminateOrphans() {
	w.log.say("Cleaning up orphan processes")
	for pid := range stats() {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || pid == os.Getpid() || !slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return string(v) == "RUNNER_TRACKING_ID="+w.tracking }) {
			continue
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		w.log.say("Terminate orphan process: pid (%d) (%s)", pid, bytes.TrimSpace(name))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// stat is what /proc tells of a process.
type stat struct {
	state  byte
	parent int
}

func readStat(pid int) (s stat, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, false
	}
	// The name in parentheses can hold anything, parentheses too.
	_, err = fmt.Sscanf(string(data[bytes.LastIndexByte(data, ')')+1:]), " %c %d", &s.state, &s.parent)
	return s, err == nil
}

// stats lists all processes, where the system has /proc.
func stats() map[int]stat {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	all := map[int]stat{}
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscan(filepath.Base(entry), &pid); err != nil {
			continue
		}
		if s, ok := readStat(pid); ok {
			all[pid] = s
		}
	}
	return all
}

// descendants lists a process's tree without itself.
func descendants(pid int) []int {
	children := map[int][]int{}
	for child, s := range stats() {
		children[s.parent] = append(children[s.parent], child)
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}
