//go:build linux

package reset

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Container is what can be known of the container around us without asking
// anything that a job without root's rights can change: by the times of files
// that are root's.
type Container struct {
	// Inside: what lies around us is a container's, made for org-runner. Nothing
	// is reset anywhere else: it may be somebody's machine.
	Inside bool
	// Created is when the container was made, zero if that is not known.
	Created time.Time
	// First is until when nothing but the image, its engine and its operator had
	// written in the container's own layer; zero if that is not known.
	First time.Time
	// Began is when this start of the container began: what was changed since is
	// no earlier job's.
	Began time.Time
	// Before: the container has been started before.
	Before bool
}

// sources are the files that tell of a container.
type sources struct {
	hostname  string // made by Docker at the first start, written again at each: bind-mounted, so that no job can put another file there
	dockerenv string // made by Docker together with the container
	other     string // podman's, new at each start
	state     string // our own folder: every life writes there
	image     string // where the image has it
	self      int    // our process
	start     func(pid int) time.Time
}

// Around looks at the container that we are in. state is org-runner's folder for
// its own small files.
func Around(state string) Container {
	return around(sources{hostname: "/etc/hostname", dockerenv: "/.dockerenv", other: "/run/.containerenv", state: state, image: "/run/org-runner", self: os.Getpid(), start: startOf})
}

// written is how far the first and a later writing of the host name are apart at
// least: the one start's own are some milliseconds.
const written = 300 * time.Millisecond

func around(s sources) Container {
	all := mounts()
	c := Container{Inside: isContainer(s, all), Began: s.start(1)}
	own := s.start(s.self)
	root, _ := look(unix.AT_FDCWD, "/")
	made, err := look(unix.AT_FDCWD, s.dockerenv)
	if c.Created = made.changed; err != nil {
		c.Created = root.changed // of the layer's own folder, which is made with it
	}
	isHosts := c.Began.Before(c.Created) // with --pid host
	if s.self == 1 || isHosts {
		c.Began = own
	}
	state, failed := look(unix.AT_FDCWD, s.state)
	inLayer := failed == nil && state.mount == root.mount && s.state == s.image
	_, others := look(unix.AT_FDCWD, s.other)
	if name, failed := look(unix.AT_FDCWD, s.hostname); err == nil && others != nil && failed == nil && !name.born.IsZero() && !name.born.Before(c.Created) {
		c.First, c.Before = name.born, name.changed.Sub(name.born) > written
		if inLayer && !state.changed.After(c.Created) {
			c.Before = false // no life of ours has been here
		}
		if isHosts {
			c.Began = name.changed
		}
	} else if inLayer {
		c.Before = state.changed.After(c.Created) && state.changed.Before(c.Began)
	}
	if inLayer && s.self != 1 && state.changed.After(c.Began) {
		// A life of ours has been here since process 1 began, a script that starts
		// one after the other.
		c.Before, c.Began = true, own
	}
	return c
}

// isContainer tells whether what is around us is a container's, and one for
// org-runner: as process 1 it is, and in the image under whatever process 1.
func isContainer(s sources, all []mount) bool {
	if s.self != 1 && s.state != s.image {
		return false
	}
	for _, path := range []string{s.dockerenv, s.other} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	for _, m := range all {
		if m.point == "/" && (m.system == "overlay" || m.system == "fuse.fuse-overlayfs" || m.system == "aufs") {
			return true
		}
	}
	return false
}

// startOf is when a process began, to a hundredth of a second, never later than
// it was: field 22 of /proc/<pid>/stat counts from the machine's start.
func startOf(pid int) time.Time {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return time.Time{}
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return time.Time{}
	}
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	var up unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that the runner has
	return time.Now().Add(time.Duration(ticks)*tick - time.Duration(up.Nano()))
}

// Identity is what tells a folder from every other container's or volume's of the
// same name.
func (c Container) Identity(dir string) string {
	root, _ := look(unix.AT_FDCWD, "/")
	i, _ := look(unix.AT_FDCWD, dir)
	if i.mount == root.mount && !c.First.IsZero() {
		return c.First.UTC().Format(time.RFC3339Nano)
	}
	return strconv.FormatUint(i.inode, 10)
}
