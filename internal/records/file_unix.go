//go:build unix

package records

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

const safely = safefile.NoFollow

func isLink(err error) bool { return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) }

func hasTwoNames(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

func isHeld(err error) bool {
	return errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
}
