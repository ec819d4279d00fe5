//go:build linux

package reset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MarkFile is the file by which a folder is known as one that org-runner may
// reset. It is written once, when the folder held nothing that could be lost, and
// so its change time, which nobody can set back, divides what was there before
// from what came later. Nothing that is older is ever deleted: who forges a mark
// can have deleted only what he could have deleted himself.
const MarkFile = ".org-runner-mark"

// markHead begins a mark; the number is the folder's inode, so that a copy or a
// mark that was moved here is none.
const markHead = "org-runner reset mark 1, folder %d\n"

// longestMark bounds what is read, in bytes: some 100,000 names.
const longestMark = 16 << 20

// Entry is what was found under a name: type and permissions as in stat(2).
type Entry struct {
	Mode     uint32
	UID, GID uint32
}

func (e Entry) isFolder() bool { return e.Mode&unix.S_IFMT == unix.S_IFDIR }

// mark says what a folder held when org-runner first met it.
type mark struct {
	made  time.Time
	owner uint32
	found map[string]Entry // by path below the folder
}

var errForged = errors.New("its mark is not org-runner's own")

// readMark returns a folder's mark; fs.ErrNotExist if there is none.
func readMark(dir int, folder info) (*mark, error) {
	seen, err := look(dir, MarkFile)
	if err != nil {
		return nil, err
	}
	if seen.mode&unix.S_IFMT != unix.S_IFREG || seen.links != 1 || seen.mount != folder.mount {
		return nil, errForged
	}
	fd, err := openAt(dir, MarkFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), MarkFile)
	defer f.Close()
	m := &mark{made: seen.changed, owner: seen.uid, found: make(map[string]Entry)}
	lines := bufio.NewScanner(io.LimitReader(f, longestMark))
	lines.Buffer(nil, 1<<16)
	if !lines.Scan() || lines.Text()+"\n" != fmt.Sprintf(markHead, folder.inode) {
		return nil, errForged
	}
	for lines.Scan() {
		var e Entry
		var name string
		if _, err := fmt.Sscanf(lines.Text(), "%o %d %d %q", &e.Mode, &e.UID, &e.GID, &name); err != nil || !fs.ValidPath(name) {
			return nil, errForged
		}
		m.found[name] = e
	}
	return m, lines.Err()
}

// writeMark makes one, in one piece.
func writeMark(dir int, folder info, found map[string]Entry) error {
	var text strings.Builder
	fmt.Fprintf(&text, markHead, folder.inode)
	for name, e := range found {
		fmt.Fprintf(&text, "%o %d %d %q\n", e.Mode, e.UID, e.GID, name)
	}
	if text.Len() > longestMark {
		return errors.New("it holds too many files of the image's to be watched: have them outside of it")
	}
	const next = MarkFile + ".new"
	if err := unix.Unlinkat(dir, next, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := unix.Openat(dir, next, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), next)
	_, err = f.WriteString(text.String())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return unix.Renameat(dir, next, dir, MarkFile)
}

// list walks a folder and gives each entry to a function, with its path below the
// folder; mounts are left out. The function says whether to go down. A folder that
// cannot be read is an error, unless lenient.
func list(dir int, at string, mount uint64, lenient bool, visit func(path string, i info) (bool, error)) error {
	all, err := names(dir)
	if err != nil {
		if lenient && errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	}
	for _, name := range all {
		i, err := look(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if i.mount != mount {
			continue
		}
		below := path.Join(at, name)
		down, err := visit(below, i)
		if err != nil {
			return err
		}
		if !down || !i.isFolder() {
			continue
		}
		fd, err := openBelow(dir, name, i)
		if lenient && errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", below, err)
		}
		err = list(fd, below, mount, lenient, visit)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}
