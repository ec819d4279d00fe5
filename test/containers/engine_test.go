//go:build linux

// Package containers is the third ring: the image built from the Dockerfile,
// under a real engine, through docker-compose.yml. The base images that the
// Dockerfile names are stand-ins made here, so nothing is pulled.
package containers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

const (
	patience  = 90 * time.Second
	goodToken = "ghp_a-good-token-of-a-container"
	image     = "org-runner-test"
	weakImage = "org-runner-test-weak"
	root      = "../.."
)

// The names of the Dockerfile.
const (
	runnerImage = "ghcr.io/actions/actions-runner:2.336.0"
	goImage     = "golang:1.26"
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

const debianImage = "org-runner-test-debian"

// makeDebian makes a small Debian with debootstrap, once on a machine.
func makeDebian(dir string) error {
	if _, err := try(docker, "image", "inspect", debianImage); err == nil {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	archive := filepath.Join(cache, "org-runner-ci", "debian.tar")
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
			return err
		}
		tree := filepath.Join(dir, "debian")
		if _, err := try("debootstrap", "--variant=minbase", "--include=bash,sudo,ca-certificates,libicu72,git", "bookworm", tree); err != nil {
			return err
		}
		if _, err := try("tar", "-C", tree, "-cf", archive+".new", "."); err != nil {
			return err
		}
		if err := os.Rename(archive+".new", archive); err != nil {
			return err
		}
	}
	_, err = try(docker, "import", archive, debianImage)
	return err
}

// build builds an image from a folder whose Dockerfile is given.
func build(dir, name, dockerfile string) error {
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	return dockerBuild("-t", name, dir)
}

// dockerBuild builds an image. An engine of that age can lose the connection in
// the middle of a build; the next try goes on from its cache.
func dockerBuild(args ...string) error {
	for left := 3; ; left-- {
		out, err := try(docker, append([]string{"build", "-q"}, args...)...)
		if err == nil || left == 1 || !strings.Contains(out, "error during connect") {
			return err
		}
	}
}

// makeGo puts this machine's Go, and the modules that the build needs, into an
// image that has what golang:1.26 has for our Dockerfile.
func makeGo(dir string) error {
	context := filepath.Join(dir, "golang")
	goroot, err := try("go", "env", "GOROOT")
	if err != nil {
		return err
	}
	modules, err := try("go", "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(context, 0o755); err != nil {
		return err
	}
	if _, err := try("go", "mod", "download"); err != nil {
		return err
	}
	if _, err := try("cp", "-a", goroot, filepath.Join(context, "go")); err != nil {
		return err
	}
	// Only our own modules, out of all that this machine has.
	download := exec.Command("go", "mod", "download")
	download.Env = append(os.Environ(), "GOMODCACHE="+filepath.Join(context, "mod"), "GOFLAGS=-modcacherw", "GOSUMDB=off", "GOPROXY=file://"+filepath.Join(modules, "cache", "download"))
	if out, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod download: %w\n%s", err, out)
	}
	return build(context, goImage, `FROM `+debianImage+`
COPY go /usr/local/go
COPY mod/cache/download /modules
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOTOOLCHAIN=local \
    GOPROXY=file:///modules GOSUMDB=off
WORKDIR /go
`)
}

// makeRunner makes what the official image is, with the stand-in runner.
func makeRunner(dir string) error {
	context := filepath.Join(dir, "runner")
	listener, err := runnertest.Build(dir)
	if err != nil {
		return err
	}
	if err := runnertest.Install(filepath.Join(context, "home"), listener); err != nil {
		return err
	}
	hostile := exec.Command("go", "build", "-o", filepath.Join(context, "hostile"), "./hostile")
	hostile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := hostile.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(context, "ca.pem"), github.CA(), 0o644); err != nil {
		return err
	}
	return build(context, runnerImage, `FROM `+debianImage+`
RUN groupadd -g 123 docker && useradd -m -u 1001 -s /bin/bash runner && usermod -aG sudo,docker runner \
 && echo '%sudo ALL=(ALL:ALL) NOPASSWD:ALL' > /etc/sudoers.d/runner
COPY --chown=runner:runner home /home/runner
COPY hostile /usr/local/bin/hostile
COPY ca.pem /tmp/ca.pem
RUN cat /tmp/ca.pem >> /etc/ssl/certs/ca-certificates.crt && rm /tmp/ca.pem
ENV RUNNER_MANUALLY_TRAP_SIG=1 ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT=1
WORKDIR /home/runner
USER runner
`)
}

// makeProduct builds our image, from the Dockerfile as it is.
func makeProduct(string) error {
	return dockerBuild("-t", image, "--build-arg", "VERSION=test", root)
}

// makeWeak is the negative control: the same image with a binary that everybody
// may read and that does not harden itself.
func makeWeak(dir string) error {
	context := filepath.Join(dir, "weak")
	if err := os.MkdirAll(context, 0o755); err != nil {
		return err
	}
	source, err := filepath.Abs(filepath.Join(root, "internal/cli/harden_linux.go"))
	if err != nil {
		return err
	}
	nothing := filepath.Join(context, "harden.go")
	if err := os.WriteFile(nothing, []byte("package cli\n\nfunc harden() {}\n"), 0o644); err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: nothing}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(context, "overlay.json"), overlay, 0o644); err != nil {
		return err
	}
	if _, err := runnertest.BuildProduct(context, "-overlay", filepath.Join(context, "overlay.json")); err != nil {
		return err
	}
	return build(context, weakImage, "FROM "+image+"\nUSER root\nCOPY bin/org-runner /usr/local/bin/org-runner\nRUN chmod 0755 /usr/local/bin/org-runner\nUSER runner\n")
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
	all := []string{"run", "-d", "-e", "GITHUB_SERVER_URL=" + github.URL(), "-e", "GITHUB_ORGANIZATION=" + o.name, "-e", "LOG_LEVEL=debug"}
	if !strings.Contains(strings.Join(args, " "), "GITHUB_TOKEN") {
		all = append(all, "-e", "GITHUB_TOKEN="+goodToken)
	}
	out, err := try(docker, append(append(all, args...), image)...)
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
