//go:build linux

package containers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

func TestTheImage(t *testing.T) {
	needEngine(t)
	out, err := try(docker, "run", "--rm", "--entrypoint", "stat", image, "-c", "%U:%G %a %n", "/usr/local/bin/org-runner", "/usr/local/lib/org-runner/job-started.sh", "/run/org-runner", "/home/runner/_work", "/home/runner/_work/_tool")
	if err != nil {
		t.Fatal(err)
	}
	want := "root:root 711 /usr/local/bin/org-runner\nroot:root 755 /usr/local/lib/org-runner/job-started.sh\nrunner:root 775 /run/org-runner\nrunner:root 775 /home/runner/_work\nrunner:root 775 /home/runner/_work/_tool"
	if out != want {
		t.Errorf("the files are\n%s\nwant\n%s", out, want)
	}
	if out, err = try(docker, "run", "--rm", image, "version"); err != nil || !strings.HasPrefix(out, "org-runner test\n") || !strings.Contains(out, "2.336.0") {
		t.Errorf("version: %s, %v", out, err)
	}
	if out, err = try(docker, "run", "--rm", "--user", "root", "--entrypoint", "ldd", image, "/usr/local/bin/org-runner"); err == nil || !strings.Contains(out, "not a dynamic executable") {
		t.Errorf("ldd says %s", out)
	}
}

func TestStopIdle(t *testing.T) {
	for _, user := range []string{"runner", "root"} {
		t.Run(user, func(t *testing.T) {
			o := newOrganization(t)
			c := o.run("--user", user)
			o.online(1)
			began := time.Now()
			c.do("stop", c.id)
			t.Logf("docker stop of an idle container took %s", time.Since(began).Round(time.Millisecond))
			if code := c.wait(); code != "0" {
				t.Errorf("exit code %s", code)
			}
			o.none()
		})
	}
}

// Four seconds fit into docker's default of ten.
func TestStopBusyWithTime(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "sleep 4; echo finished")
	c := o.run()
	o.running(job)
	c.do("stop", c.id)
	if j := github.Job(job); j.Result != "success" || !strings.Contains(j.Log, "finished") {
		t.Errorf("the job: %+v", j)
	}
	if code := c.wait(); code != "0" {
		t.Errorf("exit code %s", code)
	}
	o.none()
}

// A job that outlives docker's default of ten seconds is told to GitHub, and nothing
// is left, whether its step hears the signals or not.
func TestStopBusyWithoutTime(t *testing.T) {
	for name, step := range map[string]string{
		"it ends on SIGINT": "trap 'echo interrupted; exit 1' INT; echo ready; sleep 600 & wait",
		"a plain step":      "sleep 300",
		"root's by sudo":    "sudo -n sleep 300",
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			job := o.enqueue("coach", step)
			c := o.run()
			o.running(job)
			time.Sleep(2 * time.Second) // the step is there by then; nothing outside tells
			c.do("stop", c.id)
			j := github.Job(job)
			if !j.Shutdown || j.Result != "failure" || strings.HasPrefix(step, "trap") && !strings.Contains(j.Log, "interrupted") {
				t.Errorf("the job: %+v", j)
			}
			if code := c.wait(); code != "0" {
				t.Errorf("exit code %s", code)
			}
			o.none()
		})
	}
}

// Between two jobs of one container what the first has left running is ended, root's
// too; what an operator has started in it is left alone.
func TestNothingOfAJobRunsBesideTheNext(t *testing.T) {
	o := newOrganization(t)
	first := o.enqueue("coach", "env -u RUNNER_TRACKING_ID setsid sleep 777 > /dev/null 2>&1 < /dev/null & sudo -n env -u RUNNER_TRACKING_ID setsid sleep 778 > /dev/null 2>&1 < /dev/null & sleep 1")
	c := o.run("--env", "EPHEMERAL=false")
	c.do("exec", "-d", c.id, "sleep", "779")
	if j := o.completed(first); j.Result != "success" {
		t.Fatalf("the job: %+v", j)
	}
	second := o.enqueue("coach", "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2> /dev/null")
	j := o.completed(second)
	for program, want := range map[string]bool{"sleep 777": false, "sleep 778": false, "sleep 779": true} {
		if got := strings.Contains(j.Log, program+" "); got != want {
			t.Errorf("%s runs beside the next job: %t\n%s", program, got, j.Log)
		}
	}
	c.do("stop", c.id)
	if code := c.wait(); code != "0" {
		t.Errorf("exit code %s", code)
	}
	o.none()
}

func TestKilledContainerIsRepaired(t *testing.T) {
	o := newOrganization(t)
	c := o.run()
	o.online(1)
	before := o.runners()[0]
	c.do("kill", "-s", "KILL", c.id)
	c.wait()
	job := o.enqueue("coach", "true")
	c.do("start", c.id)
	if j := o.completed(job); j.Result != "success" || j.RunnerID == before.ID {
		t.Errorf("the job: %+v", j)
	}
	c.wait()
	o.none()
}

func TestWrongToken(t *testing.T) {
	o := newOrganization(t)
	c := o.run("-e", "GITHUB_TOKEN=ghp_wrong-one")
	if code := c.wait(); code != "77" {
		t.Errorf("exit code %s", code)
	}
	if logs := c.logs(); !strings.Contains(logs, "the token is wrong, expired or revoked") || strings.Contains(logs, "ghp_wrong-one") {
		t.Errorf("the log says\n%s", logs)
	}
}

func TestAllowedRepositories(t *testing.T) {
	for name, user := range map[string][]string{"plain": nil, "root": {"--user", "root"}, "no capabilities": {"--cap-drop", "ALL", "--security-opt", "no-new-privileges"}} {
		t.Run(name, func(t *testing.T) {
			o := newOrganization(t)
			hook := filepath.Join(t.TempDir(), "own.sh")
			if err := os.WriteFile(hook, []byte("echo the operator\\'s own hook\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			args := append(user, "-e", "ALLOWED_REPOSITORIES=mcp", "-v", hook+":/own.sh:ro", "-e", "ACTIONS_RUNNER_HOOK_JOB_STARTED=/own.sh", "-e", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED=/own.sh")
			refused := github.Enqueue(githubtest.Job{Repository: o.name + "/coach", Plan: []githubtest.Step{{Run: "echo ran anyway"}, {Run: "echo ran anyway", If: "always()"}, {Run: "echo ran anyway", If: "failure()"}}})
			c := o.run(args...)
			j := o.completed(refused)
			if j.Result != "failure" || strings.Contains(j.Log, "ran anyway") || strings.Contains(j.Log, "own hook") || !strings.Contains(j.Log, o.name+"/coach may not run") || !strings.Contains(j.Log, o.name+"/mcp") {
				t.Errorf("the job of another repository: %+v", j)
			}
			if code := c.wait(); code != "0" {
				t.Errorf("exit code %s", code)
			}
			admitted := o.enqueue("mcp", "echo ran")
			c = o.run(args...)
			if j := o.completed(admitted); j.Result != "success" || strings.Count(j.Log, "the operator's own hook") != 2 || !strings.Contains(j.Log, "ran") {
				t.Errorf("the job of its own: %+v", j)
			}
			c.wait()
			o.none()
		})
	}
}

func TestReadOnlyContainer(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "true")
	// The runner's folder has to be writable: a volume, filled from the image.
	c := o.run("--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/run/org-runner:uid=1001", "-v", "/home/runner")
	if j := o.completed(job); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
	if code := c.wait(); code != "0" {
		t.Errorf("exit code %s", code)
	}
	o.none()
}

// What the engine says of the container's health, with the reason.
func TestHealth(t *testing.T) {
	o := newOrganization(t)
	c := o.run("--health-interval", "1s")
	o.online(1)
	for deadline := time.Now().Add(patience); c.inspect("{{.State.Health.Status}}") != "healthy"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never healthy: %s", c.inspect("{{json .State.Health}}"))
		}
	}
	if health := c.inspect("{{json .State.Health.Log}}"); !strings.Contains(health, "idle for") {
		t.Errorf("the health log says %s", health)
	}
	if out := c.do("exec", c.id, "org-runner", "status"); !strings.Contains(out, "idle") || !strings.Contains(out, "ephemeral-org-runner-") {
		t.Errorf("status says\n%s", out)
	}
	c.do("stop", c.id)
	o.none()
}

// An unhealthy container says why: registration fails, the connection is gone.
func TestHealthSaysWhy(t *testing.T) {
	o := newOrganization(t)
	github.SetDown(true)
	defer github.SetDown(false)
	c := o.run("--health-interval", "1s", "--health-start-period", "1ms", "--health-retries", "2")
	for deadline := time.Now().Add(patience); c.inspect("{{.State.Health.Status}}") != "unhealthy"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never unhealthy: %s", c.inspect("{{json .State.Health}}"))
		}
	}
	if health := c.inspect("{{json .State.Health.Log}}"); !strings.Contains(health, "registering for") || !strings.Contains(health, "actions/runners/registration-token") {
		t.Errorf("the health log says %s", health)
	}
	github.SetDown(false)
	o.online(1)
	for deadline := time.Now().Add(patience); c.inspect("{{.State.Health.Status}}") != "healthy"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never healthy again: %s", c.inspect("{{json .State.Health}}"))
		}
	}
	c.do("stop", c.id)
	o.none()
}

// docker run with an env file, as the README has it.
func TestEnvFile(t *testing.T) {
	o := newOrganization(t)
	path := filepath.Join(t.TempDir(), "env")
	text := "# a comment\nGITHUB_SERVER_URL=" + github.URL() + "\nGITHUB_ORGANIZATION=" + o.name + "\nGITHUB_TOKEN=" + goodToken + "\nLABELS=gpu,org-runner\nRUNNER_GROUP=\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := try(docker, "run", "-d", "--env-file", path, image)
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t, lastLine([]byte(out))}
	t.Cleanup(func() { _, _ = try(docker, "rm", "-f", "-v", c.id) })
	o.online(1)
	if labels := strings.Join(o.runners()[0].Labels, ","); !strings.Contains(labels, "gpu,org-runner") {
		t.Errorf("labels %s", labels)
	}
	// The commands work beside it, and in a container of their own.
	if out := c.do("run", "--rm", "--env-file", path, image, "check"); !strings.Contains(out, "0 failures") {
		t.Errorf("check says\n%s", out)
	}
	if out := c.do("exec", c.id, "org-runner", "org-status"); !strings.Contains(out, "1 runner, 1 of this fleet: 0 busy, 1 idle, 0 offline") {
		t.Errorf("org-status says\n%s", out)
	}
	if out := c.do("exec", c.id, "org-runner", "status"); !strings.Contains(out, "at GitHub      online") {
		t.Errorf("status says\n%s", out)
	}
	c.do("stop", c.id)
	o.none()
}

// Where the engine's socket is mounted, a runner that root starts gets its group.
func TestSocketGroup(t *testing.T) {
	o := newOrganization(t)
	job := o.enqueue("coach", "id -G; test -w /var/run/docker.sock")
	socket := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	if socket == "" {
		socket = "/var/run/docker.sock"
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	gid := fmt.Sprint(info.Sys().(*syscall.Stat_t).Gid)
	c := o.run("--user", "root", "-v", socket+":/var/run/docker.sock")
	j := o.completed(job)
	if j.Result != "success" || !strings.Contains(" "+strings.ReplaceAll(j.Log, "\n", " ")+" ", " "+gid+" ") {
		t.Errorf("the socket's group is %s, the job says %s", gid, j.Log)
	}
	c.wait()
	o.none()
}

// The hostile job finds no secret, however it was given; against a weakened
// image the same program finds some. Where it may, it looks as root too.
func TestHostileJob(t *testing.T) {
	needEngine(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(goodToken+"\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	key, app := newApp(t)
	for _, row := range []struct {
		name, image string
		sudo, weak  bool
		args        []string
	}{
		{"token", image, true, false, nil},
		{"token with JIT", image, true, false, []string{"-e", "RUNNER_REGISTRATION=jit"}},
		{"App", image, true, false, []string{"-e", "GITHUB_TOKEN=", "-e", "GITHUB_APP_ID=" + app, "-e", "GITHUB_APP_PRIVATE_KEY=" + key}},
		// Root's file and root's processes are out of reach for a job without sudo.
		{"file, as root", sudolessImage, false, false, []string{"--user", "root", "-v", file + ":/run/secrets/token:ro", "-e", "GITHUB_TOKEN_FILE=/run/secrets/token"}},
		{"weakened", weakImage, true, true, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrganization(t)
			installApp(o.name)
			// Those of this life: what earlier ones had is not in this container, and an
			// argument can only be so long.
			earlier := len(github.Secrets())
			c := o.runImage(row.image, row.args...)
			o.online(1)
			secrets := masked(append(append(github.Secrets()[earlier:], goodToken), keyLines(key)...))
			script := "hostile 10 " + secrets
			if row.sudo {
				script += "; sudo -n hostile 3 " + secrets
			} else {
				script += "; if sudo -n cat /run/secrets/token; then echo FOUND by sudo; fi"
			}
			job := o.enqueue("coach", script)
			o.running(job)
			// Processes that get the whole configuration come and go meanwhile.
			for github.Job(job).Status == "in_progress" {
				_, _ = try(docker, "exec", c.id, "org-runner", "healthcheck")
				_, _ = try(docker, "exec", c.id, "org-runner", "status")
			}
			log := github.Job(job).Log
			if !strings.Contains(log, "as uid 1001") || row.sudo && !strings.Contains(log, "as uid 0") {
				t.Fatalf("the hostile program did not run: %s", log)
			}
			if strings.Contains(log, "FOUND") != row.weak {
				t.Errorf("the hostile job says\n%s", log)
			}
			c.wait()
			for _, secret := range github.Secrets() {
				if strings.Contains(c.logs(), secret) {
					t.Error("the log holds a secret")
				}
			}
			o.none()
		})
	}
}

// newApp makes a GitHub App, and returns its key as an env file has it.
func newApp(t *testing.T) (key, id string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	github.AddApp(githubtest.App{ID: "4711", Key: &private.PublicKey, Installations: map[string]int64{},
		Permissions: map[string]string{"organization_self_hosted_runners": "write"}})
	return strings.ReplaceAll(string(text), "\n", `\n`), "4711"
}

func installApp(organization string) { github.Install("4711", organization) }

// keyLines are the parts of a key that would give it away.
func keyLines(key string) []string {
	lines := strings.Split(key, `\n`)
	return lines[1 : len(lines)-2]
}
