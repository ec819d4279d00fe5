//go:build linux

package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what is around a runner.
type Options struct {
	Home, Work string   // absolute
	Shared     []string // folders that every user of a container can write
	Own        []string // folders of the image's for volumes: reset in the container's own layer only
	State      string   // our own folder, which is not touched

	UID, GID uint32 // the user of the jobs

	Notes    []string               // names in Home that are the caller's: not touched
	Part     func(name string) bool // names in Home that are the runner's own: not touched
	Outdated []string               // names in Home that an update of the runner has left: they go
	Updated  time.Time              // when that update had ended; zero: none

	Noted time.Time // what the caller knows of Container.First, where that is not known
	Old   time.Time // the released version's first start in Home; zero: it has not been here
	Slots bool      // the work folder may be another one, below Work
}

// Set is the places of one container.
type Set struct {
	Options
	container Container
	mounts    []mount
	root      uint64 // id of the container's own layer
	places    []*Place
	restore   []string // profile files that come from /etc/skel again
	unlinked  []File   // files of which a name has been removed
}

// ErrInUse is a home or a work folder that another runner lives in.
var ErrInUse = errors.New("another runner uses it")

// Survey looks at all places and changes nothing.
func Survey(o Options, c Container) (*Set, error) { return survey(o, c, false) }

// Take is Survey and locks what is on mounts for as long as this process lives. A
// work folder that another runner has gives this one a folder of its own below:
// Work says which. ErrInUse: it cannot.
func Take(o Options, c Container) (*Set, error) { return survey(o, c, true) }

func survey(o Options, c Container, taking bool) (*Set, error) {
	if c.First.IsZero() {
		c.First = o.Noted
	}
	if c.First.IsZero() && c.Before {
		c.First = c.Created
	}
	s := &Set{Options: o, container: c, mounts: mounts()}
	root, err := look(unix.AT_FDCWD, "/")
	if err != nil {
		return nil, err
	}
	s.root = root.mount
	home, err := s.add(o.Home, taking)
	if err != nil {
		return nil, err
	}
	if home != nil {
		home.gone = o.Outdated
	}
	if err := s.addWork(home, taking); err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(o.Shared, o.Own) {
		if _, err := s.add(path, taking); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addWork adds the work folder, unless it is a part of a home that is reset as a
// whole.
func (s *Set) addWork(home *Place, taking bool) error {
	if s.Work == s.Home || s.Work == "/" {
		return nil
	}
	if home != nil && home.Kind != Others && home.within(s.Work) != "" {
		mount, err := mountAt(s.Work)
		if err != nil || mount == home.info.mount {
			return nil
		}
	}
	if taking {
		s.makeWork()
	}
	_, err := s.add(s.Work, taking)
	return err
}

// mountAt is the mount on which a path's folder is, a link's own.
func mountAt(path string) (uint64, error) {
	i, err := look(unix.AT_FDCWD, path)
	return i.mount, err
}

// makeWork makes a work folder on a mount, if there is none: made by us, it is ours.
func (s *Set) makeWork() {
	f, err := openFolder(filepath.Dir(s.Work), s.container.First)
	if err != nil {
		return // the runner will say it
	}
	defer f.Close()
	if i, err := look(int(f.Fd()), ""); err == nil && i.mount != s.root {
		_ = s.makeFolder(int(f.Fd()), filepath.Base(s.Work), 0o755)
	}
}

// makeFolder makes one that belongs to the jobs' user.
func (s *Set) makeFolder(dir int, name string, mode uint32) error {
	if err := unix.Mkdirat(dir, name, mode); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return unix.Fchownat(dir, name, int(s.UID), int(s.GID), unix.AT_SYMLINK_NOFOLLOW)
}

// add meets a place and judges it.
func (s *Set) add(path string, taking bool) (*Place, error) {
	if slices.ContainsFunc(s.places, func(p *Place) bool { return p.Path == path }) {
		return nil, nil
	}
	p, err := s.meet(path)
	if err != nil || p == nil {
		return nil, err
	}
	if slices.ContainsFunc(s.places, func(other *Place) bool {
		return other.dir != nil && p.dir != nil && other.info.inode == p.info.inode && other.info.device == p.info.device
	}) {
		p.dir.Close()
		return nil, nil // the same folder, mounted twice
	}
	p.home = path == s.Home
	for _, other := range slices.Concat([]string{s.Home, s.Work, s.State}, s.Shared, s.Own) {
		inside := p.within(other)
		if inside != "" && isFolder(other) && !(p.home && other == s.Work && s.sameMount(p, other)) {
			p.keep = append(p.keep, inside)
		}
	}
	if p.home {
		p.keep = append(p.keep, s.Notes...)
		p.keep = append(p.keep, s.parts(p)...)
	}
	switch {
	case slices.Contains(s.Own, path) && p.Kind != Layer:
		return nil, nil // others may use it too
	case p.Kind != 0:
	case taking:
		err = s.take(p)
	default:
		err = p.judge(s)
	}
	if err != nil {
		return nil, err
	}
	s.places = append(s.places, p)
	return p, nil
}

// isFolder tells whether there is a folder, and no link to one.
func isFolder(path string) bool {
	i, err := look(unix.AT_FDCWD, path)
	return err == nil && i.isFolder()
}

func (s *Set) sameMount(p *Place, path string) bool {
	mount, err := mountAt(path)
	return err == nil && mount == p.info.mount
}

// parts are the names in the home that are the runner's own.
func (s *Set) parts(p *Place) (found []string) {
	all, _ := names(p.fd())
	for _, name := range all {
		if s.Part(name) && !slices.Contains(s.Outdated, name) {
			found = append(found, name)
		}
	}
	return found
}

// take locks a place on a mount, and judges it under the lock.
func (s *Set) take(p *Place) error {
	busy, err := p.lock()
	switch {
	case busy && p.home:
		return fmt.Errorf("%s: %w", p.Path, ErrInUse)
	case busy && p.Path == s.Work && s.Slots:
		return s.takeSlot(p)
	case busy && p.Path == s.Work:
		return fmt.Errorf("%s: %w", p.Path, ErrInUse)
	case busy:
		p.others("another runner uses it now")
		if err := p.share(time.Second); !errors.Is(err, ErrInUse) {
			return err
		}
		// Whoever holds it for so long may have nothing to do with us. The lock is ours
		// once it is given back: no other runner resets the place under our jobs then.
		fd := p.fd()
		go func() { _ = retried(func() error { return unix.Flock(fd, unix.LOCK_SH) }) }()
		return nil
	case err != nil:
		p.others(fmt.Sprintf("it cannot be locked (%v)", err))
		return nil
	}
	return p.judge(s)
}

// share says for as long as this life lasts that a job may be at work in a place.
// Who resets it has it alone, for a moment: so long this one waits.
func (p *Place) share(patience time.Duration) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := unix.Flock(p.fd(), unix.LOCK_SH|unix.LOCK_NB); err == nil {
			return nil
		} else if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s: %w", p.Path, ErrInUse)
}

// takeSlot makes of the shared work folder this runner's own one below it.
func (s *Set) takeSlot(p *Place) error {
	shared := *p
	for n := 2; n < 1000; n++ {
		name := fmt.Sprintf("%s%d", slotPrefix, n)
		err := s.makeFolder(shared.fd(), name, 0o755)
		made := err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w, and this one can have no folder below it: %w", p.Path, ErrInUse, err)
		}
		i, err := look(shared.fd(), name)
		if err != nil || !i.isFolder() {
			continue
		}
		fd, err := openBelow(shared.fd(), name, i)
		if err != nil {
			continue
		}
		*p = Place{Path: filepath.Join(shared.Path, name), dir: os.NewFile(uintptr(fd), name), info: i}
		if busy, err := p.lock(); busy || err != nil || !stillThere(shared.fd(), name, i) {
			p.dir.Close()
			continue
		}
		if made {
			p.Kind, p.met, p.mark = Ours, true, &mark{}
		} else if err := p.judge(s); err != nil {
			return err
		}
		if p.Kind == Ours {
			s.Work = p.Path
			return nil
		}
		p.dir.Close() // somebody's, who has taken this name
	}
	return fmt.Errorf("%s: %w, and all folders below it too", shared.Path, ErrInUse)
}

func stillThere(dir int, name string, i info) bool {
	now, err := look(dir, name)
	return err == nil && now.inode == i.inode
}

// Used tells whether an earlier life has been on one of the mounts.
func (s *Set) Used() bool {
	return slices.ContainsFunc(s.places, func(p *Place) bool { return p.used })
}

// Stays says what is not reset, in words for people.
func (s *Set) Stays() (all []string) {
	for _, p := range s.places {
		if p.Why != "" {
			all = append(all, p.Why)
		}
	}
	return all
}

// Kept are the mounts below the places, which are never touched.
func (s *Set) Kept() (points []string) {
	for _, p := range s.places {
		for _, point := range mountsBelow(s.mounts, p.Path) {
			isPlace := slices.ContainsFunc(s.places, func(other *Place) bool { return other.Path == point })
			if !isPlace && !slices.Contains(points, point) {
				points = append(points, point)
			}
		}
	}
	return points
}

// Intact is until when the files of the home were as they should be: the runner's
// own are judged by it. Zero: it is not known.
func (s *Set) Intact() time.Time {
	for _, p := range s.places {
		if p.home && p.Kind != Others {
			return p.from
		}
	}
	return s.Noted
}

// Close gives the places back, which the end of the process does too.
func (s *Set) Close() {
	for _, p := range s.places {
		if p.dir != nil {
			p.dir.Close()
		}
	}
}

// profile are the files that every user's home is given; their originals are in
// /etc/skel.
func profile(path string) ([]byte, bool) {
	if strings.Contains(path, "/") {
		return nil, false
	}
	data, err := os.ReadFile(filepath.Join("/etc/skel", path))
	return data, err == nil
}
