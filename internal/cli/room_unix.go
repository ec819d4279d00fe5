//go:build linux || darwin

package cli

import (
	"os"
	"syscall"
)

// sameDisk tells whether two paths are on one file system.
func sameDisk(a, b string) bool {
	device := func(path string) any {
		if info, err := os.Stat(path); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				return stat.Dev
			}
		}
		return nil
	}
	one := device(a)
	return one != nil && one == device(b)
}

// room is how many bytes of a file system are free for users, and its size.
func room(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
