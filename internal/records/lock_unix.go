//go:build unix

package records

import (
	"os"
	"syscall"
)

// lock waits for the file's lock; closing the file ends it.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
