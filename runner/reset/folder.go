//go:build linux

package reset

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// info is what the kernel says of a file. Its change time can be set by nobody;
// its mount tells even a folder of the same file system that is mounted there.
type info struct {
	mode          uint32 // type and permissions, as in stat(2)
	uid, gid      uint32
	inode, mount  uint64
	device        uint64
	links         uint32
	changed, born time.Time // born: zero if the file system does not tell
}

func (i info) isFolder() bool { return i.mode&unix.S_IFMT == unix.S_IFDIR }
func (i info) isLink() bool   { return i.mode&unix.S_IFMT == unix.S_IFLNK }

// look describes what stands under a name in a folder, a link itself; "": the
// folder.
func look(dir int, name string) (info, error) {
	var s unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	err := retried(func() error {
		return unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME|unix.STATX_MNT_ID, &s)
	})
	if err != nil {
		return info{}, err
	}
	i := info{mode: uint32(s.Mode), uid: s.Uid, gid: s.Gid, inode: s.Ino, mount: s.Mnt_id, device: unix.Mkdev(s.Dev_major, s.Dev_minor), links: s.Nlink, changed: time.Unix(s.Ctime.Sec, int64(s.Ctime.Nsec))}
	if s.Mask&unix.STATX_BTIME != 0 {
		i.born = time.Unix(s.Btime.Sec, int64(s.Btime.Nsec))
	}
	if s.Mask&unix.STATX_MNT_ID == 0 {
		i.mount, err = mountOf(dir, name)
	}
	return i, err
}

// mountOf asks a kernel before 5.8, whose statx does not tell.
func mountOf(dir int, name string) (uint64, error) {
	if name != "" {
		fd, err := openAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		dir = fd
	}
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(dir))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if value, found := bytes.CutPrefix(line, []byte("mnt_id:")); found {
			return strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, errors.New("this kernel does not tell what is mounted where")
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	err = retried(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

func retried(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// errLink is a link where a folder should be.
var errLink = errors.New("is a symbolic link")

// openFolder opens a folder by its absolute path without following a link that a
// job can have made: only those of root in folders of root's that were there
// before a time (zero: whenever), like /var/run.
func openFolder(path string, before time.Time) (*os.File, error) {
	at, err := openAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer func() { unix.Close(at) }()
	links := 0
	for rest := parts(path); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		here, err := look(at, name)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		if here.isLink() {
			target, err := trustedLink(at, name, here, before)
			if links++; err != nil || links > 40 {
				return nil, &fs.PathError{Op: "open", Path: path, Err: errLink}
			}
			if rest = append(parts(target), rest...); filepath.IsAbs(target) {
				name = "/"
			} else {
				continue
			}
		}
		next, err := openAt(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		unix.Close(at)
		at = next
	}
	fd, err := readable(at)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// parts are the names that a path is made of.
func parts(path string) (names []string) {
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// trustedLink reads a link that no job without root's rights can have made.
func trustedLink(dir int, name string, link info, before time.Time) (string, error) {
	parent, err := look(dir, "")
	if err != nil {
		return "", err
	}
	if link.uid != 0 || parent.uid != 0 || parent.mode&0o022 != 0 || !before.IsZero() && link.changed.After(before) {
		return "", errLink
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buffer)
	return string(buffer[:max(n, 0)]), err
}

// readable opens a folder, of which there is a handle, for reading. One of our own
// is made readable and writable for that: a job may have taken the rights from
// it, as from Go's module cache.
func readable(handle int) (int, error) {
	fd, err := openAt(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrPermission) && makeWritable(handle) == nil {
		fd, err = openAt(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	}
	return fd, err
}

// makeWritable gives its owner all rights to a folder. It goes by the handle, so
// there is no name that could have become a link.
func makeWritable(handle int) error {
	i, err := look(handle, "")
	if err != nil {
		return err
	}
	if !i.isFolder() || i.mode&0o700 == 0o700 {
		return fs.ErrPermission
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", handle), fs.FileMode(i.mode&0o777)|0o700)
}

// openBelow opens the folder that a name stands for in another one: never through
// a link, never another one than was looked at.
func openBelow(dir int, name string, seen info) (int, error) {
	handle, err := openAt(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	now, err := look(handle, "")
	if err != nil {
		return -1, err
	}
	if now.inode != seen.inode || now.mount != seen.mount {
		return -1, errChanging
	}
	return readable(handle)
}

// errChanging is a folder that somebody puts others in the place of meanwhile.
var errChanging = errors.New("is being changed while it is reset")

// names lists a folder.
func names(dir int) ([]string, error) {
	again, err := openAt(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), "")
	defer f.Close()
	return f.Readdirnames(-1)
}
