package runner

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// findWorker returns the worker that runs a job: a child of the listener's, where
// no job can put a process. Without a listener (0) it is an orphan, which has come
// to us: known by the path of this runner's own program.
func findWorker(home string, listener int) identity {
	if childless() {
		return identity{}
	}
	parent := listener
	if listener == 0 {
		parent = os.Getpid()
	}
	for pid, stat := range processes() {
		if stat.parent != parent {
			continue
		}
		if args := commandLine(pid); isWorker(args) && (listener != 0 || strings.HasPrefix(args[0], filepath.Join(home, "bin"))) {
			return identity{pid, stat.started}
		}
	}
	return identity{}
}

// isWorker knows the command line with which the listener starts a worker.
func isWorker(args []string) bool {
	return len(args) > 1 && args[1] == "spawnclient" && strings.HasSuffix(args[0], "/Runner.Worker")
}

// official is the runner's own processes, of which run.sh may have ended.
type official struct{ script, listener, worker identity }

// strays returns what runs below this process and is none of the runner's own: what
// is below the worker, and what has left its tree and so has come to us. Nearest
// first, so that no shell sees its child's end. What is older than run.sh is
// no job's: who started us may have given us a child. What `docker exec` or a health
// check starts has its parent outside of the container.
func (o official) strays(all map[int]stat, us int) []int {
	children := make(map[int][]int)
	for pid, stat := range all {
		if stat.started >= o.script.started {
			children[stat.parent] = append(children[stat.parent], pid)
		}
	}
	var found []int
	type place struct {
		pid int
		own bool // below run.sh or the listener, and not below the worker
	}
	for level := []place{{us, false}}; len(level) > 0; {
		var next []place
		for _, at := range level {
			for _, pid := range children[at.pid] {
				own := at.own && at.pid != o.worker.pid || pid == o.script.pid || pid == o.listener.pid || pid == o.worker.pid
				if !own {
					found = append(found, pid)
				}
				next = append(next, place{pid, own})
			}
		}
		level = next
	}
	return found
}

// rootKillBudget bounds how long an end waits for a kill through sudo.
const rootKillBudget = time.Second

// killAll sends SIGKILL to each, and through sudo to those that are root's by it. It
// does not wait.
func (l *Life) killAll(pids []int) {
	var refused []string
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.EPERM) {
			refused = append(refused, strconv.Itoa(pid))
		}
	}
	if len(refused) == 0 || l.rootKill != nil && !l.rootKill.ended() {
		return
	}
	sudo, err := exec.LookPath("sudo")
	null, fault := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil || fault != nil {
		return
	}
	defer null.Close()
	// kill is a shell's own command everywhere, a program of its own not.
	l.rootKill, err = l.reaper.start(command{
		path: sudo, args: append([]string{"-n", "--", "/bin/sh", "-c", `kill -9 "$@"`, "sh"}, refused...), dir: "/",
		env: l.childEnvironment(), as: l.account, stdout: null, stderr: null,
	})
	if err != nil {
		l.rootKill = nil
	}
}

// endTree ends everything below this process. What is left then cannot be ended
// from here.
func (l *Life) endTree() {
	left := killTree(time.Now().Add(time.Second))
	for until := time.Now().Add(rootKillBudget); len(left) > 0 && l.reaper != nil && time.Now().Before(until); {
		l.killAll(left)
		time.Sleep(20 * time.Millisecond)
		left = killTree(time.Now())
	}
}
