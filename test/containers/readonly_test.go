//go:build linux

package containers

import "testing"

// A read-only container under a restart policy is as clean for its second job
// as a writable one: what tells a used container from a new one must live as
// long as what its jobs write.
func TestReadOnlyContainerIsCleanAfterARestart(t *testing.T) {
	o := newOrganization(t)
	first := o.enqueue("coach", poison)
	c := o.run("--restart", "unless-stopped", "--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/var/tmp:exec", "-v", "/home/runner", "--tmpfs", "/run/org-runner")
	if j := o.completed(first); j.Result != "success" {
		t.Fatalf("the poisoning job: %+v", j)
	}
	second := o.enqueue("mcp", check)
	if j := o.completed(second); j.Result != "success" {
		t.Errorf("the next job: %s", j.Log)
	}
	o.online(1)
	c.do("stop", c.id)
	o.none()
}
