//go:build linux

package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sharedPlaces can be written by every user of a container.
var sharedPlaces = []string{"/tmp", "/var/tmp", "/dev/shm"}

// ourPlaces are the folders that the image has for volumes, and its user can write.
var ourPlaces = []string{"/var/lib/org-runner/records", "/var/lib/org-runner"}

// readyForReuse makes sure that a job finds nothing of an earlier one: under a
// restart policy the same container comes back with all that was written in it.
// In a new container there is nothing to do, and only the time is noted. Only as
// PID 1 is all around us ours to remove: anywhere else it may be somebody's
// machine.
func (l *Life) readyForReuse() error {
	m := l.marks()
	used := !m.first.IsZero()
	l.used = used
	if os.Getpid() != 1 {
		return nil
	}
	if !used {
		m.first = time.Now()
	}
	if m.updating {
		m.updated, m.updating = time.Now(), false
	}
	if err := l.keepMarks(m); err != nil {
		return fmt.Errorf("%w: %s cannot be written, so the next start could not tell that jobs have run here: %w: make RUNNER_HOME writable", ErrConfiguration, l.Home, err)
	}
	if !used {
		return nil
	}
	if l.OnReuse == Refuse {
		return fmt.Errorf("%w: this container has run before, and RUNNER_ON_REUSE is refuse: start a new container (docker compose up --force-recreate, docker run --rm), or set RUNNER_ON_REUSE=reset", ErrConfiguration)
	}
	began := time.Now()
	r := reset{home: l.Home, work: l.WorkDir, marks: m, keep: l.StateDir}
	if err := r.run(); err != nil {
		return fmt.Errorf("%w: this container cannot be reset for a new job: %w: start a new container (docker compose up --force-recreate)", ErrConfiguration, err)
	}
	l.Log.Info().Int("removed", r.removed).Dur("took", time.Since(began)).Msg("this container has run before: what earlier jobs wrote is gone")
	return nil
}

// reset removes from a used container what its jobs may have written.
type reset struct {
	home, work string
	marks      marks
	keep       string // our own state folder
	removed    int
}

func (r *reset) run() error {
	work := absolute(r.home, r.work)
	for _, dir := range append([]string{work}, sharedPlaces...) {
		if err := r.empty(dir); err != nil {
			return err
		}
	}
	for _, dir := range ourPlaces {
		if onVolume(dir) {
			continue // others may use it too
		}
		if err := r.empty(dir); err != nil {
			return err
		}
	}
	return r.resetHome(work)
}

// empty removes what is in a folder. Other file systems mounted below it stay:
// they are volumes that somebody chose to keep, like a cache.
func (r *reset) empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := r.remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a file or folder, as root through sudo if a job has made it so
// that we cannot.
func (r *reset) remove(path string) error {
	if path == r.keep || slices.Contains(ourPlaces, path) || r.holdsMount(path) {
		return nil
	}
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrPermission) {
		err = removeAsRoot(path)
	}
	if errors.Is(err, syscall.EROFS) {
		return nil // read-only: no job wrote it
	}
	if err == nil {
		r.removed++
	}
	return err
}

// holdsMount tells whether something is mounted at path or below it.
func (r *reset) holdsMount(path string) bool {
	return slices.ContainsFunc(mountPoints(), func(mount string) bool {
		return mount == path || strings.HasPrefix(mount, path+"/")
	})
}

// onVolume tells whether a folder is on another file system than the container's
// own.
func onVolume(dir string) bool {
	return slices.ContainsFunc(mountPoints(), func(mount string) bool {
		return mount == dir || mount != "/" && strings.HasPrefix(dir, mount+"/")
	})
}

// removeAsRoot uses the sudo that the official image gives its user.
func removeAsRoot(path string) error {
	if os.Geteuid() == 0 {
		return fmt.Errorf("%s cannot be removed", path)
	}
	out, err := exec.Command("sudo", "-n", "rm", "-rf", "--one-file-system", "--", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s belongs to another user, and sudo rm says: %w: %s", path, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// resetHome brings the runner's folder, which is its user's home too, back to
// the image's state. What was created is removed; what the image had and a job
// has changed cannot be brought back: then the container is given up.
func (r *reset) resetHome(work string) error {
	entries, err := os.ReadDir(r.home)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(r.home, entry.Name())
		switch {
		case path == work, path == r.keep, entry.Name() == marksFile, slices.Contains(registrationFiles, entry.Name()):
			// Work is empty by now, the registration is repair's.
		case isInstalled(entry.Name()):
			if changed := firstChanged(path, r.marks.until()); changed != "" {
				return fmt.Errorf("a job has changed %s, a part of the runner itself%s", changed, r.orUpdate())
			}
		default:
			after := r.marks.first
			if ext := filepath.Ext(path); ext == ".sh" || ext == ".template" {
				after = r.marks.until() // an update may bring a script that is new
			}
			if err := r.resetEntry(path, after); err != nil {
				return err
			}
		}
	}
	return nil
}

// orUpdate names the other cause, if there are traces of it: an update that came
// while the job ran.
func (r *reset) orUpdate() string {
	made, _ := filepath.Glob(filepath.Join(r.home, "bin.*"))
	if !slices.ContainsFunc(made, func(path string) bool { return firstChanged(path, r.marks.until()) != "" }) {
		return ""
	}
	return " (or the runner has updated itself meanwhile: a newer image, or DISABLE_AUTO_UPDATE=true, keeps it from that)"
}

// resetEntry removes what is younger than a time, and puts back the user's profile
// files.
func (r *reset) resetEntry(path string, after time.Time) error {
	if firstChanged(path, after) == "" {
		return nil
	}
	if err := r.remove(path); err != nil {
		return err
	}
	original, err := os.ReadFile(filepath.Join("/etc/skel", filepath.Base(path)))
	if err != nil {
		return nil // not one of them
	}
	return os.WriteFile(path, original, 0o644)
}

// mountPoints reads field 5 of /proc/self/mountinfo, where spaces are \040.
func mountPoints() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, strings.ReplaceAll(fields[4], `\040`, " "))
		}
	}
	return points
}
