//go:build linux

package reset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage is a made-up container: its home is in our own layer, and what is mounted
// where is the test's to say.
type stage struct {
	t *testing.T
	Options
	Container
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, Options: Options{
		Home: filepath.Join(dir, "home"), Work: filepath.Join(dir, "home/_work"), Shared: []string{filepath.Join(dir, "tmp")},
		Own: []string{filepath.Join(dir, "var"), filepath.Join(dir, "var/records")}, State: filepath.Join(dir, "run"),
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Slots: true,
		Notes: []string{".note"}, Part: func(name string) bool { return name == "bin" },
	}}
	write(t, s.in("bin/listener"), s.in(".cargo/bin/cargo"), s.in(".gitconfig"), filepath.Join(dir, "tmp/of-the-image"), filepath.Join(dir, "var/records/of-the-image"))
	s.Container = Container{Inside: true, Created: tick(t)}
	s.First = tick(t)
	s.Began = tick(t)
	return s
}

func (s *stage) in(name string) string     { return filepath.Join(s.Home, name) }
func (s *stage) shared(name string) string { return filepath.Join(s.Shared[0], name) }

func (s *stage) take() *Set {
	s.t.Helper()
	set, err := Take(s.Options, s.Container)
	if err != nil {
		s.t.Fatal(err)
	}
	return set
}

// live is one life: it takes its places, resets, lets a job run, and ends.
func (s *stage) live(job func()) (stays []string, err error) {
	s.t.Helper()
	set := s.take()
	defer set.Close()
	if _, err := set.Reset(s.Before || set.Used()); err != nil {
		return set.Stays(), err
	}
	if err := set.Keep(); err != nil {
		s.t.Fatal(err)
	}
	if job != nil {
		job()
	}
	s.Before, s.Began = true, tick(s.t)
	return set.Stays(), nil
}

// another makes a new container of the image, which has the same mounts.
func (s *stage) another() {
	s.Before, s.Created = false, tick(s.t)
	s.First = tick(s.t)
	s.Began = tick(s.t)
}

func (s *stage) has(paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			s.t.Errorf("%s is gone", path)
		}
	}
}

func (s *stage) lost(paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			s.t.Errorf("%s is still there", path)
		}
	}
}

func TestLayer(t *testing.T) {
	s := newStage(t)
	if stays, err := s.live(func() {
		write(t, s.in(".cargo/registry/index"), s.in(".npm/x"), s.in("_work/repo/file"), s.in("_diag/log"), s.shared("x"), s.Own[0]+"/x", s.Own[1]+"/x")
		if err := os.Chmod(s.in(".cargo/bin"), 0o777); err != nil {
			t.Fatal(err)
		}
	}); err != nil || len(stays) > 0 {
		t.Fatal(stays, err)
	}
	if _, err := s.live(nil); err != nil {
		t.Fatal(err)
	}
	s.has(s.in(".cargo/bin/cargo"), s.in("bin/listener"), s.in(".gitconfig"), s.shared("of-the-image"), s.Own[1]+"/of-the-image", s.in(MarkFile))
	s.lost(s.in(".cargo/registry"), s.in(".npm"), s.in("_work"), s.in("_diag"), s.shared("x"), s.Own[0]+"/x", s.Own[1]+"/x")
	if info, err := os.Stat(s.in(".cargo/bin")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of a folder of the image's: %v", info.Mode())
	}
}

// A file of the image's that a job has changed or removed gives the container up,
// and nothing is removed then; a folder is made anew.
func TestLayerThatAJobHasChanged(t *testing.T) {
	for name, row := range map[string]struct {
		job     func(s *stage) error
		changed string
	}{
		"written":    {func(s *stage) error { return os.WriteFile(s.in(".cargo/bin/cargo"), nil, 0o644) }, ".cargo/bin/cargo"},
		"mode":       {func(s *stage) error { return os.Chmod(s.in(".cargo/bin/cargo"), 0o777) }, ".cargo/bin/cargo"},
		"dated back": {func(s *stage) error { return os.Chtimes(s.in(".cargo/bin/cargo"), time.Unix(1, 0), time.Unix(1, 0)) }, ".cargo/bin/cargo"},
		"removed":    {func(s *stage) error { return os.Remove(s.in(".cargo/bin/cargo")) }, ".cargo/bin/cargo"},
		"moved":      {func(s *stage) error { return os.Rename(s.in(".cargo"), s.in(".kargo")) }, ".cargo/bin/cargo"},
		"a link instead": {func(s *stage) error {
			return errors.Join(os.Remove(s.in(".gitconfig")), os.Symlink("/", s.in(".gitconfig")))
		}, ".gitconfig"},
		"a part removed": {func(s *stage) error { return os.RemoveAll(s.in("bin")) }, "bin"},
	} {
		s := newStage(t)
		if _, err := s.live(func() {
			write(t, s.shared("x"))
			if err := row.job(s); err != nil {
				t.Fatal(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		_, err := s.live(nil)
		var changed *Changed
		if !errors.As(err, &changed) || changed.Path != s.in(row.changed) {
			t.Errorf("%s: %v", name, err)
		}
		s.has(s.shared("x"))
	}
}

// Without its list, which a job can remove, the times alone decide.
func TestLayerWithoutAMark(t *testing.T) {
	s := newStage(t)
	if _, err := s.live(func() {
		write(t, s.in(".cargo/registry/index"), s.in(".profile-of-a-job"))
		if err := os.Remove(s.in(MarkFile)); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.live(nil); err != nil {
		t.Fatal(err)
	}
	s.has(s.in(".cargo/bin/cargo"), s.in(".gitconfig"))
	s.lost(s.in(".cargo/registry"), s.in(".profile-of-a-job"))
}

// A work folder, a shared place or a folder above is a link that a job has made.
func TestLinksInPlaceOfPlaces(t *testing.T) {
	victim := t.TempDir()
	s := newStage(t)
	if _, err := s.live(func() {
		write(t, filepath.Join(victim, "precious"))
		for _, path := range []string{s.Work, s.Own[1], s.Shared[0]} {
			if err := errors.Join(os.RemoveAll(path), os.Symlink(victim, path)); err != nil {
				t.Fatal(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	stays, err := s.live(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.has(filepath.Join(victim, "precious"))
	s.lost(s.Work)
	if info, err := os.Lstat(s.Own[1]); err != nil || !info.IsDir() {
		t.Errorf("the records' folder is not there again: %v", err)
	}
	if !slices.ContainsFunc(stays, func(why string) bool { return strings.Contains(why, s.Shared[0]+" is a link") }) {
		t.Errorf("stays: %q", stays)
	}
}

// The four kinds of places.
func TestMounts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	t.Run("met empty", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		bind(t, outside, s.Shared[0])
		if _, err := s.live(func() { write(t, s.shared("a/b")) }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.live(func() { s.lost(s.shared("a")); write(t, s.shared("c")) }); err != nil {
			t.Fatal(err)
		}
		s.another()
		if stays, err := s.live(nil); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		s.lost(s.shared("c"))
	})
	t.Run("somebody's", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		write(t, filepath.Join(outside, "precious"))
		s.another()
		bind(t, outside, s.Shared[0])
		for range 3 {
			stays, err := s.live(func() { write(t, s.shared("a/b")) })
			if err != nil || len(stays) != 1 {
				t.Fatal(stays, err)
			}
			s.another()
		}
		s.has(s.shared("precious"), s.shared("a/b"))
		s.lost(s.shared(MarkFile))
	})
	t.Run("emptied and without its mark", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		bind(t, outside, s.Shared[0])
		if _, err := s.live(func() { _ = os.Remove(s.shared(MarkFile)) }); err != nil {
			t.Fatal(err)
		}
		write(t, s.shared("precious"))
		if stays, err := s.live(nil); err != nil || len(stays) != 1 {
			t.Fatal(stays, err)
		}
		s.has(s.shared("precious"))
	})
	t.Run("filled for another replica", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		if err := os.Mkdir(filepath.Join(outside, "_tool"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.another()
		bind(t, outside, s.Work)
		if stays, err := s.live(func() { write(t, s.in("_work/_tool/x"), s.in("_work/x")) }); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		if _, err := s.live(nil); err != nil {
			t.Fatal(err)
		}
		s.has(s.in("_work/_tool"))
		s.lost(s.in("_work/_tool/x"), s.in("_work/x"))
	})
	t.Run("mounted twice", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		s.Shared = append(s.Shared, filepath.Join(t.TempDir(), "shm"))
		bind(t, outside, s.Shared[0])
		bind(t, outside, s.Shared[1])
		for range 2 {
			if stays, err := s.live(func() { write(t, s.shared("x")) }); err != nil || len(stays) > 0 {
				t.Fatal(stays, err)
			}
		}
	})
	t.Run("below a place", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		bind(t, outside, s.in("_work/_tool"))
		for range 2 {
			if _, err := s.live(func() { write(t, s.in("_work/_tool/node"), s.in("_work/x")) }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.live(nil); err != nil {
			t.Fatal(err)
		}
		s.has(s.in("_work/_tool/node"))
		s.lost(s.in("_work/x"), s.in("_work/_tool/"+MarkFile))
	})
	t.Run("filled by the engine", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		s.Created = tick(t)
		write(t, filepath.Join(outside, "bin/listener"), filepath.Join(outside, ".bashrc-own"), filepath.Join(outside, "_work/_tool/.keep"))
		s.First = tick(t)
		s.Began = tick(t)
		bind(t, outside, s.Home)
		if stays, err := s.live(func() { write(t, s.in("_work/x"), s.in("x"), s.in("_work/_tool/x")) }); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		s.another()
		if stays, err := s.live(nil); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		s.has(s.in("bin/listener"), s.in(".bashrc-own"), s.in("_work/_tool/.keep"))
		s.lost(s.in("_work/x"), s.in("x"), s.in("_work/_tool/x"))
	})
	t.Run("used by the released version", func(t *testing.T) {
		s, outside := newStage(t), t.TempDir()
		write(t, filepath.Join(outside, "bin/listener"), filepath.Join(outside, ".image"))
		s.Old = tick(t)
		write(t, filepath.Join(outside, ".job"), filepath.Join(outside, "_work/x"), filepath.Join(outside, ".note"))
		bind(t, outside, s.Home)
		s.another()
		if _, err := s.live(func() { write(t, s.in("x")) }); err != nil {
			t.Fatal(err)
		}
		s.has(s.in("bin/listener"), s.in(".image"), s.in(".note"))
		s.lost(s.in(".job"), s.in("_work"))
		s.Old = time.Time{}
		s.another()
		if stays, err := s.live(nil); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		s.lost(s.in("x"))
	})
	t.Run("a new file system", func(t *testing.T) {
		s := newStage(t)
		s.Before = true
		mount := func() {
			if err := unix.Mount("tmpfs", s.Shared[0], "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(s.Shared[0], unix.MNT_DETACH) })
		}
		mount()
		write(t, s.shared("of-the-image"))
		if stays, err := s.live(func() { write(t, s.shared("x")) }); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		if stays, err := s.live(nil); err != nil || len(stays) > 0 {
			t.Fatal(stays, err)
		}
		s.has(s.shared("of-the-image"))
		s.lost(s.shared("x"))
	})
}

// Whatever a job writes for a mark, a mount that was not ours does not become it.
func TestForgedMarks(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, forge := range map[string]func(s *stage, ours string) error{
		"copied": func(s *stage, ours string) error {
			data, err := os.ReadFile(filepath.Join(ours, MarkFile))
			return errors.Join(err, os.WriteFile(s.shared(MarkFile), data, 0o644))
		},
		"written": func(s *stage, _ string) error {
			i, err := look(unix.AT_FDCWD, s.Shared[0])
			return errors.Join(err, os.WriteFile(s.shared(MarkFile), fmt.Appendf(nil, markHead, i.inode), 0o644))
		},
		"dated back": func(s *stage, _ string) error {
			i, err := look(unix.AT_FDCWD, s.Shared[0])
			err = errors.Join(err, os.WriteFile(s.shared(MarkFile), fmt.Appendf(nil, markHead, i.inode), 0o644))
			return errors.Join(err, os.Chtimes(s.shared(MarkFile), time.Unix(1, 0), time.Unix(1, 0)))
		},
		"linked": func(s *stage, ours string) error {
			return os.Symlink(filepath.Join(ours, MarkFile), s.shared(MarkFile))
		},
		"a folder": func(s *stage, _ string) error { return os.Mkdir(s.shared(MarkFile), 0o755) },
		"a pipe":   func(s *stage, _ string) error { return unix.Mkfifo(s.shared(MarkFile), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			s, outside, ours := newStage(t), t.TempDir(), t.TempDir()
			write(t, filepath.Join(outside, "precious"), filepath.Join(outside, "deep/precious"))
			s.another()
			bind(t, outside, s.Shared[0])
			s.Shared = append(s.Shared, filepath.Join(t.TempDir(), "shm"))
			bind(t, ours, s.Shared[1])
			if _, err := s.live(func() {
				if err := forge(s, ours); err != nil {
					t.Fatal(err)
				}
				write(t, s.shared("later"))
			}); err != nil {
				t.Fatal(err)
			}
			if stays, err := s.live(nil); err != nil || len(stays) != 1 {
				t.Fatal(stays, err)
			}
			s.another()
			if stays, err := s.live(nil); err != nil || len(stays) != 1 {
				t.Fatal(stays, err)
			}
			s.has(s.shared("precious"), s.shared("deep/precious"), s.shared("later"))
		})
	}
}

// Two containers on one mount: the work folder gives each its own, a home only one.
func TestSharedMounts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, work, tmp := newStage(t), t.TempDir(), t.TempDir()
	bind(t, work, s.Work)
	bind(t, tmp, s.Shared[0])
	first := s.take()
	if _, err := first.Reset(false); err != nil {
		t.Fatal(err)
	}
	if err := first.Keep(); err != nil {
		t.Fatal(err)
	}
	if first.Work != s.Work {
		t.Errorf("the first one works in %s", first.Work)
	}
	write(t, filepath.Join(first.Work, "repo/running"), s.shared("running"))

	second := s.take()
	if second.Work != filepath.Join(s.Work, "_org-runner-2") {
		t.Fatalf("the second one works in %s", second.Work)
	}
	if _, err := second.Reset(true); err != nil {
		t.Fatal(err)
	}
	if err := second.Keep(); err != nil {
		t.Fatal(err)
	}
	s.has(filepath.Join(first.Work, "repo/running"), s.shared("running"))
	if len(second.Stays()) != 1 {
		t.Errorf("stays: %q", second.Stays())
	}
	write(t, filepath.Join(second.Work, "repo/running"))

	// The first one comes again while the second one works.
	first.Close()
	s.Before, s.Began = true, tick(t)
	write(t, filepath.Join(second.Work, "repo/later"))
	first = s.take()
	if _, err := first.Reset(true); err != nil {
		t.Fatal(err)
	}
	if err := first.Keep(); err != nil {
		t.Fatal(err)
	}
	s.lost(filepath.Join(first.Work, "repo"))
	s.has(filepath.Join(second.Work, "repo/running"), filepath.Join(second.Work, "repo/later"), s.shared("running"))

	// And the second one: it finds its own folder again, reset.
	second.Close()
	s.Began = tick(t)
	second = s.take()
	if _, err := second.Reset(true); err != nil {
		t.Fatal(err)
	}
	s.has(second.Work)
	s.lost(filepath.Join(second.Work, "repo"))
	second.Close()

	// Nobody is left but the first one: what others left goes.
	first.Close()
	s.Began = tick(t)
	first = s.take()
	defer first.Close()
	if _, err := first.Reset(true); err != nil {
		t.Fatal(err)
	}
	if err := first.Keep(); err != nil {
		t.Fatal(err)
	}
	s.lost(filepath.Join(s.Work, "_org-runner-2"), s.shared("running"))

	first.Close()
	home := t.TempDir()
	bind(t, home, s.Home)
	one := s.take()
	defer one.Close()
	if _, err := Take(s.Options, s.Container); !errors.Is(err, ErrInUse) {
		t.Errorf("two in one home: %v", err)
	}
}

// A mark in the container's own layer may be a job's: root opens none of its own
// folders for it, and makes none that is not the job's.
func TestForgedMarkInTheLayer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	s := newStage(t)
	s.UID, s.GID = 65534, 65534
	if _, err := s.live(func() {
		home, err := look(unix.AT_FDCWD, s.Home)
		if err != nil {
			t.Fatal(err)
		}
		mark := fmt.Sprintf(markHead, home.inode) + "40777 0 0 \".cargo\"\n40755 0 0 \"made\"\n"
		if err := errors.Join(os.Remove(s.in(MarkFile)), os.WriteFile(s.in(MarkFile), []byte(mark), 0o644), os.Chown(s.in(MarkFile), 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.live(nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(s.in(".cargo")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("root's folder: %v %v", info.Mode(), err)
	}
	if i, err := look(unix.AT_FDCWD, s.in("made")); err != nil || i.uid != 65534 {
		t.Errorf("made for uid %d: %v", i.uid, err)
	}
}

// Who holds a shared place alone delays a start by a second, and does not stop it.
func TestSharedPlaceThatSomebodyHolds(t *testing.T) {
	dir := t.TempDir()
	holder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	p := &Place{Path: dir, dir: f}
	if err := (&Set{}).take(p); err != nil || p.Kind != Others || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v: %v", p.Kind, time.Since(began), err)
	}
}
