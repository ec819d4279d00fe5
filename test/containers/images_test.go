//go:build linux

package containers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// What the Dockerfile is given in place of its base images. The names are the tests'
// own: whoever builds the product on the same engine gets the true ones.
const (
	runnerName    = "org-runner-test-actions-runner"
	runnerVersion = "2.336.0"
	runnerImage   = runnerName + ":" + runnerVersion
	goImage       = "org-runner-test-go"
)

const debianImage = "org-runner-test-debian"

// debianArchive is where a Debian is kept that was made once.
func debianArchive() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "org-runner-ci", "debian.tar"), err
}

// haveDebian tells whether one is there, or can be made.
func haveDebian() bool {
	if _, err := try(docker, "image", "inspect", debianImage); err == nil {
		return true
	}
	if archive, err := debianArchive(); err == nil {
		if _, err := os.Stat(archive); err == nil {
			return true
		}
	}
	_, err := exec.LookPath("debootstrap")
	return err == nil
}

// makeDebian makes a small Debian with debootstrap, once on a machine.
func makeDebian(dir string) error {
	if _, err := try(docker, "image", "inspect", debianImage); err == nil {
		return nil
	}
	archive, err := debianArchive()
	if err != nil {
		return err
	}
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

// makeProduct builds our image, from the Dockerfile as it is, with sudo and without.
func makeProduct(string) error {
	args := []string{"--build-arg", "VERSION=test", "--build-arg", "RUNNER_VERSION=" + runnerVersion,
		"--build-arg", "RUNNER_IMAGE=" + runnerName, "--build-arg", "GO_IMAGE=" + goImage}
	if err := dockerBuild(append(args, "-t", image, root)...); err != nil {
		return err
	}
	return dockerBuild(append(args, "-t", sudolessImage, "--build-arg", "SUDO=false", root)...)
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
