package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FolderError is a folder that the runner's user cannot use as it has to.
type FolderError struct{ Cause, Remedy string }

func (e *FolderError) Error() string { return e.Cause + ": " + e.Remedy }

// Unwrap makes errors.Is(err, ErrConfiguration) work.
func (e *FolderError) Unwrap() error { return ErrConfiguration }

// StateDir is the folder for a life's own small files: as the image has it, or,
// where our user cannot write that one, below the runner's folder.
func StateDir(home string) string {
	if info, err := os.Stat(imageStateDir); err == nil && info.IsDir() && unix.Access(imageStateDir, unix.W_OK) == nil {
		return imageStateDir
	}
	return homeStateDir(home)
}

// CheckFolders tells whether the runner can keep its registration in home and its
// jobs can work in work, as the user whose they are (RUNNER_USER where we are
// root). The error is a *FolderError, or that there is no such user.
func CheckFolders(home, work, user string) error {
	as, err := accountFor(user)
	if err != nil {
		return err
	}
	return errors.Join(checkHome(home, as), checkWork(absolute(home, work), as))
}

func checkHome(home string, as *account) error {
	return as.withItsRights(func() error {
		if err := writable(home); err != nil {
			return &FolderError{fmt.Sprintf("%s cannot be written by %s (%v), and the official runner keeps its registration there", home, as, err),
				"mount it writable for the runner's user"}
		}
		if noexec(home) {
			return &FolderError{home + " is mounted noexec, and the official runner's programs are there", "mount it with exec, as in --tmpfs " + home + ":exec"}
		}
		return nil
	})
}

// madeByWorker is what the worker makes or empties in the work folder when a job
// starts. The tool cache is not of them: it may be read-only on purpose.
var madeByWorker = []string{"_temp", "_actions", "_PipelineMapping"}

func checkWork(work string, as *account) error {
	return as.withItsRights(func() error {
		places := []string{existing(work)}
		for _, name := range madeByWorker {
			if dir := filepath.Join(work, name); existing(dir) == dir {
				places = append(places, dir)
			}
		}
		for _, dir := range places {
			if err := writable(dir); err != nil {
				return &FolderError{fmt.Sprintf("%s cannot be written by %s (%v), and every job would fail before its first step", dir, as, err),
					"mount a volume or tmpfs at " + work + " that this user owns (chown; uid= for a tmpfs), or set RUNNER_WORKDIR to another folder"}
			}
		}
		if noexec(places[0]) {
			return &FolderError{work + " is mounted noexec, and jobs could not run what they bring or build",
				"mount it with exec, as in --tmpfs " + work + ":exec, or set RUNNER_WORKDIR to another folder"}
		}
		return nil
	})
}

// CheckToolCache warns of a tool cache in the work folder that jobs cannot write;
// nil: they can, or there is none yet. It may be meant so.
func CheckToolCache(home, work, user string) *FolderError {
	as, err := accountFor(user)
	if err != nil {
		return nil
	}
	return checkToolCache(absolute(home, work), as)
}

func checkToolCache(work string, as *account) *FolderError {
	dir := filepath.Join(work, "_tool")
	err := as.withItsRights(func() error {
		if existing(dir) != dir {
			return nil
		}
		return writable(dir)
	})
	if err == nil {
		return nil
	}
	return &FolderError{fmt.Sprintf("the tool cache %s cannot be written by %s (%v), and actions that install tools will fail", dir, as, err),
		"make this user its owner: a volume that an earlier image has made there is root's"}
}

// existing is the nearest folder above a path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// writable makes a file in a folder. A full disk is no error: it may pass, and the
// reset gives room back.
func writable(dir string) error {
	file, err := os.CreateTemp(dir, ".writable-*")
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil
	case err != nil:
		var path *fs.PathError
		if errors.As(err, &path) {
			return path.Err
		}
		return err
	}
	file.Close()
	return os.Remove(file.Name())
}

func noexec(dir string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(dir, &stat) == nil && stat.Flags&unix.ST_NOEXEC != 0
}

// withItsRights runs f with the rights that the account has in file systems; nil
// is ourselves. Only one thread takes them, which ends with f.
func (a *account) withItsRights(f func() error) error {
	if a == nil {
		return f()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		result <- func() error {
			groups := append([]uint32{a.gid}, a.groups...)
			if _, _, failed := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); failed != 0 {
				return fmt.Errorf("%w: the groups of RUNNER_USER %q cannot be taken: %w: give the container the capability SETGID, or start it as that user", ErrConfiguration, a.name, failed)
			}
			_, _ = unix.SetfsgidRetGid(int(a.gid))
			_, _ = unix.SetfsuidRetUid(int(a.uid))
			return f()
		}()
	}()
	return <-result
}
