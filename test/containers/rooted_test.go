//go:build linux

package containers

import (
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// After a job with sudo the same container registers by JIT: config.sh would be
// given a registration token where that job may have left something to catch it.
func TestRegistrationAfterAJob(t *testing.T) {
	for _, row := range []struct {
		name, image string
		args        []string
		noJIT       bool
		jit         bool
	}{
		{name: "with sudo", image: image, jit: true},
		{name: "with sudo, jobs of another user than the container's", image: image, args: []string{"--user", "root"}, jit: true},
		{name: "with sudo and a server without JIT", image: image, noJIT: true},
		{name: "without sudo", image: sudolessImage},
		{name: "with sudo that does nothing", image: image, args: []string{"--security-opt", "no-new-privileges"}},
		{name: "jobs as root", image: sudolessImage, args: []string{"--user", "root", "-e", "RUNNER_USER=root"}, jit: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrganization(t)
			calls := func(operation string) (n int) {
				for _, c := range github.Calls("") {
					if strings.Contains(c.Path, o.name+"/") && c.Operation == operation {
						n++
					}
				}
				return n
			}
			if row.noJIT {
				lift := github.Inject(githubtest.Fault{Operation: "generate-jitconfig", Status: 404})
				defer lift()
			}
			first := o.enqueue("coach", "true")
			c := o.runImage(row.image, append(row.args, "-e", "LABELS=org-runner,gpu")...)
			o.completed(first)
			c.wait()
			if tokens := calls("registration-token"); tokens != 1 {
				t.Errorf("%d registration tokens at the first start", tokens)
			}
			c.do("start", c.id)
			o.online(1)
			if labels := strings.Join(o.runners()[0].Labels, ","); !strings.EqualFold(labels, "self-hosted,Linux,X64,org-runner,gpu") {
				t.Errorf("labels %s", labels)
			}
			want := 2
			if row.jit {
				want = 1
			}
			if tokens := calls("registration-token"); tokens != want || o.runners()[0].JIT != row.jit {
				t.Errorf("%d registration tokens, want %d; runner %+v", tokens, want, o.runners()[0])
			}
			c.do("stop", c.id)
			o.none()
		})
	}
}

// A container that was started and stopped without a job registers as before; and a
// job cannot make one of its own look like that.
func TestRegistrationWithoutAJob(t *testing.T) {
	o := newOrganization(t)
	c := o.run()
	for _, end := range []string{"stop", "stop"} {
		o.online(1)
		if r := o.runners()[0]; r.JIT {
			t.Errorf("before the first job: %+v", r)
		}
		c.do(end, c.id)
		o.none()
		c.do("start", c.id)
	}
	o.online(1)
	job := o.enqueue("coach", `cp -a /run/org-runner /tmp/notes; for note in /run/org-runner/life.json ~/.org-runner*; do sudo rm -rf "$note"; done
echo '{"jobless":true}' > /run/org-runner/life.json`)
	if j := o.completed(job); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
	c.wait()
	c.do("start", c.id)
	o.online(1)
	if r := o.runners()[0]; !r.JIT {
		t.Errorf("after a job that forges: %+v", r)
	}
	c.do("stop", c.id)
	o.none()
}

// What came by docker exec has no parent in the container, and a job of the same
// user can make it its own: it does not see the next registration token.
func TestNothingRunsBesideTheNextToken(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "true")
	c := o.runImage(sudolessImage, "-e", "EPHEMERAL=false", "-e", "RUNNER_WATCHDOG=1s")
	o.completed(job)
	o.online(1)
	c.do("exec", "-d", c.id, "sleep", "1000")
	old := o.runners()[0].ID
	github.RemoveRunner(old)
	o.until("another runner", func() bool { return len(o.runners()) == 1 && o.runners()[0].ID != old && o.runners()[0].Online })
	if top := c.do("top", c.id); strings.Contains(top, "sleep 1000") {
		t.Errorf("it runs beside the new runner:\n%s", top)
	}
	c.do("stop", c.id)
	o.none()
}
