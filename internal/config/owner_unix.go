//go:build unix

package config

import (
	"fmt"
	"os"
	"syscall"
)

// owner is whose a file is.
func owner(info os.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(stat.Uid, " ", stat.Gid)
	}
	return ""
}
