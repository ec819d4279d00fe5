//go:build linux

package lives

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// twin is a second container with the same name: another folder, the same GitHub.
func (w *world) twin() *world {
	w.t.Helper()
	return w.another(w.env["RUNNER_NAME"])
}

// byID finds a runner that is still registered.
func (w *world) byID(id int64) (githubtest.Runner, bool) {
	for _, r := range w.Runners() {
		if r.ID == id {
			return r, true
		}
	}
	return githubtest.Runner{}, false
}

// Two containers with one name: the second takes another one, and both do their jobs.
func TestTwoContainersWithOneName(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		for _, state := range []string{"idle", "busy"} {
			t.Run(registration+"/"+state, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				w.env["RUNNER_NAME_SUFFIX"], w.env["RUNNER_REGISTRATION"] = "hostname", registration
				a := w.start("LABELS=first")
				w.untilOnline()
				first := w.Runners()[0]
				job := githubtest.Job{Repository: "acme/coach", RunsOn: []string{"first"}, Steps: []string{"while ! [ -e ../../../go ]; do sleep 0.05; done"}}
				var busy int64
				if state == "busy" {
					busy = w.Enqueue(job)
					w.until("the first one's job", func() bool { return w.Job(busy).Status == "in_progress" })
				}
				second := w.twin()
				b := second.start("LABELS=second")
				second.until("a second runner that listens", func() bool { return len(w.Runners()) == 2 && w.Runners()[1].Online })
				if state == "idle" {
					busy = w.Enqueue(job)
				}
				done := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"second"}, Steps: []string{"true"}})
				b.end(0)
				if j := w.Job(done); j.Result != "success" || j.RunnerName == first.Name || !strings.HasPrefix(j.RunnerName, "fleet-") || len(j.RunnerName) > 64 {
					t.Errorf("the second one's job: %+v", j)
				}
				if !strings.Contains(b.out.String(), "RUNNER_NAME_SUFFIX") {
					t.Error("the second one does not name RUNNER_NAME_SUFFIX")
				}
				if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				a.end(0)
				if j := w.Job(busy); j.Result != "success" || j.RunnerID != first.ID {
					t.Errorf("the first one's job: %+v", j)
				}
				w.none()
				if n := w.Count("registration-token") + w.Count("generate-jitconfig"); n > 4 {
					t.Errorf("%d registrations were asked for", n)
				}
			})
		}
	}
}

// Where the user has fixed the name, the second one says so and ends.
func TestTwoContainersWithOneFixedName(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		t.Run(registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_REGISTRATION"] = registration
			a := w.start()
			w.untilOnline()
			first := w.Runners()[0]
			second := w.twin()
			b := second.start()
			b.end(78)
			if !strings.Contains(b.out.String(), "RUNNER_NAME_SUFFIX") {
				t.Error("the second one does not name RUNNER_NAME_SUFFIX")
			}
			if r, ok := w.byID(first.ID); !ok || !r.Online || len(w.Runners()) != 1 {
				t.Errorf("GitHub has %+v", w.Runners())
			}
			a.signal(syscall.SIGTERM)
			a.end(0)
			w.none()
		})
	}
}

// A runner that is offline for good has been left by a dead container of the name:
// the new one takes its place. One that is offline for a moment is left alone.
func TestOfflineRunnerOfTheName(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		t.Run("dead/"+registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			old := w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet"})
			l := w.start("RUNNER_REGISTRATION=" + registration)
			w.untilOnline()
			if _, there := w.byID(old); there || w.Runners()[0].Name != "fleet" {
				t.Errorf("GitHub has %+v", w.Runners())
			}
			l.signal(syscall.SIGTERM)
			l.end(0)
			w.none()
		})
		t.Run("starting/"+registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_NAME_SUFFIX"], w.env["RUNNER_REGISTRATION"] = "hostname", registration
			w.Behave(githubtest.Behaviour{StartDelay: 2 * time.Second})
			a := w.start()
			w.until("the first registration", func() bool { return len(w.Runners()) == 1 })
			first := w.Runners()[0].ID
			second := w.twin()
			b := second.start()
			second.until("two runners that listen", func() bool { return len(w.Runners()) == 2 && w.Runners()[0].Online && w.Runners()[1].Online })
			if _, there := w.byID(first); !there {
				t.Errorf("the first one's runner is gone: %+v", w.Runners())
			}
			for _, l := range []*life{a, b} {
				l.signal(syscall.SIGTERM)
				l.end(0)
			}
			w.none()
		})
	}
}

// Both at the same moment: one has the name, the other another.
func TestTwoContainersAtOnce(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		t.Run(registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_NAME_SUFFIX"], w.env["RUNNER_REGISTRATION"] = "hostname", registration
			second := w.twin()
			a, b := w.start(), second.start()
			second.until("two runners that listen", func() bool { return len(w.Runners()) == 2 && w.Runners()[0].Online && w.Runners()[1].Online })
			jobs := []int64{w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}}), w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})}
			a.end(0)
			b.end(0)
			for _, id := range jobs {
				if w.Job(id).Result != "success" {
					t.Errorf("a job: %+v", w.Job(id))
				}
			}
			w.none()
		})
	}
}

// A restarted container takes its own place, which GitHub may still call online;
// what another container has made of the name meanwhile it leaves alone.
func TestRestartTakesItsOwnPlace(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		t.Run(registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{OfflineAfter: time.Minute})
			w.env["RUNNER_NAME_SUFFIX"], w.env["RUNNER_REGISTRATION"] = "hostname", registration
			a := w.start()
			w.untilOnline()
			first := w.Runners()[0]
			a.kill()
			if r, _ := w.byID(first.ID); !r.Online {
				t.Fatalf("GitHub has noticed at once: %+v", r)
			}
			a = w.start()
			w.until("its own name again", func() bool {
				all := w.Runners()
				return len(all) == 1 && all[0].ID != first.ID && all[0].Name == first.Name && all[0].Online
			})
			// Now it dies, and a container with the same name finds it offline.
			a.kill()
			w.RemoveRunner(w.Runners()[0].ID)
			second := w.twin()
			b := second.start()
			second.untilOnline()
			of := w.Runners()[0]
			a = w.start()
			w.until("both", func() bool { return len(w.Runners()) == 2 && w.Runners()[1].Online })
			if r, there := w.byID(of.ID); !there || !r.Online {
				t.Errorf("the other container's runner: %+v", w.Runners())
			}
			for _, l := range []*life{a, b} {
				l.signal(syscall.SIGTERM)
				l.end(0)
			}
			w.none()
		})
	}
}

// With a ready token nobody can be asked: what may be alive is not replaced.
func TestOneNameWithoutTheAPI(t *testing.T) {
	t.Parallel()
	for suffix, code := range map[string]int{"none": 78, "hostname": 0} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_NAME_SUFFIX"] = suffix
			a := w.start()
			w.untilOnline()
			first := w.Runners()[0].ID
			second := w.twin()
			b := second.start("GITHUB_TOKEN=", "RUNNER_TOKEN="+w.RegistrationToken("acme"))
			if code == 0 {
				second.until("two runners that listen", func() bool { return len(w.Runners()) == 2 && w.Runners()[1].Online })
				b.signal(syscall.SIGTERM)
			}
			b.end(code)
			if r, there := w.byID(first); !there || !r.Online {
				t.Errorf("GitHub has %+v", w.Runners())
			}
			a.signal(syscall.SIGTERM)
			a.end(0)
		})
	}
}

// A stop that comes while an earlier life's runner is still at GitHub leaves it, and
// does not call that clean.
func TestStopLeavesAnEarlierRunner(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		left   githubtest.Runner
		fault  githubtest.Fault
		before int // starts that failed: the next one waits
		code   int
	}{
		{"busy", githubtest.Runner{Busy: true}, githubtest.Fault{}, 0, 143},
		{"it cannot be asked", githubtest.Runner{}, githubtest.Fault{Operation: "list-runners", Status: 500}, 0, 143},
		{"it cannot be deleted", githubtest.Runner{}, githubtest.Fault{Operation: "delete-runner", Status: 500}, 0, 143},
		{"busy, in the wait after failed starts", githubtest.Runner{Busy: true}, githubtest.Fault{}, 2, 143},
		{"idle, in the wait after failed starts", githubtest.Runner{}, githubtest.Fault{}, 2, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			row.left.Scope, row.left.Name = "acme", "fleet"
			old := w.AddRunner(row.left)
			if err := os.WriteFile(filepath.Join(w.home, ".runner"), fmt.Appendf(nil, `{"agentId":%d,"agentName":"fleet"}`, old), 0o600); err != nil {
				t.Fatal(err)
			}
			if row.before > 0 {
				dir := filepath.Join(w.home, ".org-runner")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				record := fmt.Sprintf(`{"name":"fleet","failures":%d,"last_start":%q}`, row.before+6, time.Now().Format(time.RFC3339Nano))
				if err := os.WriteFile(filepath.Join(dir, "life.json"), []byte(record), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.fault.Operation != "" {
				w.Inject(row.fault)
			}
			l := w.start("RUNNER_STOP_GRACE=4s")
			switch {
			case row.before > 0:
				w.poll("the wait", func() bool {
					_, status := w.command("status")
					return strings.Contains(status, "failed starts in a row")
				})
			case row.fault.Operation != "":
				w.until("the question", func() bool { return w.Hits(row.fault.Operation) > 0 })
			default:
				w.until("a refused delete", func() bool { return w.Count("delete-runner") > 0 })
			}
			l.signal(syscall.SIGTERM)
			l.end(row.code)
			if _, there := w.byID(old); there != (row.code != 0) {
				t.Errorf("GitHub has %+v", w.Runners())
			}
			if row.code != 0 && !strings.Contains(l.out.String(), `"fleet"`) {
				t.Error("it does not name the runner that is left")
			}
			// The next start removes it.
			if row.code != 0 && row.before == 0 {
				w.lift()
				w.Release(old)
				l = w.start()
				w.until("a new runner", func() bool { _, there := w.byID(old); return !there && w.online() })
				l.signal(syscall.SIGTERM)
				l.end(0)
				w.none()
			}
		})
	}
}

// The wait for an earlier life's job says what it waits for.
func TestWaitForAnEarlierJobIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	old := w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet", Busy: true})
	if err := os.WriteFile(filepath.Join(w.home, ".runner"), fmt.Appendf(nil, `{"agentId":%d,"agentName":"fleet"}`, old), 0o600); err != nil {
		t.Fatal(err)
	}
	l := w.start()
	w.until("a few refused deletes", func() bool { return w.Count("delete-runner") > 2 })
	if code, status := w.command("status"); code != 0 || !strings.Contains(status, "fleet is still busy at GitHub") {
		t.Errorf("status does not say what it waits for:\n%s", status)
	}
	if code, _ := w.command("healthcheck", "--live"); code != 0 {
		t.Errorf("healthcheck --live would end what waits: %d", code)
	}
	if !strings.Contains(l.out.String(), "still busy at GitHub") {
		t.Error("the log does not say what it waits for")
	}
	w.Release(old)
	w.until("its own place", func() bool { return w.online() && w.Runners()[0].Name == "fleet" })
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// GitHub goes on calling the runner of a killed life busy: the next one takes another
// name. The old one is not forgotten: a stop that leaves it is not clean, and a later
// start deletes it.
func TestStillBusyAtGitHub(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.env["RUNNER_REGISTER_TIMEOUT"] = "10s"
	old := w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet", Labels: []string{"before"}, Busy: true})
	if err := os.WriteFile(filepath.Join(w.home, ".runner"), fmt.Appendf(nil, `{"agentId":%d,"agentName":"fleet"}`, old), 0o600); err != nil {
		t.Fatal(err)
	}
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"after"}, Steps: []string{"true"}})
	w.start("LABELS=after").end(0)
	if j := w.Job(job); j.Result != "success" || j.RunnerName == "fleet" {
		t.Errorf("the next job: %+v", j)
	}
	if left := w.Runners(); len(left) != 1 || left[0].ID != old {
		t.Errorf("GitHub has %+v", left)
	}
	l := w.start()
	w.untilOnline()
	if all := w.Runners(); len(all) != 2 || all[1].Name == "fleet" {
		t.Errorf("GitHub has %+v", all)
	}
	l.signal(syscall.SIGTERM)
	l.end(143)
	w.Release(old)
	l = w.start()
	w.until("the name is free again", func() bool {
		all := w.Runners()
		return len(all) == 1 && all[0].ID != old && all[0].Online && all[0].Name == "fleet"
	})
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A container that has taken another name keeps it when it starts again, without
// asking for more than any other start.
func TestOtherNameIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.env["RUNNER_NAME_SUFFIX"] = "hostname"
	a := w.start("LABELS=first")
	w.untilOnline()
	second := w.twin()
	var names []string
	for range 2 {
		before := len(w.Calls(""))
		job := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"second"}, Steps: []string{"true"}})
		second.start("LABELS=second").end(0)
		names = append(names, w.Job(job).RunnerName)
		if calls := len(w.Calls("")) - before; len(names) == 2 && calls != 1 {
			t.Errorf("the second start makes %d calls", calls)
		}
	}
	if names[0] == "" || names[0] != names[1] {
		t.Errorf("names %q", names)
	}
	a.signal(syscall.SIGTERM)
	a.end(0)
	w.none()
}

// A machine that was cloned with a runner on it leaves the runner of the other one
// alone, and says so.
func TestClonedMachine(t *testing.T) {
	t.Parallel()
	for _, registration := range []string{"config", "jit"} {
		t.Run(registration, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			w.env["RUNNER_NAME_SUFFIX"], w.env["RUNNER_REGISTRATION"] = "hostname", registration
			a := w.start()
			w.untilOnline()
			first := w.Runners()[0]
			second := w.twin()
			for _, name := range []string{".runner", ".credentials", ".credentials_rsaparams", ".org-runner/life.json"} {
				data, err := os.ReadFile(filepath.Join(w.home, name))
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(second.home, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				put(t, path, string(data))
			}
			second.start("RUNNER_NAME_SUFFIX=none", "RUNNER_NAME="+first.Name).end(78)
			b := second.start()
			second.until("both", func() bool { return len(w.Runners()) == 2 && w.Runners()[1].Online })
			if r, there := w.byID(first.ID); !there || !r.Online {
				t.Errorf("GitHub has %+v", w.Runners())
			}
			for _, l := range []*life{b, a} {
				l.signal(syscall.SIGTERM)
				l.end(0)
			}
			w.none()
		})
	}
}
