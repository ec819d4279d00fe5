package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// earlierJob is a job of an earlier life that still runs in this folder: outside of
// a container nothing has ended it with that life.
type earlierJob struct {
	listener, worker identity
	told             bool // that it is cancelled
}

func findEarlierJob(home string) (job earlierJob) {
	for pid, stat := range processes() {
		args := commandLine(pid)
		if len(args) == 0 || !inOurContainer(pid) || !strings.HasPrefix(args[0], filepath.Join(home, "bin")) {
			continue
		}
		switch {
		case isWorker(args):
			job.worker = identity{pid, stat.started}
		case isListener(args):
			job.listener = identity{pid, stat.started}
		}
	}
	return job
}

// awaitEarlierJob waits for the end of a job that an earlier life has left running:
// as long as its listener renews its lock, ten minutes without one, or as long as a
// stop's plan gives.
func (l *Life) awaitEarlierJob() error {
	if os.Getpid() == 1 {
		return nil // the kernel has ended all of that life
	}
	if _, err := readSettings(l.Home); l.record.Name == "" && errors.Is(err, fs.ErrNotExist) {
		return nil // the last life ended well, or there was none
	}
	job := findEarlierJob(l.Home)
	if !job.worker.alive() {
		return nil
	}
	l.Log.Warn().Msg("a job of the last run still runs here: waiting for its end")
	l.waits.Set("a job of the last run still runs here: waiting for its end")
	defer l.waits.Set("")
	for alone := time.Now(); job.worker.alive(); time.Sleep(100 * time.Millisecond) {
		signal, since := l.stop.first()
		switch now, plan := time.Now(), planFor(l.StopGrace); {
		case signal != nil && now.Sub(since) >= plan.giveUp:
			return context.Cause(l.ctx) // what cannot be ended is left
		case signal != nil:
			job.end(plan, l.stop.passed(plan, now.Sub(since)))
		case job.listener.alive():
			alone = now
		case now.Sub(alone) > lockPatience:
			job.kill()
		}
	}
	job.endListener()
	return context.Cause(l.ctx)
}

// endListener lets a listener that outlives its job take no other one: its runner is
// deleted next.
func (j *earlierJob) endListener() {
	if !j.listener.alive() || syscall.Kill(j.listener.pid, syscall.SIGINT) != nil {
		return
	}
	for until := time.Now().Add(endPatience); j.listener.alive() && time.Now().Before(until); {
		time.Sleep(20 * time.Millisecond)
	}
}

// inOurContainer tells whether a process sees what we see under the path of its
// program: the host shows those of containers too.
func inOurContainer(pid int) bool {
	for _, kind := range []string{"pid", "mnt"} {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		ours, failed := os.Readlink("/proc/self/ns/" + kind)
		if err != nil || failed != nil || theirs != ours {
			return false
		}
	}
	return true
}

// end ends the job as a stop ends one of its own, so long after the signal.
func (j *earlierJob) end(p plan, passed time.Duration) {
	switch {
	case passed >= p.killAt:
		j.kill()
	case passed >= p.stepsAt:
		for _, pid := range descendants(j.worker.pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	case passed >= p.cancelAt && !j.told:
		j.told = true
		if !j.listener.alive() || syscall.Kill(j.listener.pid, syscall.SIGINT) != nil {
			_ = syscall.Kill(j.worker.pid, syscall.SIGTERM)
		}
	}
}

func (j *earlierJob) kill() {
	all := append(descendants(j.worker.pid), j.worker.pid)
	if j.listener.alive() {
		all = slices.Insert(all, 0, j.listener.pid)
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
