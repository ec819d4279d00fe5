package runner

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stat is what /proc/PID/stat tells of a process.
type stat struct {
	parent  int
	started uint64 // clock ticks after the machine's boot
}

// processes returns all processes that /proc shows and that still work.
func processes() map[int]stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	result := make(map[int]stat, len(entries))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if stat, ok := readStat(pid); ok {
			result[pid] = stat
		}
	}
	return result
}

// readStat reads fields 3, 4 and 22 of /proc/PID/stat; false if the process has
// ended. Field 2 is the program's name in parentheses and may hold anything,
// parentheses too: count from its end.
func readStat(pid int) (stat, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || strings.ContainsAny(fields[0], "ZX") && !hasThreads(pid) {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, false
	}
	started, err := strconv.ParseUint(fields[19], 10, 64)
	return stat{parent, started}, err == nil
}

// hasThreads tells whether a process whose first thread has ended works on in
// another one. It is Z in its stat, and nobody can wait for it yet.
func hasThreads(pid int) bool {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	return err == nil && len(threads) > 1
}

// descendants returns the processes below root, nearest first.
func descendants(root int) []int {
	children := make(map[int][]int)
	for pid, stat := range processes() {
		children[stat.parent] = append(children[stat.parent], pid)
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

// killTree ends every process below this one, also those that made a session
// of their own, and waits until the reaper has met them. It returns those that
// are still there at the deadline: another user's, which only the end of the
// container ends.
func killTree(deadline time.Time) []int {
	for {
		if childless() {
			return nil
		}
		// None can be seen while the reaper has yet to meet the last one.
		rest := descendants(os.Getpid())
		refused := 0
		for _, pid := range rest {
			if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.EPERM) {
				refused++
			}
		}
		if len(rest) > 0 && refused == len(rest) || time.Now().After(deadline) {
			return rest
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// killEverything ends all that a job may have left here, before something is done that
// no job may see. As PID 1 that is every process but this one: one that came by
// docker exec has no parent here, and a job can have made it its own. The kernel
// says that none is left, whatever /proc shows. Elsewhere it is killTree. The
// error names what is still there at the deadline.
func killEverything(deadline time.Time) error {
	if os.Getpid() != 1 {
		if rest := killTree(deadline); len(rest) > 0 || !childless() {
			return stillThere(rest)
		}
		return nil
	}
	for !errors.Is(syscall.Kill(-1, syscall.SIGKILL), syscall.ESRCH) {
		if time.Now().After(deadline) {
			others := processes()
			delete(others, os.Getpid())
			return stillThere(slices.Sorted(maps.Keys(others)))
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func stillThere(pids []int) error {
	if len(pids) == 0 {
		return errors.New("a process that /proc does not show, which cannot be ended,")
	}
	return fmt.Errorf("process %d (%.40q), which cannot be ended,", pids[0], strings.Join(commandLine(pids[0]), " "))
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
	for pid := range processes() {
		if args := commandLine(pid); len(args) > 1 && args[1] == "run" && args[0] == filepath.Join(home, "bin", "Runner.Listener") && inOurContainer(pid) {
			for _, child := range append(descendants(pid), pid) {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
	}
}
