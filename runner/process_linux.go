package runner

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper is the one place that waits for children. It reaps orphans too: as PID
// 1 the kernel hands them to us, otherwise as their subreaper. os/exec must not
// be used beside it: its Wait and this one would take each other's children.
type reaper struct {
	mu       sync.Mutex
	children map[int]*process
	started  chan struct{} // there may be a child again
}

// process is a child that we started.
type process struct {
	pid    int
	done   chan struct{}      // closed when it has ended
	status syscall.WaitStatus // valid once done is closed
}

// newReaper makes this process the one that orphans of its tree come to, and
// starts reaping, for the rest of the process's life.
func newReaper() (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("prctl(PR_SET_CHILD_SUBREAPER): %w", err)
	}
	r := &reaper{children: make(map[int]*process), started: make(chan struct{}, 1)}
	go r.reap()
	return r, nil
}

func (r *reaper) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // ECHILD: no child at all, until the next start
			<-r.started
		default:
			r.mu.Lock()
			if child, ours := r.children[pid]; ours {
				delete(r.children, pid)
				child.status = status
				close(child.done)
			}
			r.mu.Unlock()
		}
	}
}

// command is what start needs to know.
type command struct {
	path   string
	args   []string // without the program's own name
	dir    string
	env    []string
	as     *account // nil: our own user
	stdout *os.File
	stderr *os.File
}

// start starts a child in a session of its own, so that no signal meant for us
// reaches it. The lock is held over fork and entry: the reaper cannot meet a
// child that is not in its table yet.
func (r *reaper) start(c command) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attributes := &syscall.ProcAttr{
		Dir:   c.dir,
		Env:   c.env,
		Files: []uintptr{null.Fd(), c.stdout.Fd(), c.stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if c.as != nil {
		attributes.Sys.Credential = &syscall.Credential{Uid: c.as.uid, Gid: c.as.gid, Groups: c.as.groups}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(c.path, append([]string{c.path}, c.args...), attributes)
	if err != nil {
		return nil, &os.PathError{Op: "exec", Path: c.path, Err: err}
	}
	child := &process{pid: pid, done: make(chan struct{})}
	r.children[pid] = child
	select {
	case r.started <- struct{}{}:
	default:
	}
	return child, nil
}

// ended tells without waiting whether the child has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
