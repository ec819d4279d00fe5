//go:build unix

package dotenv_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/dotenv"
)

// Who calls a command as root still owns the file afterwards, and so do new files
// beside it.
func TestOwnerStays(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can write another user's file")
	}
	dir := t.TempDir()
	path, beside := filepath.Join(dir, ".env"), filepath.Join(dir, ".env.new")
	if err := os.WriteFile(path, []byte("A=1\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 4321); err != nil {
		t.Fatal(err)
	}
	if err := dotenv.Write(path, []byte("A=2\n")); err != nil {
		t.Fatal(err)
	}
	staged, err := dotenv.Stage(beside, nil, dotenv.Placement{OwnerOf: path, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := staged.Commit(); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o640, beside: 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 1234 || owner.Gid != 4321 || info.Mode().Perm() != mode {
			t.Errorf("%s: uid %d, gid %d, mode %v", name, owner.Uid, owner.Gid, info.Mode())
		}
	}
}
