package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A life that is root looks with the rights of the jobs' user.
func TestHookThatTheJobsUserCannotRead(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: there is one user only")
	}
	dir, err := os.MkdirTemp("", "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(dir, "own.sh")
	for mode, good := range map[os.FileMode]bool{0o600: false, 0o644: true} {
		_ = os.Remove(hook)
		if err := os.WriteFile(hook, nil, mode); err != nil {
			t.Fatal(err)
		}
		l := &Life{Options: Options{Home: dir, Environ: []string{hookVariable + "=" + hook}}, account: &account{name: "somebody", uid: 65534, gid: 65534}}
		if err := l.checkHooks(); (err == nil) != good || !good && (!errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "cannot be read")) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
