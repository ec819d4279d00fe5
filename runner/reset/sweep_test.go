//go:build linux

package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Command {
		if err := Help(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func write(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tick returns a time that all earlier changes of files are before, and all later
// ones after.
func tick(t *testing.T) time.Time {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	changed := func() time.Time {
		write(t, probe)
		i, err := look(unix.AT_FDCWD, probe)
		if err != nil {
			t.Fatal(err)
		}
		return i.changed
	}
	at := changed()
	for !changed().After(at) {
		time.Sleep(time.Millisecond)
	}
	return at.Add(time.Nanosecond)
}

// tree lists what is below a folder.
func tree(dir string) (paths []string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		if below, _ := filepath.Rel(dir, path); below != "." {
			paths = append(paths, below)
		}
		return nil
	})
	return paths
}

// order makes the sweep of a folder.
func order(t *testing.T, dir string) *Sweep {
	t.Helper()
	i, err := look(unix.AT_FDCWD, dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Sweep{Path: dir, Inode: i.inode, Mount: i.mount}
}

func swept(t *testing.T, s *Sweep) Result {
	t.Helper()
	r := s.run()
	if r.Error != "" {
		t.Fatal(r.Error)
	}
	return r
}

// Down to the last folder only what is a job's goes.
func TestSweepGoesByTime(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("image/bin/cargo"), in("old"), in("kept/deep/file"))
	s := order(t, dir)
	s.From = tick(t)
	write(t, in("image/registry/index"), in("image/bin/new"), in("new/deep/er"), in("kept/deep/poison"), in("with space\n\"'*/x"))
	if err := os.Symlink("/", in("image/root")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(in("pipe"), 0); err != nil {
		t.Fatal(err)
	}
	s.To = tick(t)
	write(t, in("fresh"), in("image/fresh"))
	s.Keep = []string{"kept/deep"}
	swept(t, s)
	want := []string{"fresh", "image", "image/bin", "image/bin/cargo", "image/fresh", "kept", "kept/deep", "kept/deep/file", "kept/deep/poison", "old"}
	if got := tree(dir); !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
}

// To remove one name of a file changes the time of its others.
func TestSweepOfHardLinks(t *testing.T) {
	s := newStage(t)
	if _, err := s.live(func() {
		write(t, s.in("store/a"))
		for _, name := range []string{s.in("store/b"), s.in("deep/c"), s.shared("d")} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Link(s.in("store/a"), name)); err != nil {
				t.Fatal(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.live(nil); err != nil {
		t.Fatal(err)
	}
	s.lost(s.in("store"), s.in("deep"), s.shared("d"))
}

// Nothing is deleted through a link, whatever it stands in place of.
func TestSweepFollowsNoLink(t *testing.T) {
	victim := t.TempDir()
	write(t, filepath.Join(victim, "precious"), filepath.Join(victim, "folder/precious"))
	for _, target := range []string{victim, filepath.Join(victim, "folder"), filepath.Join(victim, "precious")} {
		dir := t.TempDir()
		s := order(t, dir)
		for _, name := range []string{"link", "a/b/link"} {
			write(t, filepath.Join(dir, name+"s-neighbour"))
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		s.Gone = []string{"link"}
		swept(t, s)
		if left := tree(dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		// The place itself is a link, or a folder above it.
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{link, filepath.Join(link, "folder")} {
			s := *s
			s.Path = path
			if r := s.run(); r.Error == "" {
				t.Errorf("%s was opened", path)
			}
		}
		if err := Remove(filepath.Dir(link), "link", "none"); err != nil {
			t.Error(err)
		}
	}
	if got := tree(victim); len(got) != 3 {
		t.Errorf("the victim has %q", got)
	}
}

// swapping puts a link in a folder's place and the folder back, again and again, as
// a process that a job has left could.
func swapping(t *testing.T, dir, victim string) (end func()) {
	t.Helper()
	folder, link := filepath.Join(dir, "folder"), filepath.Join(dir, "link")
	write(t, filepath.Join(folder, "precious"))
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Renameat2(unix.AT_FDCWD, folder, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			_ = os.MkdirAll(folder, 0o755)
			_ = os.WriteFile(filepath.Join(folder, "precious"), nil, 0o644)
			if _, err := os.Lstat(link); err != nil {
				_ = os.Symlink(victim, link)
			}
		}
	}()
	return func() { close(stop); <-done }
}

// naive is how one would delete by paths: the negative control.
func naive(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			naive(path)
		}
		_ = os.Remove(path)
	}
}

func TestSweepInARace(t *testing.T) {
	attack := func(clean func(dir string)) (lost bool) {
		dir, victim := t.TempDir(), t.TempDir()
		precious := filepath.Join(victim, "precious")
		end := swapping(t, dir, victim)
		defer end()
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
			write(t, precious)
			for range 50 {
				clean(dir)
			}
			if _, err := os.Stat(precious); err != nil {
				return true
			}
		}
		return false
	}
	if !attack(naive) {
		t.Skip("the race is not won against the control either: this machine is too slow for it")
	}
	if attack(func(dir string) { order(t, dir).run() }) {
		t.Error("a file behind a link was deleted")
	}
}

// asNobody runs a sweep as a user without rights, which only root can.
func asNobody(t *testing.T, s *Sweep) Result {
	t.Helper()
	if os.Geteuid() != 0 {
		return swept(t, s)
	}
	program := filepath.Join(owned(t), "program")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	executable = func() (string, error) { return program, nil }
	r, err := s.asUser(65534, 65534)
	if err != nil {
		t.Fatal(err)
	}
	if r.Error != "" {
		t.Fatal(r.Error)
	}
	return r
}

// owned makes a folder that nobody's user may enter.
func owned(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "owned")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func give(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error { return os.Lchown(path, 65534, 65534) })
}

// What its owner has made unwritable, like Go's module cache, is deleted all the
// same.
func TestSweepOfFoldersWithoutRights(t *testing.T) {
	for _, mode := range []fs.FileMode{0o555, 0o111, 0} {
		dir := owned(t)
		write(t, filepath.Join(dir, "go/mod/cache/file"), filepath.Join(dir, "go/mod/link"))
		give(t, dir)
		for _, path := range []string{"go/mod/cache", "go/mod", "go"} {
			if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
				t.Fatal(err)
			}
		}
		if r := asNobody(t, order(t, dir)); len(r.Denied) > 0 {
			t.Errorf("mode %o: denied %q", mode, r.Denied)
		}
		if left := tree(dir); len(left) > 0 {
			t.Errorf("mode %o: left %q", mode, left)
		}
	}
}

// What another user has left is told, and what has more rights then deletes it and
// nothing else.
func TestSweepInTwoSteps(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := owned(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("job/own"), in("kept/image"))
	give(t, dir)
	s := order(t, dir)
	s.From, s.Found = tick(t), map[string]Entry{"kept": {Mode: unix.S_IFDIR | 0o755}, "kept/image": {Mode: unix.S_IFREG}}
	write(t, in("kept/deep/mine"))
	give(t, in("kept/deep"))
	write(t, in("kept/deep/rooted/file"), in("kept/deep/rooted/more/file"))
	if err := os.Chmod(in("kept/deep/rooted/more"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.To = tick(t)
	r := asNobody(t, s)
	if len(r.Denied) == 0 {
		t.Fatalf("nothing was denied; left %q", tree(dir))
	}
	s.Only, s.Hollow = r.Denied, r.Emptied
	if r := swept(t, s); len(r.Denied) > 0 {
		t.Errorf("root was denied %q", r.Denied)
	}
	if got := tree(dir); !slices.Equal(got, []string{"job", "job/own", "kept", "kept/image"}) {
		t.Errorf("left: %q", got)
	}
}

// inNamespace runs the calling test again in a mount namespace of its own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("RESET_TEST_NAMESPACE") != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), "RESET_TEST_NAMESPACE=1")
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := command.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EPERM) {
		t.Skip("no namespaces here: ", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	return false
}

// bind mounts a folder on another one.
func bind(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
}

// A mount below is not entered, though it is of the same file system, and neither
// is a file that is mounted on one.
func TestSweepEntersNoMount(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	victim := t.TempDir()
	write(t, filepath.Join(victim, "precious"), filepath.Join(victim, "deep/precious"))
	dir := t.TempDir()
	s := order(t, dir)
	bind(t, victim, filepath.Join(dir, "below/it"))
	bind(t, victim, filepath.Join(dir, "with space\tand\\more"))
	write(t, filepath.Join(dir, "file"), filepath.Join(dir, "below/poison"))
	if err := unix.Mount(filepath.Join(victim, "precious"), filepath.Join(dir, "file"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(filepath.Join(dir, "file"), unix.MNT_DETACH) }()
	s.Gone = []string{"below", "file"}
	swept(t, s)
	if got := tree(victim); len(got) != 3 {
		t.Errorf("the victim has %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "below/poison")); err == nil {
		t.Error("what is beside the mount has stayed")
	}
}
