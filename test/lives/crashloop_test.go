//go:build linux

package lives

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// untilWaiting waits until status says that failed starts are waited out, and why.
func (w *world) untilWaiting(why string) {
	w.t.Helper()
	status := ""
	w.poll("the wait", func() bool { _, status = w.command("status"); return strings.Contains(status, "waiting until") })
	if !strings.Contains(status, why) {
		w.t.Errorf("status does not say why:\n%s", status)
	}
}

// failed writes down that so many starts have failed before, so that a test has time.
func (w *world) failed(starts int) {
	w.t.Helper()
	path := filepath.Join(w.home, ".org-runner", "life.json")
	data, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	data = regexp.MustCompile(`"failures":\d+`).ReplaceAll(data, fmt.Appendf(nil, `"failures":%d`, starts))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// Starts that would fail again wait from the second one on, in which status can be
// asked, and say until when; a stop is answered in the wait.
func TestCrashLoopAsksLessAndLess(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		env  string
		code int
		why  string
	}{
		{"wrong variables", "EPHEMERAL=ture", 78, "EPHEMERAL"},
		{"no credentials", "GITHUB_TOKEN=", 78, "GITHUB_TOKEN"},
		{"refused credentials", "GITHUB_TOKEN=ghp_wrong", 77, "401 Bad credentials"},
		{"no organization", "GITHUB_ORGANIZATION=nobody", 78, "there is no organization nobody"},
		{"no such user", "RUNNER_USER=nobody-here", 78, "nobody-here"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.name == "no such user" && os.Getuid() != 0 {
				t.Skip("not root: the children are not another user's")
			}
			w := newWorld(t, githubtest.Options{})
			l := w.start(row.env)
			began := time.Now()
			l.end(row.code)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the first start waited: %s", took)
			}
			asked := len(w.Calls(""))
			began = time.Now()
			l = w.start(row.env)
			w.untilWaiting(row.why)
			if len(w.Calls("")) != asked {
				t.Error("GitHub is asked before the wait is over")
			}
			l.end(row.code)
			if took := time.Since(began); took < 1500*time.Millisecond {
				t.Errorf("the second start did not wait: %s", took)
			}
			if n := strings.Count(l.out.String(), "waiting until"); n != 1 || !strings.Contains(l.out.String(), "--force-recreate") {
				t.Errorf("%d lines say until when, or none how to skip it", n)
			}
			l = w.start(row.env)
			w.untilWaiting(row.why)
			l.signal(syscall.SIGTERM)
			l.end(0)
			w.none()
		})
	}
}

// What may pass is tried again at once, once.
func TestFirstFailureIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Behave(githubtest.Behaviour{ListenerExit: 1, ListenerExitOnce: true})
	w.start().end(75)
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	l := w.start()
	l.end(0)
	if w.Job(job).Result != "success" || strings.Contains(l.out.String(), "waiting until") {
		t.Errorf("the job: %+v", w.Job(job))
	}
}

// A configuration that is another one than the last start's is tried at once, and so
// is one whose files change while it is waited for.
func TestChangedConfigurationIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	works := func(t *testing.T, w *world, l *life) {
		t.Helper()
		w.until("a runner", w.online)
		l.signal(syscall.SIGTERM)
		l.end(0)
		w.none()
	}
	t.Run("a variable", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		w.start("EPHEMERAL=ture").end(78)
		w.failed(9)
		works(t, w, w.start())
	})
	t.Run("a secret's file, before the start", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		file := filepath.Join(t.TempDir(), "token")
		w.env["GITHUB_TOKEN"], w.env["GITHUB_TOKEN_FILE"] = "", file
		put(t, file, "ghp_wrong")
		w.start().end(77)
		w.failed(9)
		put(t, file, goodToken)
		works(t, w, w.start())
	})
	for _, first := range []string{"", "ghp_wrong"} {
		t.Run("a secret's file, in the wait: "+first, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			file := filepath.Join(t.TempDir(), "token")
			w.env["GITHUB_TOKEN"], w.env["GITHUB_TOKEN_FILE"] = "", file
			code := 78
			if first != "" {
				put(t, file, first)
				code = 77
			}
			w.start().end(code)
			w.failed(9)
			l := w.start()
			w.untilWaiting("")
			put(t, file, goodToken)
			works(t, w, l)
		})
	}
}

// A stop in that wait, with a runner of an earlier life still at GitHub, is not clean;
// with a good configuration the next start deletes it.
func TestStopOfAWrongConfigurationLeavesARunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	l := w.start()
	w.untilOnline()
	old := w.Runners()[0].ID
	l.kill()
	w.start("EPHEMERAL=ture").end(78)
	w.failed(2)
	l = w.start("EPHEMERAL=ture")
	w.untilWaiting("EPHEMERAL")
	l.signal(syscall.SIGTERM)
	l.end(143)
	l = w.start()
	w.until("a new runner", func() bool { _, there := w.byID(old); return !there && w.online() })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is kept for the next start tells no value of the configuration, not even one
// that stands in the wrong variable.
func TestKeptForTheNextStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	const elsewhere = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
	w.start("RUNNER_STOP_GRACE="+elsewhere, "EPHEMERAL=hunter2").end(78)
	w.start("LABELS=x").kill()
	err := filepath.WalkDir(filepath.Join(w.home, ".org-runner"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{elsewhere, "hunter2", goodToken} {
			sum := sha256.Sum256([]byte(secret))
			for _, form := range []string{secret, hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:16])} {
				if strings.Contains(string(data), form) {
					t.Errorf("%s holds %q: %s", path, form, data)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
