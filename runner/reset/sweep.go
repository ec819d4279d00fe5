//go:build linux

package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep removes from one folder what jobs made in it. All of it goes by handles
// of folders, never by a path: no link is followed, no other mount is entered,
// whatever somebody does meanwhile.
type Sweep struct {
	Path  string
	Inode uint64 // of the folder, and
	Mount uint64 // the id of its mount, as they were judged

	// What was changed after From and before To is a job's. To is when this start
	// began; zero: no end.
	From, To time.Time
	// Scripts is the same as From for scripts at the top, which the runner's
	// update of itself brings; zero: as all else.
	Scripts time.Time
	Keep    []string         // paths below Path that are not touched
	Gone    []string         // paths below Path that go, however old
	Found   map[string]Entry // what was there before any job

	// Trusted: Found is root's own word. Otherwise root opens none of its folders for it.
	Trusted bool

	// A second one, with more rights, does what the first one could not: what is
	// to be removed with all below it, and folders that are empty then.
	Only, Hollow []string

	// Unlinked are files of which a name is gone already: that has changed their
	// other names' time, which is no sign of a new file then.
	Unlinked []File
}

// File is a file whatever its names.
type File struct{ Device, Inode uint64 }

// Result is what a sweep has done, and what it had no right to do.
type Result struct {
	Removed         int
	Denied, Emptied []string
	Unlinked        []File
	Error           string // "": none
}

// run does it.
func (s *Sweep) run() Result {
	w := sweeper{Sweep: s, unlinked: make(map[File]bool)}
	for _, f := range s.Unlinked {
		w.unlinked[f] = true
	}
	err := w.begin()
	w.Result.Unlinked = slices.Collect(maps.Keys(w.unlinked))
	if err != nil {
		w.Error = fmt.Sprintf("%s: %v", s.Path, err)
	}
	return w.Result
}

// Remove removes names in a folder with all that is in them, whoever has put what
// there.
func Remove(dir string, names ...string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := look(int(f.Fd()), "")
	if err != nil {
		return err
	}
	w := sweeper{Sweep: &Sweep{Path: dir, Inode: i.inode, Mount: i.mount, Gone: names}, unlinked: make(map[File]bool)}
	for _, name := range names {
		if _, err := w.entry(int(f.Fd()), name, name, false); err != nil {
			return err
		}
	}
	if len(w.Denied) > 0 {
		return fmt.Errorf("%s/%s cannot be removed", dir, w.Denied[0])
	}
	return nil
}

type sweeper struct {
	*Sweep
	Result
	unlinked map[File]bool
}

func (w *sweeper) begin() error {
	f, err := openFolder(w.Path, time.Time{})
	if err != nil {
		return err
	}
	defer f.Close()
	dir := int(f.Fd())
	i, err := look(dir, "")
	if err != nil {
		return err
	}
	if i.inode != w.Inode || i.mount != w.Mount {
		return errChanging
	}
	if len(w.Only)+len(w.Hollow) == 0 {
		_, err = w.folder(dir, "", false)
		return err
	}
	for _, below := range w.Only {
		if err := w.inParent(dir, below, func(parent int, name string) error {
			_, err := w.entry(parent, name, below, false)
			return err
		}); err != nil {
			return err
		}
	}
	for _, below := range w.Hollow {
		if err := w.inParent(dir, below, func(parent int, name string) error {
			if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err == nil {
				w.Removed++
			}
			return nil // still full: something in it stays
		}); err != nil {
			return err
		}
	}
	return nil
}

// inParent opens the folder in which a path's last name is.
func (w *sweeper) inParent(dir int, below string, do func(parent int, name string) error) error {
	at, name := path.Split(below)
	for _, part := range parts(at) {
		i, err := look(dir, part)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if i.mount != w.Mount {
			return nil
		}
		if dir, err = openBelow(dir, part, i); err != nil {
			return fmt.Errorf("%s: %w", below, err)
		}
		defer unix.Close(dir)
	}
	return do(dir, name)
}

// isJobs tells whether a change of this time was a job's.
func (w *sweeper) isJobs(below string, changed time.Time) bool {
	from := w.From
	if ext := path.Ext(below); w.Scripts.After(from) && !strings.Contains(below, "/") && (ext == ".sh" || ext == ".template") {
		from = w.Scripts
	}
	return changed.After(from) && (w.To.IsZero() || changed.Before(w.To))
}

// folder goes through a folder and returns how much stays in it. all: it is to go
// however old it is.
func (w *sweeper) folder(dir int, at string, all bool) (stays int, err error) {
	entries, err := names(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range entries {
		gone, err := w.entry(dir, name, path.Join(at, name), all)
		if err != nil {
			return stays, err
		}
		if !gone {
			stays++
		}
	}
	return stays, nil
}

// entry removes what stands under a name, if it is a job's.
func (w *sweeper) entry(dir int, name, below string, all bool) (gone bool, err error) {
	if slices.Contains(w.Keep, below) || below == MarkFile {
		return false, nil
	}
	i, err := look(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", below, err)
	}
	if i.mount != w.Mount || below == "lost+found" && i.uid == 0 {
		return false, nil
	}
	all = all || slices.Contains(w.Gone, below)
	found, known := w.Found[below]
	if i.isFolder() {
		return w.subfolder(dir, name, below, i, all)
	}
	file := File{i.device, i.inode}
	if known && found.Mode&unix.S_IFMT == i.mode&unix.S_IFMT && !all || !all && !w.unlinked[file] && !w.isJobs(below, i.changed) {
		return false, nil
	}
	if gone, err = w.remove(dir, name, below, 0); gone && i.links > 1 {
		w.unlinked[file] = true
	}
	return gone, err
}

// subfolder empties a folder of what is a job's, and removes it if it is one
// itself.
func (w *sweeper) subfolder(dir int, name, below string, i info, all bool) (gone bool, err error) {
	found, known := w.Found[below]
	known = known && found.isFolder()
	fd, err := openBelow(dir, name, i)
	if errors.Is(err, fs.ErrPermission) {
		if all || !known && w.isJobs(below, i.changed) {
			w.Denied = append(w.Denied, below)
		}
		return false, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", below, err)
	}
	defer unix.Close(fd)
	if isSlot(below) && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil // a runner lives in it
	}
	stays, err := w.folder(fd, below, all)
	if err != nil {
		return false, err
	}
	if known && !all {
		if i.mode != found.Mode && i.uid == found.UID && (w.Trusted || i.uid != 0 || os.Geteuid() != 0) {
			_ = unix.Fchmod(fd, found.Mode&0o7777)
		}
		return false, nil
	}
	if !all && !w.isJobs(below, i.changed) {
		return false, nil
	}
	if stays > 0 {
		w.Emptied = append(w.Emptied, below)
		return false, nil
	}
	return w.remove(dir, name, below, unix.AT_REMOVEDIR)
}

func (w *sweeper) remove(dir int, name, below string, flags int) (gone bool, err error) {
	err = unix.Unlinkat(dir, name, flags)
	if errors.Is(err, syscall.EACCES) && makeWritable(dir) == nil {
		err = unix.Unlinkat(dir, name, flags)
	}
	switch {
	case err == nil:
		w.Removed++
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case errors.Is(err, fs.ErrPermission):
		w.Denied = append(w.Denied, below)
		return false, nil
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST):
		return false, nil // something is mounted on it, or came into it
	}
	return false, fmt.Errorf("%s: %w", below, err)
}
