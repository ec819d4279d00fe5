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
	"time"

	"golang.org/x/sys/unix"
)

// Kind says whose a place is.
type Kind int

// The kinds of places. A mount below a place is no place: it is never touched.
const (
	Layer  Kind = iota + 1 // in the container's own layer: reset
	Ours                   // on a mount, and met empty or with the image's files alone: reset
	Others                 // on a mount, and what is there is not known to be a job's: never touched
)

// Place is a folder in which jobs may write.
type Place struct {
	Path string
	Kind Kind
	Why  string // what stays, and why; "": nothing

	dir  *os.File
	info info
	mark *mark
	met  bool // for the first time: it gets its mark when it is locked
	used bool // a mark was there already
	from time.Time
	keep []string
	gone []string
	home bool
}

// meet opens a folder and says whose it is. nil: there is nothing to reset.
func (s *Set) meet(path string) (*Place, error) {
	f, err := openFolder(path, s.container.First)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, errLink):
		return &Place{Path: path, Kind: Others, Why: path + " is a link: nothing is deleted where it points to"}, nil
	case err != nil:
		return nil, err
	}
	p := &Place{Path: path, dir: f}
	if p.info, err = look(p.fd(), ""); err != nil {
		f.Close()
		return nil, err
	}
	if i := slices.IndexFunc(s.mounts, func(m mount) bool { return m.id == p.info.mount }); i >= 0 && s.mounts[i].readOnly {
		f.Close()
		return nil, nil // no job wrote there
	}
	if p.info.mount == s.root {
		p.Kind, p.from = Layer, s.container.First
		if path == s.Home { // no other place in the layer is given a mark
			p.mark, err = readMark(p.fd(), p.info)
		}
		if err != nil {
			p.mark = nil // it is only a list here, and the times decide
		}
	}
	return p, nil
}

func (p *Place) fd() int { return int(p.dir.Fd()) }

// judge says whether a place on a mount is ours: by its mark, or because
// org-runner meets it for the first time and nothing is there that could be lost.
func (p *Place) judge(s *Set) error {
	m, err := readMark(p.fd(), p.info)
	switch {
	case errors.Is(err, errForged), err == nil && !s.mayMark(m.owner):
		p.others("its mark is not org-runner's own")
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return p.meetFirst(s)
	case err != nil:
		return err
	}
	p.used = true
	// What has the mark's own time, which the kernel counts in milliseconds, is
	// younger, or it would be in it.
	p.Kind, p.mark, p.from = Ours, m, m.made.Add(-1)
	older, err := p.olderThanMark()
	if err != nil {
		return err
	}
	if older != "" {
		p.others("it holds " + older + ", which is older than its mark")
	}
	return nil
}

// others says that a place is never touched.
func (p *Place) others(why string) {
	p.Kind, p.mark, p.met = Others, nil, false
	p.Why = fmt.Sprintf("%s is on a mount, and %s: nothing in it is deleted, and a job finds what earlier ones left there", p.Path, why)
}

// olderThanMark returns what was there before the mark and is not in it: then
// the mark is somebody's who wants it deleted.
func (p *Place) olderThanMark() (older string, err error) {
	err = list(p.fd(), "", p.info.mount, true, func(path string, i info) (bool, error) {
		if ignored(path, i) || slices.Contains(p.keep, path) {
			return false, nil
		}
		if _, known := p.mark.found[path]; known {
			return true, nil
		}
		if i.changed.Before(p.mark.made) {
			older = path
			return false, fs.SkipAll
		}
		return true, nil
	})
	if errors.Is(err, fs.SkipAll) {
		err = nil
	}
	return older, err
}

// ignored are the names that do not count: our own, and what a new file system
// has.
func ignored(path string, i info) bool {
	return path == MarkFile || path == MarkFile+".new" || path == "lost+found" && i.uid == 0 || isSlot(path)
}

// meetFirst decides on a mount without a mark. Only a container's first start
// meets it for the first time, or any start a mount that is as new as itself.
func (p *Place) meetFirst(s *Set) error {
	c := s.container
	if c.Before && !(p.info.born.After(c.Began)) {
		p.others("it has no mark of org-runner's")
		return nil
	}
	err := list(p.fd(), "", p.info.mount, true, func(path string, i info) (bool, error) {
		if ignored(path, i) || p.home && slices.Contains(s.Notes, path) {
			return false, nil
		}
		// The image's tool cache, which the engine has copied for another replica.
		tools := p.Path == s.Work && path == "_tool" && i.isFolder()
		if !tools && !s.isImages(p, i) {
			return false, errForged
		}
		return true, nil
	})
	if errors.Is(err, errForged) {
		p.others("it held files already when org-runner first met it")
		return nil
	}
	if err != nil {
		return err
	}
	p.Kind, p.met, p.mark, p.from = Ours, true, &mark{owner: s.UID}, s.Old
	return nil
}

// isImages tells whether the engine has copied a file from the image: into a new
// volume when it made the container, or into a tmpfs at this start.
func (s *Set) isImages(p *Place, i info) bool {
	c := s.container
	if p.home && !s.Old.IsZero() {
		return true // the released version's mark divides them
	}
	if c.Before {
		return i.changed.After(c.Began)
	}
	return i.changed.After(c.Created) && (c.First.IsZero() || i.changed.Before(c.First) || i.changed.After(c.Began))
}

// mayMark tells whether a file's owner can be us: a mark of the job's user is good
// for what this user may delete.
func (s *Set) mayMark(owner uint32) bool {
	return owner == 0 || owner == s.UID || owner == uint32(os.Geteuid())
}

// slotPrefix begins the names of the folders in which runners work that share a
// work folder with another one: _org-runner-2 and so on.
const slotPrefix = "_org-runner-"

func isSlot(name string) bool {
	return strings.HasPrefix(name, slotPrefix) && !strings.Contains(name, "/")
}

// lock takes a place for this life alone. busy: another runner has it.
func (p *Place) lock() (busy bool, err error) {
	err = retried(func() error { return unix.Flock(p.fd(), unix.LOCK_EX|unix.LOCK_NB) })
	return errors.Is(err, unix.EWOULDBLOCK), err
}

// within returns other's path below p's, "" if it is not.
func (p *Place) within(other string) string {
	below, err := filepath.Rel(p.Path, other)
	if err != nil || below == "." || strings.HasPrefix(below, "..") {
		return ""
	}
	return below
}
