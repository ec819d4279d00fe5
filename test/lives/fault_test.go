//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Faults of single calls, early in a life: it gets its job done all the same.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]githubtest.Fault{
		"500":            {Status: 500, Message: "Server Error"},
		"502":            {Status: 502},
		"429":            {Status: 429, Header: map[string][]string{"Retry-After": {"1"}}},
		"403 with retry": {Status: 403, Message: "You have exceeded a secondary rate limit.", Header: map[string][]string{"Retry-After": {"1"}}},
		"dropped before": {Drop: githubtest.DropBefore},
		"dropped after":  {Drop: githubtest.DropAfter},
		"garbage":        {Garbage: true},
		"primary limit":  githubtest.PrimaryLimit(time.Now().Add(2 * time.Second)),
	} {
		for _, registration := range []string{"config", "jit"} {
			t.Run(name+"/"+registration, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				f := f
				f.Operation, f.Times = map[string]string{"config": "registration-token", "jit": "generate-jitconfig"}[registration], 2
				w.Inject(f)
				job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
				w.start("RUNNER_REGISTRATION=" + registration).end(0)
				w.none()
				if w.Job(job).Result != "success" {
					t.Errorf("the job: %+v", w.Job(job))
				}
				if w.Hits(f.Operation) != 2 {
					t.Errorf("the fault hit %d times", w.Hits(f.Operation))
				}
			})
		}
	}
}

// The delete of a stop goes wrong a few times: nothing is left.
func TestFaultsOfTheDelete(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]githubtest.Fault{
		"500":            {Status: 500, Times: 2},
		"dropped before": {Drop: githubtest.DropBefore, Times: 2},
		"dropped after":  {Drop: githubtest.DropAfter, Times: 1},
		"hang":           {Hang: true, Times: 1},
		"garbage":        {Garbage: true, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			f.Operation = "delete-runner"
			w.Inject(f)
			l := w.start()
			w.untilOnline()
			l.signal(syscall.SIGTERM)
			l.end(0)
			w.none()
		})
	}
}

// What GitHub refuses for good ends at once, with the exit code of the table
// and a message that names the remedy.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		arrange func(w *world)
		code    int
		says    string
	}{
		{"wrong token", func(w *world) { w.RevokeToken(goodToken) }, 77, "the token is wrong, expired or revoked"},
		{"no permission", func(w *world) { w.AddToken(githubtest.Token{Value: goodToken, Scopes: []string{"repo"}}) }, 77, "admin:org"},
		{"single sign-on", func(w *world) { w.AddToken(githubtest.Token{Value: goodToken, SAML: true}) }, 77, "/orgs/acme/sso"},
		{"no organization", func(w *world) { w.env["GITHUB_ORGANIZATION"] = "nobody" }, 78, "there is no organization nobody"},
		{"personal account", func(w *world) { w.AddUser("jane"); w.env["GITHUB_ORGANIZATION"] = "jane" }, 78, "GITHUB_REPOSITORY=jane/"},
		{"no group", func(w *world) { w.env["RUNNER_GROUP"] = "none" }, 78, "RUNNER_GROUP"},
		{"no group with JIT", func(w *world) { w.env["RUNNER_GROUP"] = "none"; w.env["RUNNER_REGISTRATION"] = "jit" }, 78, "Default"},
		{"old runner", func(w *world) { w.Behave(githubtest.Behaviour{ListenerExit: 7}) }, 7, "rebuild the image"},
		{"config.sh always fails", func(w *world) { w.Behave(githubtest.Behaviour{ConfigFail: 100}) }, 75, "told to fail"},
		{"listener's fatal error", func(w *world) { w.Behave(githubtest.Behaviour{ListenerExit: 1}) }, 75, "fatal error"},
		{"unreachable", func(w *world) { w.SetDown(true); w.env["RUNNER_REGISTER_TIMEOUT"] = "10s" }, 69, "GitHub could not be reached"},
		{"wrong variables", func(w *world) { w.env["EPHEMERAL"] = "ture"; w.env["RUNNER_STOP_GRACE"] = "10" }, 78, "EPHEMERAL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			row.arrange(w)
			l := w.start()
			l.end(row.code)
			w.none()
			if !strings.Contains(l.out.String(), row.says) {
				t.Errorf("it does not say %q:\n%s", row.says, l.out.String())
			}
			w.noSecretIn("the log", l.out.String())
		})
	}
}

// A registration that is no longer good is replaced by another within one life.
func TestRegistersAnew(t *testing.T) {
	t.Parallel()
	deleted := func(w *world) { w.RemoveRunner(w.Runners()[0].ID) }
	for _, row := range []struct {
		name      string
		behaviour githubtest.Behaviour
		after     func(w *world)
	}{
		{"session conflict", githubtest.Behaviour{ListenerExit: 5, ListenerExitOnce: true}, nil},
		{"deleted at GitHub", githubtest.Behaviour{}, deleted},
		{"ghost", githubtest.Behaviour{Ghost: true}, deleted},
		{"one config.sh fails", githubtest.Behaviour{ConfigFail: 1}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.Behave(row.behaviour)
			w.env["RUNNER_WATCHDOG"] = "1s"
			l := w.start()
			if row.after != nil {
				w.untilOnline()
				row.after(w)
			}
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			l.end(0)
			w.none()
			if w.Job(job).Result != "success" {
				t.Errorf("the job: %+v", w.Job(job))
			}
		})
	}
}

// A listener that hangs in a cancelled job is ended.
func TestHangInCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: 300 * time.Millisecond})
	w.Behave(githubtest.Behaviour{HangInCancel: true})
	w.env["RUNNER_WATCHDOG"] = "1s"
	mark := filepath.Join(t.TempDir(), "mark")
	l := withJob(w, "touch "+mark+"; sleep 600")
	w.poll("the step", func() bool { _, err := os.Stat(mark); return err == nil })
	id := w.Runners()[0].ID
	w.CancelJob(w.Jobs()[0].ID)
	w.Release(id)
	w.RemoveRunner(id)
	l.end(0)
	w.none()
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Inject(githubtest.Fault{Operation: "registration-token", Status: 503, Times: 1})
	l := w.start()
	w.until("the first try", func() bool { return w.Hits("registration-token") == 1 })
	// Before the next one: a device that is always full in place of the file that
	// config.sh writes.
	if err := os.Symlink("/dev/full", filepath.Join(w.home, ".credentials")); err != nil {
		t.Fatal(err)
	}
	l.end(75)
	w.none()
}
