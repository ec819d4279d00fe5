//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A job can give a daemon of its own the listener's name, nearer to us than the
// true one. The stop still interrupts the true one, which cancels the job.
func TestListenerIsNotKnownByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	const decoy = `mkdir -p $home/decoy/bin; cd $home/decoy
printf 'trap "touch '$home'/decoyed" INT\ntouch '$home'/ready\nwhile :; do sleep 0.05; done\n' > run
(exec -a $home/decoy/bin/Runner.Listener setsid bash -c 'exec -a "$0" bash run' $home/decoy/bin/Runner.Listener > /dev/null 2>&1 &)
trap 'echo interrupted; exit 1' INT; sleep 600 & wait`
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + decoy}})
	l := w.start("RUNNER_STOP_GRACE=10s")
	w.poll("the decoy", func() bool { _, err := os.Stat(filepath.Join(w.home, "ready")); return err == nil })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if _, err := os.Stat(filepath.Join(w.home, "decoyed")); err == nil {
		t.Error("the job's process was taken for the listener")
	}
	if j := w.Job(job); !strings.Contains(j.Log, "interrupted") {
		t.Errorf("the job: %+v", j)
	}
}

// Every signal that can be caught and would end a program is a stop: none ends the
// life with Go's own exit code and leaves its runner.
func TestEverySignalIsAStop(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGILL, syscall.SIGBUS,
		syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS, syscall.SIGSTKFLT,
	} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			l := w.start()
			w.untilOnline()
			l.signal(signal)
			l.end(0)
			w.none()
		})
	}
}
