//go:build linux

package containers

import (
	"path/filepath"
	"strings"
	"testing"
)

// The container's user may be any, and RUNNER_USER too.
func TestUsers(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		step string
	}{
		"jobs as root":         {[]string{"--user", "root", "-e", "RUNNER_USER=root"}, `test "$(id -u) $HOME" = "0 /root"`},
		"an added group":       {[]string{"--user", "root", "--group-add", "54321"}, `id -G; test "$(id -u)" = 1001; id -G | grep -qw 54321; ! id -G | grep -qw 0`},
		"any uid with group 0": {[]string{"--user", "123456:0"}, `test "$(id -u) $HOME" = "123456 /home/runner"; git config --global user.name somebody; touch ~/here "$RUNNER_TOOL_CACHE/here"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			first := o.enqueue("coach", row.step)
			c := o.run(row.args...)
			if j := o.completed(first); j.Result != "success" {
				t.Errorf("the job: %+v", j)
			}
			if code := c.wait(); code != "0" {
				t.Errorf("exit code %s", code)
			}
			c.do("start", c.id) // the same container, as after a crash
			o.online(1)
			if out := c.do("exec", c.id, "org-runner", "healthcheck"); !strings.Contains(out, " for ") {
				t.Errorf("healthcheck says %s", out)
			}
			if j := o.completed(o.enqueue("coach", row.step)); j.Result != "success" {
				t.Errorf("the second job: %+v", j)
			}
			c.wait()
			o.none()
		})
	}
}

// Where the engine has made the work folder, or mounts it so that nothing in it can
// be run, no runner is registered; a new volume takes over the image's owner.
func TestWorkFolders(t *testing.T) {
	needEngine(t)
	o := newOrganization(t)
	const volume = "org-runner-test-work"
	for name, row := range map[string]struct {
		args []string
		says string // "": it works
	}{
		"a new volume":                    {args: []string{"-v", volume + ":/home/runner/_work"}},
		"a new volume for the tool cache": {args: []string{"-v", volume + ":/home/runner/_work/_tool"}},
		"a new volume elsewhere":          {[]string{"-v", volume + ":/jobs", "-e", "RUNNER_WORKDIR=/jobs"}, "/jobs cannot be written by uid 1001"},
		"started as root":                 {[]string{"--user", "root", "-v", volume + ":/jobs", "-e", "RUNNER_WORKDIR=/jobs"}, "/jobs cannot be written by runner (uid 1001)"},
		"the host's, made by the engine":  {[]string{"-v", filepath.Join(t.TempDir(), "new") + ":/home/runner/_work"}, "/home/runner/_work cannot be written by uid 1001"},
		"tmpfs without exec":              {[]string{"--tmpfs", "/home/runner/_work:uid=1001"}, "mounted noexec"},
		"tmpfs with exec":                 {args: []string{"--tmpfs", "/home/runner/_work:uid=1001,exec"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _ = try(docker, "volume", "rm", "-f", volume)
			t.Cleanup(func() { _, _ = try(docker, "volume", "rm", "-f", volume) })
			o := &organization{t, o.name}
			calls := len(github.Calls(""))
			var job int64
			if row.says == "" {
				job = o.enqueue("coach", `touch "$RUNNER_TOOL_CACHE/here"; printf '#!/bin/sh\n' > script; chmod +x script; ./script`)
			}
			c := o.run(row.args...)
			code := c.wait()
			if row.says == "" {
				if j := github.Job(job); code != "0" || j.Result != "success" {
					t.Errorf("exit code %s, the job: %+v", code, j)
				}
				return
			}
			if code != "78" || !strings.Contains(c.logs(), row.says) || len(github.Calls("")) != calls {
				t.Errorf("exit code %s, %d calls", code, len(github.Calls(""))-calls)
			}
		})
	}
}

// A misspelt build argument must not give jobs a sudo that nobody wanted.
func TestSudoArgument(t *testing.T) {
	needEngine(t)
	for _, value := range []string{"banana", "FALSE", "0", ""} {
		err := dockerBuild("-t", image+"-sudo", "--build-arg", "SUDO="+value, "--build-arg", "RUNNER_VERSION="+runnerVersion,
			"--build-arg", "RUNNER_IMAGE="+runnerName, "--build-arg", "GO_IMAGE="+goImage, root)
		if err == nil || !strings.Contains(err.Error(), "SUDO takes true or false") {
			t.Errorf("SUDO=%s: %v", value, err)
			_, _ = try(docker, "rmi", image+"-sudo")
		}
	}
}
