//go:build linux

// Package reset knows what a used container or volume has to lose before the next
// job, and what must not be touched. There are four kinds of places: what is in
// the container's own layer is reset; so is a mount that is one of the places and
// held nothing when org-runner first met it; a mount below a place and every other
// one is never touched. It does not know who asks.
package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Changed is a file of the image's that a job has changed or removed. It cannot
// be brought back.
type Changed struct{ Path string }

func (e *Changed) Error() string {
	return e.Path + " came with the image, and a job has changed or removed it"
}

// Stuck is what cannot be deleted for want of rights.
type Stuck struct {
	Place   string // the folder that all of them are in
	Paths   []string
	OnMount bool   // a new container would find it again
	Cause   string // why no more rights could be had
}

func (e *Stuck) Error() string { return e.Paths[0] + " belongs to another user: " + e.Cause }

// Reset removes what jobs made. used: this container has run before; otherwise
// only what earlier containers left on mounts of ours is removed. The image's files
// are looked at first: if one is not as it was, nothing is removed.
func (s *Set) Reset(used bool) (removed int, err error) {
	for _, p := range s.places {
		if s.isSwept(p, used) {
			if err := s.verify(p); err != nil {
				return 0, err
			}
		}
	}
	for _, p := range s.places {
		if !s.isSwept(p, used) {
			continue
		}
		n, err := s.sweep(p)
		removed += n
		if err != nil {
			return removed, err
		}
		if err := s.mend(p); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Set) isSwept(p *Place, used bool) bool {
	switch p.Kind {
	case Layer:
		return used && !p.from.IsZero()
	case Ours:
		return !p.met || p.home && !s.Old.IsZero()
	}
	return false
}

// verify finds what of the image's files a job has changed or removed.
func (s *Set) verify(p *Place) error {
	if p.mark == nil {
		return nil
	}
	seen := make(map[string]bool)
	w := sweeper{Sweep: s.order(p)}
	err := list(p.fd(), "", p.info.mount, true, func(path string, i info) (bool, error) {
		found, known := p.mark.found[path]
		if !known {
			return false, nil // whatever is in it came with it
		}
		seen[path] = true
		if slices.Contains(p.keep, path) {
			return false, nil
		}
		if found.Mode&unix.S_IFMT != i.mode&unix.S_IFMT || found.isFolder() && found.UID != i.uid || !found.isFolder() && w.isJobs(path, i.changed) {
			seen[path] = found.isFolder() && !i.isFolder()
			return false, s.changed(p, path, found)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for path, found := range p.mark.found {
		if part := p.home && s.Part(path); part && !seen[path] {
			return &Changed{p.Path + "/" + path}
		}
		if !seen[path] && !found.isFolder() {
			if err := s.changed(p, path, found); err != nil {
				return err
			}
		}
	}
	return nil
}

// changed decides on one of the image's files that is not as it was.
func (s *Set) changed(p *Place, path string, found Entry) error {
	if p.home {
		if _, ok := profile(path); ok {
			if !slices.Contains(s.restore, path) {
				s.restore = append(s.restore, path)
			}
			return nil
		}
	}
	if found.isFolder() {
		return nil // made anew
	}
	return &Changed{p.Path + "/" + path}
}

// order is what is to be swept in a place.
func (s *Set) order(p *Place) *Sweep {
	o := &Sweep{Path: p.Path, Inode: p.info.inode, Mount: p.info.mount, From: p.from, To: s.container.Began, Keep: p.keep, Gone: p.gone}
	if p.home {
		o.Scripts = s.Updated
	}
	if p.mark != nil {
		o.Found, o.Trusted = p.mark.found, p.mark.owner == 0
	}
	return o
}

// sweep does it with no more power than is due: on a mount with that of who made
// its mark.
func (s *Set) sweep(p *Place) (removed int, err error) {
	o := s.order(p)
	o.Unlinked = s.unlinked
	var r Result
	if os.Geteuid() == 0 && p.Kind == Ours && p.mark.owner != 0 {
		if r, err = o.asUser(s.UID, s.GID); err != nil {
			return 0, fmt.Errorf("%s: %w", p.Path, err)
		}
	} else {
		r = o.run()
	}
	s.unlinked = r.Unlinked
	if r.Error == "" && len(r.Denied) > 0 {
		stuck := &Stuck{Place: p.Path, OnMount: p.Kind != Layer, Cause: "it cannot be removed"}
		for _, below := range r.Denied {
			if path := s.topmost(p, below, r.Emptied); !slices.Contains(stuck.Paths, path) {
				stuck.Paths = append(stuck.Paths, path)
			}
		}
		if os.Geteuid() == 0 {
			return r.Removed, stuck
		}
		o.Only, o.Hollow, o.Unlinked = r.Denied, r.Emptied, r.Unlinked
		more, err := o.asRoot()
		if err != nil {
			stuck.Cause = "sudo says " + err.Error()
			return r.Removed, stuck
		}
		more.Removed += r.Removed
		s.unlinked = more.Unlinked
		if r = more; r.Error == "" && len(r.Denied) > 0 {
			return r.Removed, stuck
		}
	}
	if r.Error != "" {
		return r.Removed, errors.New(r.Error)
	}
	return r.Removed, nil
}

// topmost is the highest folder of a job's around what could not be removed, that
// somebody can delete by hand as a whole: nothing is mounted below it.
func (s *Set) topmost(p *Place, below string, emptied []string) string {
	for {
		up := path.Dir(below)
		if !slices.Contains(emptied, up) || len(mountsBelow(s.mounts, p.Path+"/"+up)) > 0 {
			return p.Path + "/" + below
		}
		below = up
	}
}

// mend puts back what can be: folders of the image's, and the profile files.
func (s *Set) mend(p *Place) error {
	if slices.Contains(s.Own, p.Path) {
		for _, own := range s.Own {
			if name := p.within(own); name != "" && !strings.Contains(name, "/") {
				if err := s.makeFolder(p.fd(), name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
			}
		}
	}
	if p.mark != nil {
		if err := s.makeFolders(p); err != nil {
			return err
		}
	}
	if !p.home {
		return nil
	}
	for _, name := range s.restore {
		if err := s.writeProfile(p, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) makeFolders(p *Place) error {
	var missing []string
	for path, found := range p.mark.found {
		if found.isFolder() && !slices.Contains(p.keep, path) {
			missing = append(missing, path)
		}
	}
	slices.Sort(missing) // a folder before what is in it
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", p.fd()))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, path := range missing {
		found := p.mark.found[path]
		if err := root.Mkdir(path, fs.FileMode(found.Mode&0o777)); err != nil {
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			return err
		}
		if os.Geteuid() == 0 {
			uid, gid := found.UID, found.GID
			if p.mark.owner != 0 {
				uid, gid = s.UID, s.GID // a job may have written the mark
			}
			if err := root.Lchown(path, int(uid), int(gid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeProfile puts a file of /etc/skel in its place.
func (s *Set) writeProfile(p *Place, name string) error {
	data, ok := profile(name)
	if !ok {
		return nil
	}
	if err := unix.Unlinkat(p.fd(), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := unix.Openat(p.fd(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(int(s.UID), int(s.GID)))
	}
	return errors.Join(err, f.Close())
}

// Keep writes the marks: after it a job may begin.
func (s *Set) Keep() error {
	for _, p := range s.places {
		if p.Kind == Others || p.Kind == Layer && (!p.home || p.mark != nil) {
			continue
		}
		if p.Kind == Layer || p.met {
			found, err := s.found(p)
			if err == nil {
				err = writeMark(p.fd(), p.info, found)
			}
			if err != nil && p.home {
				return fmt.Errorf("%s: %w", p.Path, err)
			}
			if err != nil {
				p.others(fmt.Sprintf("it cannot be marked (%v)", err))
			}
		}
		if p.Kind == Ours && !p.home && p.Path != s.Work {
			if err := p.share(2 * time.Minute); err != nil {
				return err
			}
		}
	}
	return nil
}

// found lists what a place holds before any job.
func (s *Set) found(p *Place) (map[string]Entry, error) {
	found := make(map[string]Entry)
	err := list(p.fd(), "", p.info.mount, true, func(path string, i info) (bool, error) {
		part := p.home && s.Part(path)
		if ignored(path, i) || slices.Contains(p.keep, path) && !part {
			return false, nil
		}
		if p.Kind == Layer && !i.isFolder() && !p.from.IsZero() && i.changed.After(p.from) {
			return false, nil
		}
		found[path] = Entry{i.mode, i.uid, i.gid}
		return !part, nil
	})
	return found, err
}
