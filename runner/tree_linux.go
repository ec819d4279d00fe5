package runner

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parents returns the parent of every process that /proc shows.
func parents() map[int]int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	result := make(map[int]int, len(entries))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(pid); ok {
			result[pid] = parent
		}
	}
	return result
}

// parentOf reads field 4 of /proc/<pid>/stat. Field 2 is the program's name in
// parentheses and may hold anything, parentheses too: count from its end.
// Zombies have no part in a tree any more.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// descendants returns the processes below root, nearest first.
func descendants(root int) []int {
	children := make(map[int][]int)
	for pid, parent := range parents() {
		children[parent] = append(children[parent], pid)
	}
	var found []int
	for level := []int{root}; len(level) > 0; {
		var next []int
		for _, pid := range level {
			next = append(next, children[pid]...)
		}
		found = append(found, next...)
		level = next
	}
	return found
}

// commandLine returns the arguments of a process; unlike /proc/<pid>/exe they
// are readable across users without any capability.
func commandLine(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// findListener returns the official runner's listener among our descendants: 0
// when none runs, as during its self-update. The nearest one counts: what a job
// starts under the same name is below the true one.
func findListener() int {
	if childless() {
		return 0 // as at every end: no look at all processes of the machine
	}
	for _, pid := range descendants(os.Getpid()) {
		if args := commandLine(pid); len(args) > 1 && args[1] == "run" &&
			strings.HasSuffix(args[0], filepath.Join("/bin", "Runner.Listener")) {
			return pid
		}
	}
	return 0
}

// interruptListener sends SIGINT to the listener alone. run.sh would pass it to
// its whole process group, the job's steps included. It tells whether there was
// a listener.
func interruptListener() bool {
	pid := findListener()
	if pid == 0 {
		return false
	}
	return syscall.Kill(pid, syscall.SIGINT) == nil
}

// killTree ends every process below this one, also those that made a session
// of their own, and waits until the reaper has met them. It returns those that
// are still there at the deadline: another user's, which only the end of the
// container ends.
func killTree(deadline time.Time) []int {
	for {
		if childless() {
			return nil
		}
		rest := descendants(os.Getpid())
		if len(rest) == 0 {
			return nil
		}
		refused := 0
		for _, pid := range rest {
			if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.EPERM) {
				refused++
			}
		}
		if refused == len(rest) || time.Now().After(deadline) {
			return rest
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// childless tells whether there is no process below this one. Orphans become our
// children, so without a child there is no descendant; the kernel tells it
// without a look at all processes of the machine.
func childless() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
	return errors.Is(err, unix.ECHILD)
}

// killLeftovers ends the listeners of this folder that a killed life outside of
// a container has left running; inside of one the kernel has ended them.
func killLeftovers(home string) {
	for pid := range parents() {
		if args := commandLine(pid); len(args) > 1 && args[1] == "run" && args[0] == filepath.Join(home, "bin", "Runner.Listener") {
			for _, child := range append(descendants(pid), pid) {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
	}
}
