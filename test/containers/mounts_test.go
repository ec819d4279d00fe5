//go:build linux

package containers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/test/released"
)

// folder makes one on the host that everybody may write, with files of somebody's.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (o *organization) has(dir string, files ...string) {
	o.t.Helper()
	for _, name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			o.t.Errorf("%s is gone", name)
		}
	}
}

// volume makes one of the test's own.
func volume(t *testing.T) string {
	t.Helper()
	needEngine(t)
	name := image + "-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	_, _ = try(docker, "volume", "rm", "-f", name)
	if _, err := try(docker, "volume", "create", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = try(docker, "volume", "rm", "-f", name) })
	return name
}

// ran lets a job run in a container under a restart policy, and returns it when the
// next life listens.
func (o *organization) ran(c *container, step string) {
	o.t.Helper()
	job := o.enqueue("coach", step)
	if j := o.completed(job); j.Result != "success" {
		o.t.Errorf("the job: %s", j.Log)
	}
	o.online(1)
}

// What somebody has mounted is never deleted, whatever it is mounted on, by whoever
// the container is started as, and whatever a job puts in for a mark.
func TestNothingThatIsMountedIsDeleted(t *testing.T) {
	for name, row := range map[string]struct{ at, work, user string }{
		"tmp":             {at: "/tmp"},
		"tmp, as root":    {at: "/tmp", user: "root"},
		"var/tmp":         {at: "/var/tmp"},
		"shm":             {at: "/dev/shm"},
		"work folder":     {at: "/home/runner/_work"},
		"own work folder": {at: "/srv/work", work: "/srv/work"},
		"above it":        {at: "/srv", work: "/srv/work"},
		"tool cache":      {at: "/home/runner/_work/_tool"},
		"in the home":     {at: "/home/runner/mine"},
		"records":         {at: "/var/lib/org-runner/records"},
		"in tmp":          {at: "/tmp/a b"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			dir := folder(t, "precious", "work/precious", "deep/er/precious")
			args := []string{"--restart", "unless-stopped", "-v", dir + ":" + row.at}
			if row.work != "" {
				args = append(args, "-e", "RUNNER_WORKDIR="+row.work)
			}
			if row.user != "" {
				args = append(args, "--user", row.user)
			}
			// The folders below are root's: what a job may write there, it may.
			if err := os.Chmod(filepath.Join(dir, "work"), 0o777); err != nil {
				t.Fatal(err)
			}
			c := o.run(args...)
			o.ran(c, `echo x > "`+row.at+`/of-a-job"; cp /home/runner/.org-runner-mark "`+row.at+`/" || true
{ echo "org-runner reset mark 1, folder $(stat -c %i "`+row.at+`")"; } > "`+row.at+`/.org-runner-mark"; touch -d 2000-01-01 "`+row.at+`/.org-runner-mark"`)
			o.ran(c, "true")
			o.has(dir, "precious", "work/precious", "deep/er/precious", "of-a-job")
			c.do("stop", c.id)
			o.none()
		})
	}
}

// A mount that is a place and was empty is as clean for the next job as the
// container itself, in a later container too.
func TestEmptyMountsAreReset(t *testing.T) {
	for name, row := range map[string]struct{ at, user string }{
		"tmp":               {at: "/tmp"},
		"tmp, as root":      {at: "/tmp", user: "root"},
		"work folder":       {at: "/home/runner/_work"},
		"work folder, root": {at: "/home/runner/_work", user: "root"},
		"shm":               {at: "/dev/shm"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			dir := folder(t)
			args := []string{"-v", dir + ":" + row.at}
			if row.user != "" {
				args = append(args, "--user", row.user)
			}
			leave := "mkdir -p " + row.at + "/left/deep; echo x > " + row.at + "/left/deep/file; chmod 0555 " + row.at + "/left/deep"
			clean := "test ! -e " + row.at + "/left"
			c := o.run(append([]string{"--restart", "unless-stopped"}, args...)...)
			o.ran(c, leave)
			o.ran(c, clean)
			c.do("stop", c.id)
			c = o.run(args...)
			o.completed(o.enqueue("coach", clean+"; "+leave))
			c.wait()
			job := o.enqueue("coach", clean)
			c = o.run(args...)
			if j := o.completed(job); j.Result != "success" {
				t.Errorf("in a later container: %s", j.Log)
			}
			c.wait()
		})
	}
}

// Two containers on one volume: a running job loses nothing when the other
// container starts again, and each has a folder of its own.
func TestTwoContainersOnOneWorkFolder(t *testing.T) {
	o := newOrganization(t)
	v := volume(t)
	args := []string{"--restart", "unless-stopped", "-v", v + ":/home/runner/_work"}
	first := o.run(args...)
	o.online(1)
	second := o.run(args...)
	o.online(2)
	long := o.enqueue("coach", `echo mine > mine; pwd; until [ -e ~/go ]; do test -e mine || exit 3; sleep 0.1; done; cat mine`)
	o.running(long)
	for range 2 {
		short := o.enqueue("mcp", "echo poison > left; pwd; test ! -e ../left")
		if j := o.completed(short); j.Result != "success" {
			t.Errorf("a job beside it: %s", j.Log)
		}
		o.online(2)
	}
	for _, c := range []*container{first, second} {
		c.do("exec", c.id, "touch", "/home/runner/go")
	}
	if j := o.completed(long); j.Result != "success" || !strings.Contains(j.Log, "mine") {
		t.Errorf("the running job: %s", j.Log)
	}
	o.online(2)
	first.do("stop", first.id, second.id)
	o.none()
}

// A home is one runner's.
func TestTwoContainersOnOneHome(t *testing.T) {
	o := newOrganization(t)
	v := volume(t)
	first := o.run("-v", v+":/home/runner")
	o.online(1)
	second := o.run("-v", v+":/home/runner")
	if code := second.wait(); code != "78" || !strings.Contains(second.logs(), "/home/runner: another runner uses it") {
		t.Errorf("the second one: exit code %s", code)
	}
	o.online(1)
	first.do("stop", first.id)
	o.none()
	// What the first one has left is reset for the next.
	third := o.run("-v", v+":/home/runner")
	o.online(1)
	third.do("stop", third.id)
}

// What stays is told before, by check, and refuse refuses it.
func TestWhatStaysIsTold(t *testing.T) {
	o := newOrganization(t)
	common := []string{"run", "--rm", "-e", "GITHUB_SERVER_URL=" + github.URL(), "-e", "GITHUB_ORGANIZATION=" + o.name, "-e", "GITHUB_TOKEN=" + goodToken}
	somebodys, empty := folder(t, "precious"), folder(t)
	for mount, row := range map[string]struct{ reset, refuse string }{
		somebodys + ":/tmp":                      {"warn  reset: /tmp is on a mount", "FAIL  reset: /tmp is on a mount"},
		empty + ":/tmp":                          {"ok    reset: what jobs write is deleted", "ok    reset: the container starts once"},
		somebodys + ":/home/runner/_work/_tool":  {"not below /home/runner/_work/_tool", "not below /home/runner/_work/_tool"},
		somebodys + ":/home/runner/_work":        {"warn  reset: /home/runner/_work is on a mount", "FAIL  reset: /home/runner/_work is on a mount"},
		somebodys + ":/opt/nowhere":              {"DISABLE_AUTO_UPDATE=true", "the container starts once"},
		somebodys + ":/tmp:ro":                   {"ok    reset", "ok    reset"},
		somebodys + "/precious:/tmp/single/file": {"not below /tmp/single/file", "not below /tmp/single/file"},
	} {
		for mode, want := range map[string]string{"reset": row.reset, "refuse": row.refuse} {
			out, _ := try(docker, append(common, "-v", mount, "-e", "RUNNER_ON_REUSE="+mode, image, "check")...)
			if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
				t.Errorf("%s, %s: %s", mount, mode, out)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(empty, ".org-runner-mark")); err == nil {
		t.Error("check has left something")
	}
	c := o.run("-e", "RUNNER_ON_REUSE=refuse", "-v", somebodys+":/tmp")
	if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "RUNNER_ON_REUSE is refuse, and /tmp is on a mount") {
		t.Errorf("exit code %s", code)
	}
	o.none()
}

// An image made from ours keeps the tools that it has in its user's home; a job
// that changes or removes one of them gives the container up.
func TestImageWithToolsInItsHome(t *testing.T) {
	o := newOrganization(t)
	name := image + "-tools"
	if err := build(t.TempDir(), name, "FROM "+image+`
RUN mkdir -p ~/.cargo/bin ~/.nvm/versions ~/go/bin && printf '#!/bin/sh\necho a tool\n' > ~/.cargo/bin/cargo && chmod +x ~/.cargo/bin/cargo && echo x > ~/.nvm/nvm.sh
`); err != nil {
		t.Fatal(err)
	}
	c := o.runImage(name, "--restart", "unless-stopped")
	use := "~/.cargo/bin/cargo && test -e ~/.nvm/nvm.sh && test ! -e ~/.cargo/registry && mkdir -p ~/.cargo/registry ~/.nvm/versions/20 && echo x > ~/.cargo/registry/index"
	for range 3 {
		o.ran(c, use)
	}
	c.do("stop", c.id)
	for _, harm := range []string{"echo x >> ~/.cargo/bin/cargo", "rm ~/.cargo/bin/cargo", "rm -rf ~/.nvm", "rm -rf ~/k8s; echo x > ~/bin/libcoreclr.so", "mv ~/.cargo ~/.other"} {
		c := o.runImage(name)
		o.completed(o.enqueue("coach", harm))
		c.wait()
		c.do("start", c.id)
		if code := c.wait(); code != "78" {
			t.Errorf("%s: exit code %s", harm, code)
		}
	}
	o.none()
}

// Go's module cache has folders that its owner cannot write.
func TestFoldersWithoutRights(t *testing.T) {
	o := newOrganization(t)
	c := o.runImage(sudolessImage, "--restart", "unless-stopped")
	for range 2 {
		o.ran(c, `test ! -e ~/go && test ! -e /tmp/go
for d in ~/go/mod/cache /tmp/go/mod/cache; do mkdir -p $d; echo x > $d/file; chmod 0555 $d $d/..; chmod 0 $d/../..; done`)
	}
	c.do("stop", c.id)
	o.none()
}

// What a job leaves in the file that the official runner reads is gone before the
// next start looks at it.
func TestHookThatAJobLeaves(t *testing.T) {
	o := newOrganization(t)
	c := o.runImage(sudolessImage, "--restart", "unless-stopped")
	for _, leave := range []string{"rm -f ~/.env; echo ACTIONS_RUNNER_HOOK_JOB_STARTED=/nope.sh > ~/.env", "rm -f ~/.env; mkfifo ~/.env"} {
		o.ran(c, leave)
	}
	c.do("stop", c.id)
	o.none()
}

// Under another process 1 the container is as clean, and refuses as well.
func TestReuseUnderAnInit(t *testing.T) {
	for name, args := range map[string][]string{
		"init":      {"--init"},
		"host":      {"--pid", "host"},
		"sudoless":  {"--init", "--user", "root"},
		"a wrapper": {"--entrypoint", "/bin/sh"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			run := func(args []string) *container {
				if name == "a wrapper" {
					return o.runWith(image, []string{"-c", "mkdir -p ~/.config; /usr/local/bin/org-runner; exit $?"}, args...)
				}
				return o.run(args...)
			}
			first := o.enqueue("coach", "echo x > ~/left; echo x > /tmp/left; echo x > ~/.bash_profile")
			c := run(args)
			o.completed(first)
			c.wait()
			c.do("start", c.id)
			if j := o.completed(o.enqueue("mcp", "test ! -e ~/left && test ! -e /tmp/left && test ! -e ~/.bash_profile")); j.Result != "success" {
				t.Errorf("the next job: %s", j.Log)
			}
			c.wait()

			job := o.enqueue("coach", "true")
			c = run(append(args, "-e", "RUNNER_ON_REUSE=refuse"))
			o.completed(job)
			c.wait()
			c.do("start", c.id)
			if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "RUNNER_ON_REUSE is refuse") {
				t.Errorf("refuse: exit code %s", code)
			}
			o.none()
		})
	}
}

// Whatever a job does to the notes of a life, refuse refuses, and a changed runner
// gets no token.
func TestNotesThatAJobForges(t *testing.T) {
	for name, forge := range map[string]string{
		"deleted":    `rm -rf ~/.org-runner* /run/org-runner/* /run/org-runner/.[a-z]* || true`,
		"back-dated": `for f in ~/.org-runner* /run/org-runner/*; do touch -d 2000-01-01 $f; done`,
		"dated on":   `for f in ~/.org-runner-first-start /run/org-runner/life.json; do sed -i "s/20[0-9][0-9]-[0-9-]*T/2099-01-01T/g" $f; done`,
		"released":   `date -u +%Y-%m-%dT%H:%M:%S.999999999Z -d "+1 hour" > ~/.org-runner-first-start; date -u +%Y-%m-%dT%H:%M:%SZ -d "+1 hour" >> ~/.org-runner-first-start; echo updating >> ~/.org-runner-first-start`,
		"copied":     `cp -a ~/.org-runner-first-start /tmp/note; rm ~/.org-runner-first-start; cp -a /tmp/note ~/.org-runner-first-start`,
	} {
		for kind, row := range map[string]struct{ arg, harm, want string }{
			"refuse": {"RUNNER_ON_REUSE=refuse", "true", "RUNNER_ON_REUSE is refuse"},
			"reset":  {"RUNNER_ON_REUSE=reset", "echo '# poison' >> ~/config.sh", "a job has changed /home/runner/config.sh"},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				o := newOrganization(t)
				job := o.enqueue("coach", row.harm+"\n"+forge)
				c := o.runImage(sudolessImage, "-e", row.arg)
				o.completed(job)
				c.wait()
				c.do("start", c.id)
				if code := c.wait(); code != "78" || !strings.Contains(c.logs(), row.want) {
					t.Errorf("exit code %s", code)
				}
				o.none()
			})
		}
	}
}

// In a container that root has started no link leads the reset anywhere.
func TestLinksAsRoot(t *testing.T) {
	o := newOrganization(t)
	dir := folder(t, "precious", "deep/precious")
	c := o.run("--user", "root", "--restart", "unless-stopped", "-v", dir+":/srv/mounted")
	o.ran(c, `sudo mkdir -p /srv/own && sudo touch -d 2000-01-01 /srv/own/precious
rm -rf /home/runner/_work/link /var/lib/org-runner/records
ln -s /srv/mounted /var/lib/org-runner/records; ln -s /srv/own /tmp/link; ln -s /srv/mounted /home/runner/.cache
mv /home/runner/_work /home/runner/aside && ln -s /srv/own /home/runner/_work`)
	o.ran(c, "test -e /srv/own/precious && test ! -L /home/runner/_work && test ! -L /var/lib/org-runner/records && test -d /var/lib/org-runner/records")
	o.has(dir, "precious", "deep/precious")
	c.do("stop", c.id)
	o.none()
}

// What a container job has left as root on a mount is told with a remedy that
// works.
func TestRootsFilesOnAMount(t *testing.T) {
	o := newOrganization(t)
	dir := folder(t)
	c := o.runImage(sudolessImage, "-v", dir+":/home/runner/_work")
	job := o.enqueue("coach", "pwd; until [ -e ../rooted ]; do sleep 0.1; done")
	o.until("the job's folder", func() bool {
		_, err := os.Stat(filepath.Join(dir, "coach", "coach"))
		return err == nil
	})
	c.do("exec", "--user", "root", c.id, "sh", "-c", "mkdir -p /home/runner/_work/coach/rooted && echo x > /home/runner/_work/coach/rooted/file")
	o.completed(job)
	c.wait()
	c.do("start", c.id)
	if code := c.wait(); code != "78" || !strings.Contains(c.logs(), "--entrypoint rm runner -rf -- '/home/runner/_work/coach'") {
		t.Fatalf("exit code %s", code)
	}
	o.has(dir, "coach/rooted/file")
	if _, err := try(docker, "run", "--rm", "-v", dir+":/home/runner/_work", "--user", "root", "--entrypoint", "rm", sudolessImage, "-rf", "--", "/home/runner/_work/coach"); err != nil {
		t.Fatal(err)
	}
	c.do("start", c.id)
	o.online(1)
	c.do("stop", c.id)
	o.none()
}

// A volume that the released version has used as its home starts in a container of
// this one: its runner is taken off GitHub, its note is accepted once, and what its
// jobs left is gone.
func TestVolumeOfTheReleasedVersion(t *testing.T) {
	for _, situation := range released.Names {
		t.Run(situation, func(t *testing.T) {
			o := newOrganization(t)
			v := volume(t)
			// The engine fills the volume from the image, then its first life began.
			mounted := []string{"run", "--rm", "-v", v + ":/home/runner", "--entrypoint", "sh"}
			if _, err := try(docker, append(mounted, image, "-c", "sleep 0.2; date -u +%Y-%m-%dT%H:%M:%S.%NZ > ~/.org-runner-first-start; sleep 0.2; echo poison > ~/.bash_profile; mkdir -p ~/_work/_tool; echo poison > ~/_work/_tool/poison")...); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := released.Leave(situation, dir); err != nil {
				t.Fatal(err)
			}
			// Only what is copied gets an owner: the image's files keep their times.
			if _, err := try(docker, "run", "--rm", "--user", "root", "-v", v+":/home/runner", "-v", dir+":/left", "--entrypoint", "sh", image, "-c",
				"chown -R runner /left && cp -a /left/. /home/runner/"); err != nil {
				t.Fatal(err)
			}
			old := github.AddRunner(githubtest.Runner{Scope: o.name, Name: "fleet", Ephemeral: true, Labels: []string{"other"}})
			job := o.enqueue("mcp", "test ! -e ~/.bash_profile && test ! -e ~/_work/_tool/poison && test ! -e ~/_work/coach")
			c := o.run("-v", v+":/home/runner", "-e", "RUNNER_NAME=fleet", "-e", "RUNNER_NAME_SUFFIX=none", "--restart", "unless-stopped")
			if j := o.completed(job); j.Result != "success" {
				t.Errorf("the job: %s", j.Log)
			}
			for _, r := range o.runners() {
				if r.ID == old && situation != "idle" {
					t.Error("the old runner is still there")
				}
			}
			o.ran(c, "test -x ~/config.sh; echo poison > ~/.bash_profile")
			o.ran(c, "test ! -e ~/.bash_profile")
			c.do("stop", c.id)
		})
	}
}
