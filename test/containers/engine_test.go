//go:build linux

// Package containers is the third ring: the image built from the Dockerfile,
// under a real engine, through docker-compose.yml. What it is given in place of its
// base images is made here, so nothing is pulled.
package containers

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

const (
	patience      = 90 * time.Second
	goodToken     = "ghp_a-good-token-of-a-container"
	image         = "org-runner-test"
	weakImage     = "org-runner-test-weak"
	sudolessImage = "org-runner-test-sudoless"
	root          = "../.."
)

var (
	missing string // why there is no engine
	docker  = "docker"
	github  *githubtest.Server
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("/usr/bin/docker"); err == nil {
		docker = "/usr/bin/docker" // the one that belongs to the engine, where there are two
	}
	if out, err := exec.Command(docker, "info").CombinedOutput(); err != nil {
		missing = "no container engine: " + reason(out, err)
	}
	os.Setenv("DOCKER_BUILDKIT", "1")
	if missing == "" && !haveDebian() {
		missing = "no debootstrap, which makes the base of the images"
	}
	code := 1
	if missing == "" {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "the images cannot be made:", err)
			os.Exit(1)
		}
		defer github.Close()
	}
	code = m.Run()
	os.Exit(code)
}

// reason finds the line that says why there is no engine.
func reason(out []byte, err error) string {
	for line := range strings.Lines(string(out)) {
		if _, text, found := strings.Cut(line, "ERROR: "); found {
			return strings.TrimSpace(text)
		}
	}
	if line := strings.TrimSpace(lastLine(out)); line != "" {
		return line
	}
	return err.Error()
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// needEngine skips a test without an engine; where one is promised, it fails.
func needEngine(t testing.TB) {
	t.Helper()
	if missing == "" {
		return
	}
	if os.Getenv("ORG_RUNNER_REQUIRE_ENGINE") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

func try(name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	out, err := command.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// prepare starts the fake where containers reach it, and makes the images.
func prepare() error {
	gateway, err := bridgeAddress()
	if err != nil {
		return err
	}
	// On the bridge's own address: nobody outside of this machine reaches it.
	if github, err = githubtest.Start(githubtest.Options{Addr: gateway + ":0", TLSHosts: []string{gateway}, LostAfter: 5 * time.Second}); err != nil {
		return err
	}
	github.AddToken(githubtest.Token{Value: goodToken})
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	removeLeftovers()
	for _, step := range []func(string) error{makeDebian, makeGo, makeRunner, makeProduct, makeWeak} {
		if err := step(dir); err != nil {
			return err
		}
	}
	return nil
}

// bridgeAddress is this machine's address on the engine's default bridge.
func bridgeAddress() (string, error) {
	name, err := try(docker, "network", "inspect", "bridge", "--format", `{{index .Options "com.docker.network.bridge.name"}}`)
	if err != nil {
		return "", err
	}
	bridge, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	addresses, err := bridge.Addrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil {
			return network.IP.String(), nil
		}
	}
	return "", fmt.Errorf("the bridge %s has no address", name)
}

// removeLeftovers ends the containers of a run that was killed: under a restart
// policy they come back with the engine.
func removeLeftovers() {
	for _, name := range []string{image, weakImage} {
		if out, err := try(docker, "ps", "-aq", "--filter", "ancestor="+name); err == nil && out != "" {
			_, _ = try(docker, append([]string{"rm", "-f", "-v"}, strings.Fields(out)...)...)
		}
	}
}

// organization is a test's own part of the fake.
type organization struct {
	t    testing.TB
	name string
}

func newOrganization(t testing.TB) *organization {
	t.Helper()
	needEngine(t)
	o := &organization{t, "org-" + strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name()))}
	github.AddOrganization(o.name)
	github.AddRepository(o.name + "/coach")
	github.AddRepository(o.name + "/mcp")
	return o
}

func (o *organization) runners() (all []githubtest.Runner) {
	for _, r := range github.Runners() {
		if r.Scope == o.name {
			all = append(all, r)
		}
	}
	return all
}

func (o *organization) none() {
	o.t.Helper()
	if left := o.runners(); len(left) > 0 {
		o.t.Errorf("runners are left at GitHub: %+v", left)
	}
}

func (o *organization) enqueue(repository string, steps ...string) int64 {
	return github.Enqueue(githubtest.Job{Repository: o.name + "/" + repository, Steps: steps})
}

func (o *organization) until(what string, condition func() bool) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if github.WaitFor(ctx, condition) != nil {
		o.t.Fatalf("never came: %s\nrunners %+v", what, o.runners())
	}
}

func (o *organization) online(n int) {
	o.t.Helper()
	o.until(fmt.Sprint(n, " runners that listen"), func() bool {
		count := 0
		for _, r := range o.runners() {
			if r.Online {
				count++
			}
		}
		return count == n
	})
}

func (o *organization) completed(id int64) githubtest.Job {
	o.t.Helper()
	o.until("the job's end", func() bool { return github.Job(id).Status == "completed" })
	return github.Job(id)
}

// again waits until the engine has started again what a job has ended, and n runners
// listen. An engine sends no signal to a container that it is about to start: a stop
// in between is lost until it kills.
func (o *organization) again(j githubtest.Job, n int) {
	o.t.Helper()
	o.until("the end of the job's runner", func() bool {
		return !slices.ContainsFunc(o.runners(), func(r githubtest.Runner) bool { return r.ID == j.RunnerID })
	})
	o.online(n)
}

func (o *organization) running(id int64) {
	o.t.Helper()
	o.until("the job's start", func() bool { return github.Job(id).Status == "in_progress" })
}

// container is one that docker run has started.
type container struct {
	t  testing.TB
	id string
}

// run starts a container of the image with the organization's configuration.
func (o *organization) run(args ...string) *container {
	o.t.Helper()
	return o.runImage(image, args...)
}

func (o *organization) runImage(image string, args ...string) *container {
	o.t.Helper()
	return o.runWith(image, nil, args...)
}

// runWith gives the image's entrypoint arguments.
func (o *organization) runWith(image string, command []string, args ...string) *container {
	o.t.Helper()
	all := []string{"run", "-d", "-e", "GITHUB_SERVER_URL=" + github.URL(), "-e", "GITHUB_ORGANIZATION=" + o.name, "-e", "LOG_LEVEL=debug"}
	if !strings.Contains(strings.Join(args, " "), "GITHUB_TOKEN") {
		all = append(all, "-e", "GITHUB_TOKEN="+goodToken)
	}
	out, err := try(docker, append(append(append(all, args...), image), command...)...)
	if err != nil {
		o.t.Fatal(err)
	}
	c := &container{o.t, lastLine([]byte(out))}
	o.t.Cleanup(func() {
		if o.t.Failed() {
			o.t.Logf("logs:\n%s", c.logs())
		}
		_, _ = try(docker, "rm", "-f", "-v", c.id)
	})
	return c
}

func (c *container) do(args ...string) string {
	c.t.Helper()
	out, err := try(docker, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *container) logs() string {
	out, _ := exec.Command(docker, "logs", c.id).CombinedOutput()
	return string(bytes.ToValidUTF8(out, []byte("?")))
}

func (c *container) inspect(format string) string {
	return c.do("inspect", "--format", format, c.id)
}

// wait waits for the container's end and returns its exit code.
func (c *container) wait() string {
	c.t.Helper()
	return c.do("wait", c.id)
}

// masked hands secrets to the hostile program.
func masked(secrets []string) string {
	var all []string
	for _, s := range secrets {
		b := []byte(s)
		for i := range b {
			b[i] ^= 0x5a
		}
		all = append(all, hex.EncodeToString(b))
	}
	return strings.Join(all, " ")
}
