//go:build linux

package lives

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// What GitHub refuses config.sh is told as what it refuses us: GitHub's own words,
// the remedy, and the exit code of its kind.
func TestConfigShIsRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		says   string
		code   int
		tries  int // of config.sh
	}{
		{"401", 401, "Bad credentials", 77, 1},
		{"403", 403, "Resource not accessible by integration", 77, 1},
		{"404", 404, "Not Found here", 78, 1},
		{"422", 422, "Labels are bad", 78, 1},
		{"400", 400, "Problems with the name", 78, 1},
		{"429", 429, "You have exceeded a secondary rate limit", 69, 1},
		{"403 limit", 403, "You have exceeded a secondary rate limit.", 69, 1},
		{"500", 500, "Server Error", 69, 2},
		{"503", 503, "No server is available", 69, 2},
	} {
		for _, at := range []githubtest.ConfigCall{"", githubtest.ConfigRegister, githubtest.ConfigGroups, githubtest.ConfigPools} {
			if at == githubtest.ConfigPools && row.name == "403 limit" {
				continue // the reason phrase alone does not tell
			}
			t.Run(row.name+" "+string(at), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				w.env["ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT"] = "1" // as in the official image
				w.Behave(githubtest.Behaviour{ConfigCall: at, Classic: at == githubtest.ConfigPools})
				w.Inject(githubtest.Fault{Operation: "runner:register", Status: row.status, Message: row.says})
				l := w.start("RUNNER_REGISTER_TIMEOUT=30s")
				l.end(row.code)
				w.none()
				last := lastLine(l.out.String())
				want := row.says
				if at == githubtest.ConfigPools {
					want = http.StatusText(row.status)
				}
				if !strings.Contains(last, want) || strings.Contains(last, "[RUNNER") {
					t.Errorf("the cause %q is not in the last words: %s", want, last)
				}
				if got := w.Count("registration-token"); got < min(row.tries, 2) || row.tries == 1 && got != 1 {
					t.Errorf("config.sh was run %d times", got)
				}
			})
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// What passes is waited for, however often config.sh itself gives up.
func TestConfigShIsTriedUntilItIsGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Inject(githubtest.Fault{Operation: "runner:register", Status: 502, Times: 9}) // of three runs, three tries each
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	w.start().end(0)
	w.none()
	if w.Job(job).Result != "success" {
		t.Errorf("the job: %+v", w.Job(job))
	}
	if got := w.Count("registration-token"); got != 4 {
		t.Errorf("config.sh was run %d times, want 4", got)
	}
}

// A config.sh that hangs is ended by RUNNER_REGISTER_TIMEOUT, and a stop ends it.
func TestConfigShHangs(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]githubtest.Behaviour{"before": {ConfigHang: true}, "after": {ConfigHangAfter: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.Behave(b)
			began := time.Now()
			l := w.start("RUNNER_REGISTER_TIMEOUT=10s")
			l.end(69)
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("it took %s", took)
			}
			w.none()
		})
	}
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, githubtest.Options{})
		w.Inject(githubtest.Fault{Operation: "runner:register", Status: 500})
		l := w.start()
		w.until("the second run", func() bool { return w.Count("registration-token") == 2 })
		l.signal(syscall.SIGTERM)
		l.end(0)
		w.none()
	})
}

// The first line of what a listener dies of is the cause.
func TestConfigShDies(t *testing.T) {
	t.Parallel()
	for exception, remedy := range map[string]string{
		"System.IO.IOException: No space left on device : '/home/runner/_diag/Runner_20261125-101010-utc.log'":  "free space",
		"System.IO.FileNotFoundException: Could not load file or assembly 'System.Collections.Specialized'":     "nofile",
		"System.InvalidOperationException: Something nobody knows":                                              "",
		"System.TypeInitializationException: Couldn't find a valid ICU package installed on the system. Please": "libicu",
	} {
		t.Run(exception, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT"] = "1"
			w.Behave(githubtest.Behaviour{ConfigAbort: exception})
			l := w.start()
			l.end(75)
			w.none()
			if last := lastLine(l.out.String()); !strings.Contains(last, exception) || !strings.Contains(last, remedy) || strings.Contains(last, "Aborted") {
				t.Errorf("last words: %s", last)
			}
		})
	}
}
