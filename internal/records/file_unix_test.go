//go:build unix

package records_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// soon fails the test if f takes longer than any file could.
func soon(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

// What a job has put in the file's place is neither waited for, nor read, nor
// written to.
func TestReplaced(t *testing.T) {
	for name, put := range map[string]func(path, other string) error{
		"pipe":          func(path, _ string) error { return syscall.Mkfifo(path, 0o666) },
		"link":          func(path, other string) error { return os.Symlink(other, path) },
		"dangling link": func(path, other string) error { return os.Symlink(other+"-not-there", path) },
		"endless":       func(path, _ string) error { return os.Symlink("/dev/zero", path) },
		"second name":   func(path, other string) error { return os.Link(other, path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "jobs.jsonl"), filepath.Join(dir, "passwd")
			if err := os.WriteFile(other, []byte("root:x:0:0\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := put(path, other); err != nil {
				t.Fatal(err)
			}
			soon(t, func() {
				if err := records.Append(path, record("build")); !errors.Is(err, records.ErrReplaced) {
					t.Errorf("to append: %v", err)
				}
				if f, err := records.Open(path); !errors.Is(err, records.ErrReplaced) {
					t.Errorf("to read: %v, %v", f, err)
				}
			})
			if data, err := os.ReadFile(other); err != nil || string(data) != "root:x:0:0\n" {
				t.Errorf("the other file: %s, %v", data, err)
			}
			if _, err := os.Lstat(other + "-not-there"); err == nil {
				t.Error("a file was made where the link leads")
			}
		})
	}
}

// A job that holds the lock for ever keeps no record out.
func TestLockIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	soon(t, func() {
		if err := records.Append(path, record("build")); err != nil {
			t.Error(err)
		}
	})
	if jobs, _, _ := read(t, path, 0); len(jobs) != 1 {
		t.Errorf("read %v", jobs)
	}
}

// A file that is full is begun anew, once, and no line is lost by it.
func TestBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<20+1); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := records.Append(path, record("build")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if jobs, _, torn := read(t, path, 0); len(jobs) != 10 || torn != 0 {
		t.Errorf("%d records, %d torn lines", len(jobs), torn)
	}
	if info, err := os.Stat(records.Old(path)); err != nil || info.Size() != 64<<20+1 {
		t.Errorf("%v, %v", info, err)
	}
}

// When it cannot be moved it is emptied.
func TestBegunAnewInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 64<<20)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(records.Old(path), "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := records.Append(path, record("build")); err != nil {
		t.Fatal(err)
	}
	if jobs, _, torn := read(t, path, 0); len(jobs) != 1 || torn != 0 {
		t.Errorf("%d records, %d torn lines", len(jobs), torn)
	}
}
