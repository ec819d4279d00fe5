package runner

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// identity is one process. Its pid alone may be another's after its end.
type identity struct {
	pid     int
	started uint64 // clock ticks after the machine's boot
}

// alive tells whether the process still works.
func (i identity) alive() bool {
	now, ok := readStat(i.pid)
	return i.pid != 0 && ok && now.started == i.started
}

// listener is the official runner's listener of one run.sh. A job can give a
// process of its own the listener's name, so the name alone is not believed: the
// listener is what run.sh's helper has started, and remains it when run.sh or the
// helper has been killed.
type listener struct {
	script identity // run.sh
	seen   identity // the listener, once it was there
}

func newListener(script int) listener {
	stat, _ := readStat(script)
	return listener{script: identity{script, stat.started}}
}

// pid returns the listener's pid: 0 when none runs, as during its update of
// itself. It is to be asked before a job can run, so that the true one is known.
func (l *listener) pid() int {
	if l.seen.alive() {
		return l.seen.pid
	}
	all := processes()
	for pid, stat := range all {
		if !l.isHelper(all, stat.parent) || !isListener(commandLine(pid)) {
			continue
		}
		l.seen = identity{pid, stat.started}
		return pid
	}
	return 0
}

// isHelper tells whether a process is run.sh's helper: run.sh > run-helper.sh >
// Runner.Listener run. Where both are gone before the listener was ever seen, it
// is an orphan, which comes to us; no job can have begun by then.
func (l *listener) isHelper(all map[int]stat, helper int) bool {
	if l.script.alive() {
		return all[helper].parent == l.script.pid
	}
	return l.seen.pid == 0 && (helper == os.Getpid() || all[helper].parent == os.Getpid())
}

// interrupt sends SIGINT to the listener alone. run.sh would pass it to its whole
// process group, the job's steps included. It tells whether there was a listener.
func (l *listener) interrupt() bool {
	pid := l.pid()
	return pid != 0 && syscall.Kill(pid, syscall.SIGINT) == nil
}

func isListener(args []string) bool {
	return len(args) > 1 && args[1] == "run" && strings.HasSuffix(args[0], filepath.Join("/bin", "Runner.Listener"))
}
