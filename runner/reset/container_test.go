//go:build linux

package reset

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// engine makes the files that an engine makes for a container, and starts it.
type engine struct {
	t *testing.T
	sources
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	dir := t.TempDir()
	e := &engine{t, sources{hostname: filepath.Join(dir, "hostname"), dockerenv: filepath.Join(dir, ".dockerenv"), other: filepath.Join(dir, "none"),
		state: filepath.Join(dir, "run"), image: filepath.Join(dir, "run"), self: os.Getpid(), start: startOf}}
	if err := os.Mkdir(e.state, 0o755); err != nil {
		t.Fatal(err)
	}
	tick(t)
	write(t, e.dockerenv)
	tick(t)
	write(t, e.hostname)
	began := tick(t)
	e.start = func(int) time.Time { return began }
	if i, err := look(unix.AT_FDCWD, e.hostname); err != nil || i.born.IsZero() {
		t.Skip("this file system tells no births")
	}
	return e
}

func (e *engine) restart() {
	e.t.Helper()
	time.Sleep(written + 50*time.Millisecond)
	write(e.t, e.hostname)
}

func TestContainerThatHasRunBefore(t *testing.T) {
	e := newEngine(t)
	c := around(e.sources)
	if !c.Inside || c.Before || c.First.Before(c.Created) || c.First.IsZero() {
		t.Errorf("a new container: %+v", c)
	}
	e.restart()
	if c := around(e.sources); c.Before {
		t.Errorf("no life has been here: %+v", c)
	}
	write(t, filepath.Join(e.state, "life.json"))
	began := tick(t)
	e.start = func(int) time.Time { return began }
	again := around(e.sources)
	if !again.Before || !again.First.Equal(c.First) || !again.Created.Equal(c.Created) {
		t.Errorf("started again: %+v, first %+v", again, c)
	}
	write(t, filepath.Join(e.state, "another.json"))
	if c := around(e.sources); !c.Before {
		t.Errorf("a life has been here since process 1 began: %+v", c)
	}
}

// Without a birth of the host's name, as where it is another container's, our own
// folder tells.
func TestContainerWithoutAHostName(t *testing.T) {
	e := newEngine(t)
	e.hostname = filepath.Join(t.TempDir(), "none")
	tick(t)
	write(t, e.dockerenv) // changed: the container is made after its image
	began := tick(t)
	e.start = func(int) time.Time { return began }
	if c := around(e.sources); c.Before || !c.First.IsZero() {
		t.Errorf("a new container: %+v", c)
	}
	write(t, filepath.Join(e.state, "life.json"))
	began = tick(t)
	if err := os.Remove(filepath.Join(e.state, "life.json")); err != nil {
		t.Fatal(err)
	}
	began = tick(t)
	if c := around(e.sources); !c.Before {
		t.Errorf("a job has deleted the notes of a life: %+v", c)
	}
}

// Podman makes the host's name anew at each start, so its birth tells nothing.
func TestContainerOfPodman(t *testing.T) {
	e := newEngine(t)
	e.other = filepath.Join(t.TempDir(), ".containerenv")
	write(t, e.other)
	if c := around(e.sources); !c.Inside || !c.First.IsZero() {
		t.Errorf("%+v", c)
	}
}

// With the host's processes the first one is older than the container: this start
// is told by the host's name.
func TestContainerWithTheHostsProcesses(t *testing.T) {
	e := newEngine(t)
	own := time.Now()
	e.start = func(pid int) time.Time {
		if pid == 1 {
			return own.Add(-time.Hour)
		}
		return own
	}
	name, err := look(unix.AT_FDCWD, e.hostname)
	if err != nil {
		t.Fatal(err)
	}
	if c := around(e.sources); c.Before || !c.Began.Equal(name.changed) {
		t.Errorf("%+v", c)
	}
}

func TestNotInAContainer(t *testing.T) {
	e := newEngine(t)
	e.dockerenv = filepath.Join(t.TempDir(), "none")
	for _, m := range mounts() {
		if m.point == "/" && m.system == "overlay" {
			t.Skip("this is a container")
		}
	}
	if c := around(e.sources); c.Inside {
		t.Errorf("a machine is taken for a container: %+v", c)
	}
	e = newEngine(t)
	e.image = "/run/of-an-image"
	if c := around(e.sources); c.Inside {
		t.Errorf("somebody's container is taken for ours: %+v", c)
	}
}

func TestStartOf(t *testing.T) {
	began := startOf(os.Getpid())
	if ago := time.Since(began); ago < 0 || ago > time.Hour {
		t.Errorf("this process began %v ago", ago)
	}
	if !startOf(1 << 30).IsZero() {
		t.Error("no process has a start")
	}
}
