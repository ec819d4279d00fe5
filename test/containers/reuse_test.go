//go:build linux

package containers

import (
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// poison writes wherever a job can write; check looks for it in the next job.
const (
	poison = `echo poison > ~/.bash_profile; echo poison >> ~/.bashrc; git config --global user.name poison
echo poison > /tmp/poison; echo poison > /var/tmp/poison; echo poison > /dev/shm/poison
mkdir -p "$RUNNER_TOOL_CACHE/node"; echo poison > "$RUNNER_TOOL_CACHE/node/poison"
sudo -n sh -c 'mkdir -p /home/runner/_work/rooted/deep; echo poison > /home/runner/_work/rooted/deep/poison; chmod 700 /home/runner/_work/rooted; echo poison > /tmp/rooted'
setsid sleep 1000 > /dev/null 2>&1 &`
	check = `found=$(sudo -n grep -rls poison /home/runner /tmp /var/tmp /dev/shm --exclude-dir=_temp --exclude-dir=_diag | grep -v "^$0" || true)
if [ -n "$found" ]; then echo "POISONED $found"; exit 1; fi
if pgrep -f 'sleep 1000' > /dev/null 2>&1; then echo "a daemon lives"; exit 1; fi
if ps ax 2>/dev/null | grep -q '[s]leep 1000'; then echo "a daemon lives"; exit 1; fi
test -x /home/runner/config.sh`
)

func TestRestartedContainerIsClean(t *testing.T) {
	for _, user := range []string{"runner", "root"} {
		t.Run(user, func(t *testing.T) {
			o := newOrganization(t)
			first := o.enqueue("coach", poison)
			c := o.run("--user", user, "--restart", "unless-stopped")
			if j := o.completed(first); j.Result != "success" {
				t.Fatalf("the poisoning job: %+v", j)
			}
			second := o.enqueue("mcp", check)
			if j := o.completed(second); j.Result != "success" {
				t.Errorf("the next job: %s", j.Log)
			}
			o.online(1) // a stop in the first moment of a start can be lost
			c.do("stop", c.id)
			o.none()
		})
	}
}

func TestReuseRefused(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "true")
	c := o.run("-e", "RUNNER_ON_REUSE=refuse")
	o.completed(job)
	if code := c.wait(); code != "0" {
		t.Errorf("first exit code %s", code)
	}
	c.do("start", c.id)
	if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "RUNNER_ON_REUSE is refuse") {
		t.Errorf("second exit code %s", code)
	}
	o.none()
}

func TestJobThatChangesTheRunnerEndsTheContainer(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "echo '# poison' >> /home/runner/run.sh")
	c := o.run()
	o.completed(job)
	c.wait()
	c.do("start", c.id)
	if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "a job has changed /home/runner/run.sh") {
		t.Errorf("exit code %s", code)
	}
	o.none()
}

// The runner's update of itself is no job's doing: the container that has updated
// its runner goes on after a restart, and still finds what a job changes.
func TestRestartAfterASelfUpdate(t *testing.T) {
	for name, args := range map[string][]string{"plain": nil, "root": {"--user", "root"}, "forgetful": {"--tmpfs", "/run/org-runner:mode=1777"}} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			github.Behave(githubtest.Behaviour{ListenerExit: 3, ListenerExitOnce: true})
			defer github.Behave(githubtest.Behaviour{})
			job := o.enqueue("coach", "readlink /home/runner/bin")
			c := o.run(args...)
			if j := o.completed(job); j.Result != "success" || !strings.Contains(j.Log, "/home/runner/bin.2.337.0") {
				t.Errorf("the first job: %+v", j)
			}
			c.wait()
			job = o.enqueue("coach", "for left in /home/runner/bin.2.336.0 /home/runner/externals.2.336.0 /home/runner/_work/_update; do if [ -e $left ]; then find $left; exit 1; fi; done; echo poison > /home/runner/bin/libcoreclr.so")
			c.do("start", c.id)
			if j := o.completed(job); j.Result != "success" {
				t.Errorf("what the update has left is there: %s", j.Log)
			}
			if code := c.wait(); code != "0" {
				t.Errorf("exit code %s after the second job", code)
			}
			c.do("start", c.id)
			if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "a job has changed /home/runner/bin.2.337.0/libcoreclr.so") {
				t.Errorf("exit code %s after a job that has changed the new version", code)
			}
			o.none()
		})
	}
}

// A container that is killed or stopped in the middle of the update goes on as well.
func TestRestartInASelfUpdate(t *testing.T) {
	for name, end := range map[string]string{"killed": "kill", "stopped": "stop"} {
		for _, args := range [][]string{{"--user", "runner"}, {"--tmpfs", "/run/org-runner:mode=1777"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				o := newOrganization(t)
				github.Behave(githubtest.Behaviour{ListenerExit: 3, ListenerExitOnce: true, UpdatePause: time.Minute})
				defer github.Behave(githubtest.Behaviour{})
				c := o.run(args...)
				o.until("the update", func() bool {
					_, err := try(docker, "exec", c.id, "test", "-e", "/home/runner/bin.2.337.0/Runner.Listener")
					return err == nil
				})
				c.do(end, c.id)
				c.wait()
				github.Behave(githubtest.Behaviour{})
				job := o.enqueue("coach", "true")
				c.do("start", c.id)
				if j := o.completed(job); j.Result != "success" {
					t.Errorf("the job: %+v", j)
				}
				if code := c.wait(); code != "0" {
					t.Errorf("exit code %s", code)
				}
				o.none()
			})
		}
	}
}

// A volume outlives the reset wherever it is mounted, and the folder for records
// stays without one.
func TestRecordsOutliveTheReset(t *testing.T) {
	for name, args := range map[string][]string{
		"none":                  nil,
		"on the records folder": {"-v", "org-runner-test-reset:/var/lib/org-runner/records"},
		"around it":             {"-v", "org-runner-test-reset:/var/lib/org-runner"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _ = try(docker, "volume", "rm", "-f", "org-runner-test-reset")
			o := newOrganization(t)
			c := o.run(append(args, "-e", "RUNNER_RECORDS=/var/lib/org-runner/records/jobs.jsonl")...)
			for jobs := 1; jobs <= 3; jobs++ {
				o.completed(o.enqueue("coach", "true"))
				c.wait()
				kept := c.do("cp", c.id+":/var/lib/org-runner/records/jobs.jsonl", "-")
				want := jobs
				if name == "none" {
					want = 1 // the container's own is emptied like all else
				}
				if got := strings.Count(kept, `"repository"`); got != want {
					t.Errorf("%d records after %d jobs", got, jobs)
				}
				c.do("start", c.id)
				o.online(1)
			}
			c.do("stop", c.id)
			o.none()
		})
	}
}

// A read-only container under a restart policy is as clean for its second job
// as a writable one: what tells a used container from a new one must live as
// long as what its jobs write.
func TestReadOnlyContainerIsCleanAfterARestart(t *testing.T) {
	o := newOrganization(t)
	first := o.enqueue("coach", poison)
	c := o.run("--restart", "unless-stopped", "--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/var/tmp:exec", "-v", "/home/runner", "--tmpfs", "/run/org-runner:uid=1001")
	if j := o.completed(first); j.Result != "success" {
		t.Fatalf("the poisoning job: %+v", j)
	}
	second := o.enqueue("mcp", check)
	if j := o.completed(second); j.Result != "success" {
		t.Errorf("the next job: %s", j.Log)
	}
	o.online(1)
	c.do("exec", c.id, "org-runner", "status")
	c.do("stop", c.id)
	o.none()
}
