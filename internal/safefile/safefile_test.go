//go:build unix

package safefile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

// Whatever a job has put in the place of a file of ours, nothing outside is read
// or written, and nobody waits.
func TestWhatAJobHasPutThere(t *testing.T) {
	for name, put := range map[string]func(path, victim string) error{
		"a link":          func(path, victim string) error { return os.Symlink(victim, path) },
		"a pipe":          func(path, _ string) error { return syscall.Mkfifo(path, 0o666) },
		"a folder":        func(path, _ string) error { return os.Mkdir(path, 0o755) },
		"a very long one": func(path, _ string) error { return os.WriteFile(path, make([]byte, 2<<20), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "ours"), filepath.Join(dir, "victim")
			if err := os.WriteFile(victim, []byte("untouched"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := put(path, victim); err != nil {
				t.Fatal(err)
			}
			if data, err := safefile.Read(path); err == nil {
				t.Errorf("read %d bytes", len(data))
			}
			if err := put(path+".new", victim); err != nil {
				t.Fatal(err)
			}
			err := safefile.Write(path, []byte("written"))
			if data, _ := safefile.Read(path); name != "a folder" && (err != nil || string(data) != "written") {
				t.Errorf("written over it: %v, %.20q", err, data)
			}
			if data, _ := os.ReadFile(victim); string(data) != "untouched" {
				t.Errorf("the victim has %q", data)
			}
		})
	}
}
