//go:build linux

package official

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// onlyOfficial skips what the stand-in does not have.
func onlyOfficial(t *testing.T, why string) {
	t.Helper()
	if *standin {
		t.Skip("the stand-in has no " + why)
	}
}

func TestDeprecatedVersion(t *testing.T) {
	onlyOfficial(t, "refused versions")
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		l := w.start()
		version := w.untilOnline().Version
		w.Deprecate(version, githubtest.Deprecation{Runtime: time.Now().Add(-time.Hour)})
		l.end(7)
		w.none()
	})
}

// A runner that GitHub has deleted registers again at once, and runs a job.
func TestDeletedRegistration(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		l := w.start()
		old := w.untilOnline().ID
		w.RemoveRunner(old)
		if r := w.untilOnline(); r.ID == old {
			t.Errorf("it is still runner %d", old)
		}
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		l.clean()
		if j := w.Job(id); j.Result != "success" {
			t.Errorf("the job: %+v", j)
		}
	})
}

// Polls that fail for a while make no unhealthy runner of one that GitHub sees.
func TestFailedPollsAndHealth(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		w.env["STAND_IN_SPEED"] = "20"
		l := w.start("RUNNER_WATCHDOG=1s")
		w.untilOnline()
		lift := w.Inject(githubtest.Fault{Operation: w.operation(flow), Status: 503})
		// The poll that is open would last: only a lost connection ends it.
		w.SetDown(true)
		w.until("the runner's being offline", func() bool { return !w.Runners()[0].Online })
		w.SetDown(false)
		w.poll("the lost connection", func() bool { return strings.Contains(l.out.String(), "Runner connect error") })
		lift()
		w.untilOnline()
		asked := w.Count("get-runner")
		w.until("three looks", func() bool { return w.Count("get-runner") > asked+3 })
		if code, out := w.ask("healthcheck"); code != 0 {
			t.Errorf("healthcheck %d: %s", code, out)
		}
		if _, out := w.ask("status", "--json"); strings.Contains(out, "without a connection") {
			t.Errorf("status: %s", out)
		}
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		l.clean()
		if j := w.Job(id); j.Result != "success" {
			t.Errorf("the job: %+v", j)
		}
	})
}

// No step of a refused repository's job runs, not even with if: always().
func TestRefusedRepository(t *testing.T) {
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		var plan []githubtest.Step
		var marks []string
		for _, condition := range []string{"", "always()", "failure()", "!success()", "!cancelled()"} {
			script, mark := w.marked("true")
			plan, marks = append(plan, githubtest.Step{Name: "if " + condition, If: condition, Run: script}), append(marks, mark)
		}
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Plan: plan})
		w.start("ALLOWED_REPOSITORIES=mcp").clean()
		if j := w.Job(id); j.Result != "failure" {
			t.Errorf("the job: %+v", j)
		}
		for i, mark := range marks {
			if exists(mark) {
				t.Errorf("the step %q ran", plan[i].Name)
			}
		}
	})
}

// Neither a name nor a condition of others can tell the runner what state it is in.
func TestTextOfOthers(t *testing.T) {
	date := time.Now().UTC().Format("2006-01-02 15:04:05Z: ")
	forged := date + "Listening for Jobs"
	each(t, func(t *testing.T, flow actions.Flow) {
		for name, job := range map[string]githubtest.Job{
			"a line feed in a name":           {Name: "build\n" + forged},
			"a forged end":                    {Name: "build\n" + date + "Job build completed with result: Succeeded"},
			"a carriage return in a name":     {Name: "build\r" + forged},
			"a commit message in a condition": {Name: "build", Commit: "fix\r" + forged + "\rthanks"},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, flow, githubtest.Options{})
				w.env["ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT"] = "1" // as in the official image
				script, mark := w.marked("while ! [ -e " + w.home + "/go ]; do sleep 0.1; done")
				job.Repository = "acme/coach"
				condition := "contains(github.event.head_commit.message, '[deploy]')"
				if *standin {
					condition = "contains('" + job.Commit + "', '[deploy]')"
				}
				job.Plan = []githubtest.Step{{If: condition, Run: "exit 1"}, {Run: script, If: "always()"}}
				id := w.Enqueue(job)
				l := w.start("RUNNER_WATCHDOG=1s")
				w.poll("the step", func() bool { return exists(mark) })
				asked := w.Count("get-runner")
				w.until("six looks", func() bool { return w.Count("get-runner") > asked+6 })
				if _, out := w.ask("status"); !strings.Contains(out, "busy") {
					t.Errorf("status: %s", out)
				}
				if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				l.clean()
				if j := w.Job(id); j.Result != "success" {
					t.Errorf("the job: %+v", j)
				}
			})
		}
	})
}

// A disk that the job has filled holds nobody up for ever.
func TestFullDisk(t *testing.T) {
	onlyOfficial(t, "diagnostic logs that a full disk stops")
	w := newWorld(t, actions.V2, githubtest.Options{})
	if os.Geteuid() != 0 {
		t.Skip("a small disk has to be mounted: run this as root")
	}
	if err := os.RemoveAll(w.home); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", w.home, "tmpfs", 0, "size=1500m,mode=755"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		w.killRest()
		_ = syscall.Unmount(w.home, syscall.MNT_DETACH)
	})
	w.furnish()
	script, mark := w.marked("cat /dev/zero > fill || true")
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script}})
	l := w.start()
	w.poll("the step", func() bool { return exists(mark) })
	select {
	case <-l.ended:
	case <-time.After(patience):
		t.Fatal("the life does not end")
	}
	w.none()
	if rest := w.processes(); len(rest) > 0 {
		t.Errorf("processes are left: %v", rest)
	}
}

// search is a job that looks for credentials wherever a job's user can: in its
// environment, in files, in /proc, in the memory of its parents.
const search = `
set +e
cd /
env
set
for p in /proc/[0-9]*; do
  tr '\0' '\n' < $p/environ || true
  tr '\0' ' ' < $p/cmdline || true
done 2>/dev/null
grep -rhasE 'ghp_|ghs_|github_pat_|AAAA' "$RUNNER_FOLDER" "$HOME" /tmp --include='*' --exclude-dir=externals --exclude-dir=bin 2>/dev/null | head -c 1000000 || true
pid=$$
while [ "$pid" -gt 1 ]; do
  pid=$(awk '/^PPid:/ { print $2 }' /proc/$pid/status)
  [ "$pid" -gt 1 ] || break
  while read -r range rights _; do
    case $rights in r*) ;; *) continue ;; esac
    from=$((0x${range%-*})) to=$((0x${range#*-}))
    [ $((to - from)) -lt 67108864 ] || continue
    dd if=/proc/$pid/mem bs=4096 skip=$((from / 4096)) count=$(((to - from) / 4096)) 2>/dev/null | grep -aoE 'ghp_[A-Za-z0-9_-]{8,60}' || true
  done < /proc/$pid/maps
done 2>/dev/null
true
`

// A job that means harm finds neither the operator's token nor a registration token.
// It runs as a user of its own, as jobs in the image do.
func TestHostileJob(t *testing.T) {
	needsRunner(t)
	if os.Geteuid() != 0 {
		t.Skip("the runner needs another user than org-runner: run this as root")
	}
	each(t, func(t *testing.T, flow actions.Flow) {
		w := newWorld(t, flow, githubtest.Options{})
		dir := filepath.Dir(w.home)
		// Copies, not links: their owner is changed.
		if err := os.RemoveAll(w.home); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"cp", "-a", pristine, w.home}, {"chmod", "755", dir}, {"chown", "-R", "nobody", w.home, filepath.Join(dir, "home")}} {
			if err := command(args[0], args[1:]...); err != nil {
				t.Fatal(err)
			}
		}
		// As in the image, where the jobs cannot read the program.
		w.program = filepath.Join(dir, "hidden", "bin", "org-runner")
		for _, args := range [][]string{{"mkdir", "-p", filepath.Dir(w.program)}, {"cp", product, w.program}, {"chmod", "0711", w.program},
			{"cp", "-a", filepath.Join(filepath.Dir(product), "..", "lib"), filepath.Join(dir, "hidden")}} {
			if err := command(args[0], args[1:]...); err != nil {
				t.Fatal(err)
			}
		}
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Env: map[string]string{"RUNNER_FOLDER": w.home}, Steps: []string{"found=$(mktemp)\n{\n" + search + "\n} > $found 2>&1\ncp $found " + w.home + "/found\n"}})
		l := w.start("RUNNER_USER=nobody", "RUNNER_ALLOW_RUNASROOT=")
		l.end(0)
		w.none()
		if j := w.Job(id); j.Result != "success" {
			t.Fatalf("the job: %+v", j)
		}
		found, err := os.ReadFile(filepath.Join(w.home, "found"))
		if err != nil || len(found) == 0 {
			t.Fatalf("the job found nothing at all: %v", err)
		}
		if !strings.Contains(string(found), "RUNNER_FOLDER="+w.home) {
			t.Error("the search does not find what is there")
		}
		for _, secret := range w.Secrets() {
			if strings.Contains(string(found), secret) {
				t.Errorf("the job found a secret: %.8s…", secret)
			}
		}
	})
}
