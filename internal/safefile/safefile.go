//go:build unix

// Package safefile reads and writes small files in folders that jobs can write to:
// there may be a link or a pipe under the name of a file of ours, and who follows
// it may be root.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// NoFollow are the flags to open a file with: what stands under the name itself,
// and without waiting for anybody at the other end of a pipe.
const NoFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// longest is the most that is read, in bytes.
const longest = 1 << 20

// Read reads a file of at most 1 MiB.
func Read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|NoFollow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > longest {
		return nil, fmt.Errorf("%s is no file of ours", path)
	}
	return io.ReadAll(io.LimitReader(f, longest))
}

// Write puts a new file in a path's place, as one piece: a reader sees the old one
// or the new.
func Write(path string, data []byte) error {
	next := path + ".new"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|NoFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	err = os.Rename(next, path)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR) {
		// A folder, which a file cannot replace.
		if err = os.RemoveAll(path); err == nil {
			err = os.Rename(next, path)
		}
	}
	return err
}
