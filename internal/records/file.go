package records

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	// mostBytes is how large the file becomes before it is begun anew.
	mostBytes = 64 << 20
	// lockPatience is how long a line waits for the file's lock.
	lockPatience = 500 * time.Millisecond
)

// Old is the name of what was in the file before it was begun anew.
func Old(path string) string { return path + ".1" }

// ErrReplaced is the error for what is not a file with one name.
var ErrReplaced = errors.New("it is a link, a pipe or a device, or it has a second name: remove it, a job has put it there")

// Open opens a file of records to read it. Jobs can write to its folder: a pipe or
// a link in its place must not hold up who reads it, nor lead root to another file.
func Open(path string) (*os.File, error) { return open(path, os.O_RDONLY) }

func open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|safely, 0o644)
	if isLink(err) {
		return nil, fmt.Errorf("%s: %w", path, ErrReplaced)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || hasTwoNames(info)) {
		err = fmt.Errorf("%s: %w", path, ErrReplaced)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openToAppend opens the file under its lock, and begins it anew when it is full.
// A job that holds the lock keeps nobody from writing: a line is one write, whole
// without the lock too.
func openToAppend(path string) (*os.File, error) {
	for try := 1; ; try++ {
		f, err := open(path, os.O_RDWR|os.O_APPEND|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if !locked(f) || try == 3 {
			return f, nil
		}
		info, err := f.Stat()
		if err == nil && isAt(path, info) { // else another one has begun it anew while this one waited
			if info.Size() <= mostBytes {
				return f, nil
			}
			if os.Rename(path, Old(path)) != nil {
				err = f.Truncate(0)
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

func isAt(path string, file fs.FileInfo) bool {
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(there, file)
}

// locked waits for the file's lock, but not for ever; closing the file ends it.
func locked(f *os.File) bool {
	for end := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		if err := lock(f); err == nil || !isHeld(err) || time.Now().After(end) {
			return err == nil
		}
	}
}
