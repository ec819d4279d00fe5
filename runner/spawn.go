//go:build linux

package runner

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// child is config.sh or run.sh with its output.
type child struct {
	*process
	out, err *pump
	passages [2]*passage
}

// spawn starts a script of the runner's folder. Its output, of both kinds, is handed
// on to our standard output (see passage), and lines gets what it tells.
func (l *Life) spawn(script string, args []string, lines *lineQueue, extra ...string) (*child, error) {
	passages := [2]*passage{{next: l.Stdout}, {next: l.Stdout}}
	out, toOut, err := newPump(&scanner{next: passages[0], found: lines.add, last: &lines.last})
	if err != nil {
		return nil, err
	}
	defer toOut.Close()
	errs, toErr, err := newPump(&scanner{next: passages[1], found: lines.add, last: &lines.last})
	if err != nil {
		toOut.Close()
		out.finish()
		return nil, err
	}
	defer toErr.Close()
	started, err := l.reaper.start(command{
		path: filepath.Join(l.Home, script), args: args, dir: l.Home,
		env: l.childEnvironment(extra...), as: l.account, stdout: toOut, stderr: toErr,
	})
	c := &child{started, out, errs, passages}
	if err != nil {
		toOut.Close()
		toErr.Close()
		c.finishOutput()
		return nil, fmt.Errorf("%w: %w: check that %s is the official runner's folder and its scripts' interpreter is installed", ErrConfiguration, err, l.Home)
	}
	return c, nil
}

// finishOutput takes the last words of a child that has ended.
func (c *child) finishOutput() {
	c.out.finish()
	c.err.finish()
	for _, p := range c.passages {
		p.end()
	}
}

// childEnvironment is what config.sh and run.sh see. Whoever could hand the
// official runner its inputs by environment would hand them to every job too,
// so only we do.
func (l *Life) childEnvironment(extra ...string) []string {
	if l.account != nil {
		extra = append([]string{"HOME=" + l.account.home, "USER=" + l.account.name, "LOGNAME=" + l.account.name}, extra...)
	} else {
		extra = append([]string{"HOME=" + ownHome(l.Environ, l.Home)}, extra...)
	}
	if l.account.isRoot() {
		extra = append(extra, "RUNNER_ALLOW_RUNASROOT=1") // RUNNER_USER has said so
	}
	return environment(l.Environ, func(name string) bool {
		return l.Ours(name) || strings.HasPrefix(strings.ToUpper(name), "ACTIONS_RUNNER_INPUT_")
	}, extra...)
}

// describe says how a process ended.
func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("signal %d (%s)", status.Signal(), status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

// mostQueued bounds how many lines wait for the life: a job can write them too.
const mostQueued = 1000

// lineQueue carries what the output told from its readers to the life, which
// may be busy: adding never waits. The newest lines tell the state.
type lineQueue struct {
	wake  chan struct{}
	mu    sync.Mutex
	lines []line
	last  lastLine
}

func newLineQueue() *lineQueue { return &lineQueue{wake: make(chan struct{}, 1)} }

func (q *lineQueue) add(l line) {
	q.mu.Lock()
	if len(q.lines) == mostQueued {
		q.lines = append(q.lines[:0], q.lines[1:]...)
	}
	q.lines = append(q.lines, l)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *lineQueue) take() []line {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines := q.lines
	q.lines = nil
	return lines
}

// lastWords returns the last line that the child wrote, for an error message.
func (q *lineQueue) lastWords() string {
	if text := q.last.get(); text != "" {
		return text
	}
	return "it said nothing"
}
