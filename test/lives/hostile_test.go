//go:build linux

package lives

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A job runs as the user of its runner: it can write the runner's folder and its
// output, and end its processes. These are the beginnings of jobs that do so. What
// is looked for must not stand in the job's own command line.
const (
	atHome = `home=$(cd ../../.. && pwd)
parent() { while read -r key value; do if [ "$key" = PPid: ]; then echo "$value"; fi; done < /proc/$1/status; }
listener=$$
until case $(tr '\0' ' ' < /proc/$listener/cmdline) in *"/bin/Runner.Listener"" run"*) true ;; *) false ;; esac; do listener=$(parent $listener); done
`
	killAll  = `helper=$(parent $listener); script=$(parent $helper); kill -9 $script $helper $listener $PPID; sleep 60`
	stealing = `printf '#!/bin/bash\necho "$ACTIONS_RUNNER_INPUT_TOKEN" > %s/stolen\nexit 1\n' "$home" > $home/config.sh.new; chmod +x $home/config.sh.new; mv $home/config.sh.new $home/config.sh; `
)

// quickly gives up the jobs of a runner that is no more soon, as GitHub does after
// minutes.
func quickly(t *testing.T) *world {
	return newWorld(t, githubtest.Options{LostAfter: 300 * time.Millisecond})
}

// No config.sh that a job can have written is given a token, whatever the job says
// in the listener's name.
func TestJobGetsNoRegistrationToken(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		env, step string
		after     func(w *world) // the job has begun
	}{
		"a session conflict that it tells": {step: `echo "Runner listener exit with Session Conflict error" > /proc/$listener/fd/1; ` + killAll},
		"its registration is gone":         {env: "EPHEMERAL=false", step: `rm $home/.runner; ` + killAll},
		"an update that it tells":          {env: "EPHEMERAL=false", step: `printf 'Runner update in progress, do not shutdown runner.\nRunner listener exit because of updating\n%s: Listening for Jobs\n' "$(date -u '+%F %TZ')" > /proc/$listener/fd/1; rm $home/.runner; ` + killAll},
		"a ready token": {env: "RUNNER_TOKEN=", step: "sleep 60", after: func(w *world) {
			w.last.signal(syscall.SIGTERM)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := quickly(t)
			w.env["RUNNER_STOP_GRACE"] = "6s"
			if row.env == "RUNNER_TOKEN=" {
				// Killed in the end, it leaves its registration to us.
				w.Behave(githubtest.Behaviour{IgnoreInterrupt: true, HangAfterJob: true})
				row.env += w.RegistrationToken("acme")
				w.env["GITHUB_TOKEN"] = ""
			}
			ready := filepath.Join(w.home, "ready")
			w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + stealing + `touch $home/ready; ` + row.step}})
			l := w.start(row.env)
			if row.after != nil {
				w.poll("the job's doing", func() bool { _, err := os.Stat(ready); return err == nil })
				row.after(w)
			}
			<-l.ended
			if code := l.ProcessState.ExitCode(); code == 0 {
				t.Error("it ended well")
			}
			if data, err := os.ReadFile(filepath.Join(w.home, "stolen")); err == nil {
				t.Errorf("the job's config.sh was given a token of %d characters", len(strings.TrimSpace(string(data))))
			}
		})
	}
}

// A job cannot name the runner that is taken off GitHub: neither at the end of its
// own life, nor for the next one to clean up.
func TestJobCannotNameTheRunnerToDelete(t *testing.T) {
	t.Parallel()
	w := quickly(t)
	other := w.AddRunner(githubtest.Runner{Scope: "acme", Name: "another", Online: true, Labels: []string{"other"}})
	forged := fmt.Sprintf(`{"agentId":%d,"agentName":"another"}`, other)
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + `echo '` + forged + `' > $home/.runner; ` + killAll}})
	w.start().end(75)
	if left := w.Runners(); len(left) != 1 || left[0].ID != other {
		t.Errorf("GitHub has %+v", left)
	}

	for name, forge := range map[string]func(){
		"registration": func() { _ = os.WriteFile(filepath.Join(w.home, ".runner"), []byte(forged), 0o600) },
		"record": func() {
			_ = os.WriteFile(filepath.Join(w.home, ".org-runner", "life.json"), []byte(`{"name":"another"}`), 0o600)
		},
	} {
		forge()
		job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start().end(0)
		if left := w.Runners(); len(left) != 1 || left[0].ID != other || w.Job(job).Result != "success" {
			t.Errorf("a forged %s: GitHub has %+v, the job %+v", name, left, w.Job(job))
		}
	}
}

// Nor when GitHub calls its runner busy for so long that the life takes another
// name.
func TestJobCannotNameTheRunnerToDeleteByAnotherName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{LostAfter: time.Minute})
	other := w.AddRunner(githubtest.Runner{Scope: "acme", Name: "another", Online: true, Labels: []string{"other"}})
	forged := fmt.Sprintf(`{"agentId":%d,"agentName":"another"}`, other)
	w.ownListener()
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + `echo '` + forged + `' > $home/.runner; exec 9> /proc/$listener/fd/1
helper=$(parent $listener); script=$(parent $helper); kill -STOP $script; kill -9 $helper $listener; sleep 1
echo "Runner listener exit with Session Conflict error" >&9; sleep 1; kill -9 $script $PPID; sleep 60`}})
	l := w.start("EPHEMERAL=false")
	w.until("a runner of another name", func() bool {
		return slices.ContainsFunc(w.Runners(), func(r githubtest.Runner) bool { return strings.HasPrefix(r.Name, "fleet-") && r.Online })
	})
	l.signal(syscall.SIGTERM)
	l.end(143) // the first one is still there
	if !slices.ContainsFunc(w.Runners(), func(r githubtest.Runner) bool { return r.ID == other }) {
		t.Errorf("GitHub has %+v", w.Runners())
	}
}

// A job's process that calls itself the worker is not waited for.
func TestJobIsNoWorker(t *testing.T) {
	t.Parallel()
	w := quickly(t)
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + `echo 'while true; do sleep 0.2; done' > spawnclient
setsid bash -c "exec -a $home/bin/Runner.Worker bash spawnclient" & sleep 1; ` + killAll}})
	l := w.start()
	l.end(75)
	w.none()
}

// Nor that of another container of the fleet that is alive, by a note that looks like ours.
func TestJobCannotNameALivingRunnerOfTheFleet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.env["RUNNER_REGISTER_TIMEOUT"] = "20s"
	b := w.another("fleet-b").start("LABELS=b")
	w.untilOnline()
	other := w.Runners()[0]
	const own = `"name":"fleet"`
	for _, file := range []string{"life.json", ".runner"} {
		l := w.start("LABELS=a")
		w.until("both", func() bool { return len(w.Runners()) == 2 && w.Runners()[1].Online })
		mine := w.Runners()[1].ID
		l.kill()
		forged := fmt.Appendf(nil, `{"agentId":%d,"agentName":"fleet-b"}`, other.ID)
		path := filepath.Join(w.home, ".runner")
		if file == "life.json" {
			path = filepath.Join(w.home, ".org-runner", file)
			data, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(data), own) {
				t.Fatalf("the record is %s, %v", data, err)
			}
			forged = []byte(strings.ReplaceAll(strings.Replace(string(data), own, `"name":"fleet-b"`, 1), fmt.Sprint(`"id":`, mine), fmt.Sprint(`"id":`, other.ID)))
		}
		put(t, path, string(forged))
		l = w.start("LABELS=a")
		w.until("a new one", func() bool {
			return slices.ContainsFunc(w.Runners(), func(r githubtest.Runner) bool { return r.ID > mine && r.Online })
		})
		if r, there := w.byID(other.ID); !there || !r.Online {
			t.Errorf("a forged %s: GitHub has %+v", file, w.Runners())
		}
		l.signal(syscall.SIGTERM)
		l.end(0)
		for _, r := range w.Runners() {
			if r.ID != other.ID {
				w.RemoveRunner(r.ID) // of the forged record: nobody knows of it any more
			}
		}
	}
	b.signal(syscall.SIGTERM)
	b.end(0)
	w.none()
}

// That .runner is missing does not mean that GitHub has no runner.
func TestRegistrationThatAJobRemoved(t *testing.T) {
	t.Parallel()
	w := quickly(t)
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{atHome + `rm $home/.runner; ` + killAll}})
	l := w.start()
	<-l.ended
	w.none()
}

// Whatever stands in the place of the runner's and our own files, the next life
// begins, can be stopped, and does its job.
func TestWhatAJobPutsInTheWay(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(home string) error{
		"a pipe for .runner":             func(home string) error { return syscall.Mkfifo(filepath.Join(home, ".runner"), 0o666) },
		"a link to /dev/zero":            func(home string) error { return os.Symlink("/dev/zero", filepath.Join(home, ".runner")) },
		"a folder for .runner":           func(home string) error { return os.MkdirAll(filepath.Join(home, ".runner", "x"), 0o755) },
		"a folder for the next record":   func(home string) error { return os.MkdirAll(filepath.Join(home, ".org-runner/life.json.new/x"), 0o755) },
		"a folder for the record":        func(home string) error { return os.MkdirAll(filepath.Join(home, ".org-runner/life.json/x"), 0o755) },
		"a folder for the lock":          func(home string) error { return os.MkdirAll(filepath.Join(home, ".org-runner/lock/x"), 0o755) },
		"a folder for the socket":        func(home string) error { return os.MkdirAll(filepath.Join(home, ".org-runner/life.sock/x"), 0o755) },
		"a pipe for the first start's":   func(home string) error { return syscall.Mkfifo(filepath.Join(home, ".org-runner-first-start"), 0o666) },
		"a folder for the credentials":   func(home string) error { return os.MkdirAll(filepath.Join(home, ".credentials", "x"), 0o755) },
		"a pipe in place of the old one": func(home string) error { return syscall.Mkfifo(filepath.Join(home, ".runner_migrated"), 0o666) },
	} {
		for _, registration := range []string{"config", "jit"} {
			t.Run(name+"/"+registration, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, githubtest.Options{})
				if err := put(w.home); err != nil {
					t.Fatal(err)
				}
				job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
				w.start("RUNNER_REGISTRATION="+registration, "ALLOWED_REPOSITORIES=coach").end(0)
				w.none()
				if j := w.Job(job); j.Result != "success" {
					t.Errorf("the job: %+v", j)
				}
				if left, err := os.ReadFile(filepath.Join(w.home, ".org-runner/life.json")); err != nil || strings.Contains(string(left), "failures") {
					t.Errorf("the record says %q, %v", left, err)
				}
			})
		}
	}
}

// Without ephemeral a registration that GitHub has deleted is replaced after a job
// too, as long as the runner's own files are as they were.
func TestRegistersAnewAfterAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.ownListener()
	w.env["EPHEMERAL"], w.env["RUNNER_WATCHDOG"] = "false", "1s"
	l := w.start()
	for range 3 {
		job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.until("the job", func() bool { return w.Job(job).Status == "completed" })
		w.untilOnline()
		w.RemoveRunner(w.Runners()[0].ID)
	}
	w.untilOnline()
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// The runner updates itself before its job, and is told to be the new one.
func TestSelfUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Behave(githubtest.Behaviour{ListenerExit: 3, ListenerExitOnce: true})
	for range 2 {
		job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start().end(0)
		if j := w.Job(job); j.Result != "success" {
			t.Errorf("the job: %+v", j)
		}
	}
	if to, err := os.Readlink(filepath.Join(w.home, "bin")); err != nil || filepath.Base(to) != "bin.2.337.0" {
		t.Errorf("bin is %q, %v", to, err)
	}
	w.none()
}
