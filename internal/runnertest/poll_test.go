//go:build linux

package runnertest_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A poll that goes wrong: v2 asks five times without a word, tells it once and never
// that it is over; classic tells both at once.
func TestGitHubAwayAndBack(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		classic  bool
		refusals int
		says     string
		back     bool
	}{
		"v2":         {false, 7, "Error: Service Unavailable", false},
		"v2, a blip": {false, 3, "", false},
		"classic":    {true, 2, "Service Unavailable", true},
	} {
		withScriptsNamed(t, name, func(t *testing.T, f *folder) {
			f.Behave(githubtest.Behaviour{Classic: row.classic})
			f.mustConfigure()
			p := f.start("run.sh")
			p.listens()
			f.Inject(githubtest.Fault{Operation: "runner:message", Status: 503, Times: row.refusals})
			f.Enqueue(githubtest.Job{Repository: "other/x"}) // news, which ends no poll of ours
			f.until("the refused polls", func() bool { return f.Hits("runner:message") == row.refusals })
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
			if p.end() != 0 || f.Job(id).Result != "success" {
				t.Error(p.output())
			}
			if told := strings.Count(p.output(), "Runner connect error: "); (told == 1) != (row.says != "") || !strings.Contains(p.output(), row.says+". Retrying until reconnected.") && row.says != "" {
				t.Errorf("told %d times:\n%s", told, p.output())
			}
			if strings.Contains(p.output(), "Runner reconnected.") != row.back {
				t.Error(p.output())
			}
		})
	}
}

func TestSessionConflict(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Inject(githubtest.Fault{Operation: "runner:session", Status: 409})
		p := f.start("run.sh")
		if p.end() != 0 || !f.has(".runner") {
			t.Error(p.output())
		}
		p.says("A session for this runner already exists.", "Runner listener exit with Session Conflict error, stop the service, no retry needed.")
	})
}

// What a session and a poll that go wrong for good end with.
func TestFatalErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		operation string
		status    int
		classic   bool
		says      []string
		files     bool
	}{
		{"runner:session", 401, false, []string{"Failed to create session. You are not authorized to access URL.", terminated}, true},
		{"runner:session", 403, false, []string{"Failed to create session. Error: Forbidden", terminated}, true},
		{"runner:message", 401, false, []string{"An error occurred: Get next message failed with non-retryable error.", terminated}, true},
	} {
		withScriptsNamed(t, fmt.Sprint(row.operation, row.status), func(t *testing.T, f *folder) {
			f.mustConfigure()
			f.Inject(githubtest.Fault{Operation: row.operation, Status: row.status})
			p := f.start("run.sh")
			if p.end() != 0 || f.has(".runner") != row.files {
				t.Error(p.output())
			}
			for _, line := range row.says {
				p.says(strings.ReplaceAll(line, "URL", f.URL()))
			}
		})
	}
	withScriptsNamed(t, "ten polls", func(t *testing.T, f *folder) {
		f.env = append(f.env, "STAND_IN_SPEED=1000")
		f.mustConfigure()
		lift := f.Inject(githubtest.Fault{Operation: "runner:message", Status: 404})
		p := f.start("run.sh")
		f.poll("the listener's end", func() bool { return strings.Contains(p.output(), relaunched) })
		if got := f.Hits("runner:message"); got != 50 {
			t.Errorf("%d polls", got)
		}
		lift()
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p.end()
		words := "Failed to get job message. Request to " + f.URL() + "/_broker/message failed with status: NotFound. Error message Error: Not Found"
		p.says("An error occurred: "+words, "Runner connect error: "+words+". Retrying until reconnected.", "Restarting runner...")
		if f.Job(id).Result != "success" || strings.Count(p.output(), "Runner connect error") != 1 {
			t.Error(p.output())
		}
	})
	withScriptsNamed(t, "session, classic", func(t *testing.T, f *folder) {
		f.Behave(githubtest.Behaviour{Classic: true})
		f.mustConfigure()
		f.Inject(githubtest.Fault{Operation: "runner:session", Status: 401, Times: 2})
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		p.end()
		p.says("Runner connect error: Unauthorized. Retrying until reconnected.", "Runner reconnected.", "Listening for Jobs")
		if f.Job(id).Result != "success" {
			t.Errorf("%+v", f.Job(id))
		}
	})
}

// Calls of a job that go wrong.
func TestCallsOfAJob(t *testing.T) {
	t.Parallel()
	withScriptsNamed(t, "acquire fails twice", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Inject(githubtest.Fault{Operation: "runner:acquire", Status: 500, Times: 2})
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		if p.end(); f.Job(id).Result != "success" || f.Count("runner:acquire") != 3 {
			t.Error(p.output())
		}
	})
	withScriptsNamed(t, "acquire fails for good", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Inject(githubtest.Fault{Operation: "runner:acquire", Status: 409})
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		f.until("tries of a second delivery", func() bool { return f.Count("runner:acquire") > 5 })
		if strings.Contains(p.output(), "Running job") || f.Job(id).Status != "in_progress" {
			t.Error(p.output())
		}
		_ = syscall.Kill(f.listenerPID(), syscall.SIGINT)
		p.end()
	})
	withScriptsNamed(t, "no first renewal", func(t *testing.T, f *folder) {
		f.mustConfigure()
		f.Inject(githubtest.Fault{Operation: "runner:renew", Status: 500, Times: 3})
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		f.until("a refused renewal", func() bool { return f.Hits("runner:renew") > 0 })
		f.poll("the job's line", func() bool { return strings.Contains(p.output(), "Running job") })
		if len(f.processes("Runner.Worker")) != 0 && f.Count("runner:renew") < 4 {
			t.Error("a worker without a renewal")
		}
		if p.end(); f.Job(id).Result != "success" {
			t.Errorf("%+v", f.Job(id))
		}
	})
	for classic, tries := range map[bool]int{false: 7, true: 5} {
		withScriptsNamed(t, fmt.Sprintf("the end is not accepted, classic=%t", classic), func(t *testing.T, f *folder) {
			f.Behave(githubtest.Behaviour{Classic: classic})
			f.mustConfigure()
			f.Inject(githubtest.Fault{Operation: "runner:finish", Status: http.StatusConflict, Times: 7})
			id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
			p := f.start("run.sh")
			p.end()
			if f.Hits("runner:finish") != tries || f.Job(id).Result == "success" == classic || f.has(".runner") {
				t.Errorf("%d tries, %+v", f.Hits("runner:finish"), f.Job(id))
			}
			p.says("Job build completed with result: " + map[bool]string{false: "Succeeded", true: "Failed"}[classic])
		})
	}
	withScriptsNamed(t, "a full disk", func(t *testing.T, f *folder) {
		f.Behave(githubtest.Behaviour{HangAfterJob: true})
		f.mustConfigure()
		id := f.Enqueue(githubtest.Job{Repository: "acme/coach"})
		p := f.start("run.sh")
		f.poll("the line of the end", func() bool { return strings.Contains(p.output(), "completed with result: Succeeded") })
		time.Sleep(200 * time.Millisecond)
		if f.Job(id).Result != "success" || !f.has(".runner") || len(f.processes("Runner.Listener run")) != 1 {
			t.Error("it does not hang")
		}
	})
}
