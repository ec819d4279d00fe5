//go:build linux

package containers

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Under a restart policy a container that cannot start does not repeat itself: it
// waits, in which its status can be asked, and a stop ends the wait.
func TestCrashLoopOfAWrongConfiguration(t *testing.T) {
	for name, args := range map[string][]string{
		"variable":     {"-e", "EPHEMERAL=ture", image},
		"command line": {image, "rnu"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			out, err := try(docker, append([]string{"run", "-d", "--restart", "unless-stopped", "-e", "GITHUB_SERVER_URL=" + github.URL(), "-e", "GITHUB_ORGANIZATION=" + o.name,
				"-e", "GITHUB_TOKEN=" + goodToken}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			c := &container{t, lastLine([]byte(out))}
			t.Cleanup(func() { _, _ = try(docker, "rm", "-f", "-v", c.id) })
			began, told := time.Now(), false
			for !told && time.Since(began) < patience {
				status, _ := try(docker, "exec", c.id, "org-runner", "status")
				told = strings.Contains(status, "waiting until")
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Until(began.Add(20 * time.Second))) // how often it starts in that time is what is looked at
			restarts, err := strconv.Atoi(c.inspect("{{.RestartCount}}"))
			if err != nil || !told || restarts < 1 || restarts > 4 {
				t.Errorf("%d restarts, status told: %t, %v\n%s", restarts, told, err, c.logs())
			}
			if n := strings.Count(c.logs(), "waiting until"); n < 1 || n > restarts+1 {
				t.Errorf("%d lines say until when\n%s", n, c.logs())
			}
			o.none()
		})
	}
	t.Run("the first start does not wait", func(t *testing.T) {
		o := newOrganization(t)
		began := time.Now()
		c := o.run("-e", "EPHEMERAL=ture")
		if code := c.wait(); code != "78" || strings.Contains(c.logs(), "waiting until") {
			t.Errorf("exit code %s after %s\n%s", code, time.Since(began), c.logs())
		}
	})
}
