//go:build linux

package lives

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A work folder in which every job would fail is told before GitHub hears of us,
// by check too.
func TestWorkFolderThatJobsCannotUse(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(t *testing.T, w *world, work string) // the work folder does not exist yet
		says  string
	}{
		"a file": {func(t *testing.T, _ *world, work string) {
			if err := os.WriteFile(work, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
		"root's": {func(t *testing.T, w *world, work string) {
			anotherUser(t, w)
			if err := os.Mkdir(work, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "permission denied"},
		"root's, and not made yet": {func(t *testing.T, w *world, work string) {
			anotherUser(t, w)
			outside := t.TempDir()
			if err := os.Chmod(outside, 0o755); err != nil {
				t.Fatal(err)
			}
			w.env["RUNNER_WORKDIR"] = filepath.Join(outside, "jobs")
		}, "permission denied"},
		"with root's files of an earlier job": {func(t *testing.T, w *world, work string) {
			anotherUser(t, w)
			if err := os.MkdirAll(filepath.Join(work, "_temp"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(work, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "_temp cannot be written"},
		"noexec": {func(t *testing.T, _ *world, work string) {
			if err := os.Mkdir(work, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mount("none", work, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
				t.Skipf("nothing can be mounted here: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(work, syscall.MNT_DETACH) })
		}, "mounted noexec"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			row.spoil(t, w, filepath.Join(w.home, "_work"))
			l := w.start()
			l.end(78)
			w.counts(map[string]int{})
			if !strings.Contains(l.out.String(), row.says) {
				t.Errorf("the last words do not name the cause:\n%s", l.out.String())
			}
			w.env["GITHUB_SERVER_URL"] = "http://127.0.0.1:1" // this container is looked at without GitHub
			if code, out := w.command("check"); code != 78 || !strings.Contains(out, "FAIL  work folder") {
				t.Errorf("check: exit code %d\n%s", code, out)
			}
		})
	}
}

// anotherUser makes the children of a world's lives another user's, to whom the
// runner's folder belongs.
func anotherUser(t *testing.T, w *world) {
	t.Helper()
	if _, err := user.Lookup("nobody"); err != nil || os.Getuid() != 0 {
		t.Skip("only root can run its children as another user, as nobody")
	}
	if out, err := exec.Command("chown", "nobody", w.home).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.env["RUNNER_USER"] = "nobody"
}

// RUNNER_USER=root is a choice, and the official scripts are told so.
func TestRunnerAsRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("we are not root")
	}
	w := newWorld(t, githubtest.Options{})
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{`test "$(id -u)" = 0`}})
	w.start("RUNNER_USER=root", "RUNNER_ALLOW_RUNASROOT=").end(0)
	w.none()
	w.counts(map[string]int{"registration-token": 1})
	if j := w.Job(job); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
}
