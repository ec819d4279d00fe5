//go:build unix

package dotenv

import (
	"fmt"
	"os"
	"syscall"
)

// sameOwner gives a file the owner and the group of another one.
func sameOwner(f *os.File, like os.FileInfo) error {
	if like == nil {
		return nil
	}
	have, err := f.Stat()
	if err != nil {
		return err
	}
	want, now := like.Sys().(*syscall.Stat_t), have.Sys().(*syscall.Stat_t)
	if want.Uid == now.Uid && want.Gid == now.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("it belongs to uid %d and group %d, which only that user can keep: call this command as its owner", want.Uid, want.Gid)
	}
	return nil
}
