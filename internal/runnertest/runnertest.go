// Package runnertest is a stand-in for the official runner's folder: config.sh,
// run.sh and a listener that keep their contract (arguments, inputs by
// environment, files, lines, exit codes, signals, hooks), with the fake of
// githubtest as their GitHub. Jobs are real processes.
package runnertest

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

//go:embed scripts
var scripts embed.FS

// Build builds the listener into a folder and returns its path.
func Build(dir string) (string, error) {
	return buildPackage(dir, "Runner.Listener", "github.com/virtuoso902/org-runner/internal/runnertest/listener")
}

// BuildProduct builds org-runner itself, laid out as the image has it: the
// binary in bin, the hook in lib/org-runner. It returns the binary's path.
func BuildProduct(dir string, flags ...string) (string, error) {
	path, err := buildPackage(filepath.Join(dir, "bin"), "org-runner", "github.com/virtuoso902/org-runner", flags...)
	if err != nil {
		return "", err
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/virtuoso902/org-runner").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	hook, err := os.ReadFile(filepath.Join(string(root[:len(root)-1]), "runner", "job-started.sh"))
	if err != nil {
		return "", err
	}
	lib := filepath.Join(dir, "lib", "org-runner")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(filepath.Join(lib, "job-started.sh"), hook, 0o755)
}

// ImageFlags are those that the image is built with. They cost the compilation of
// the whole library once more, so only what is measured is built with them.
const ImageFlags = "-trimpath -tags nethttpomithttp2"

func buildPackage(dir, name, pkg string, flags ...string) (string, error) {
	path := filepath.Join(dir, name)
	args := append([]string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", path}, flags...)
	command := exec.Command("go", append(args, pkg)...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if len(flags) > 0 && flags[0] == "-race" {
		command.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Install makes a runner folder with a listener that Build has built.
func Install(dir, listener string) error {
	if err := InstallListener(dir, listener); err != nil {
		return err
	}
	return fs.WalkDir(scripts, "scripts", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := scripts.ReadFile(path)
		if err != nil {
			return err
		}
		return writeExecutable(filepath.Join(dir, entry.Name()), data)
	})
}

// writeExecutable writes a file that can be run at once. A process that is
// forked while the file is open for writing would keep it busy ("text file
// busy").
func writeExecutable(path string, data []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, data, 0o755)
}

// InstallListener puts the listener beside scripts that are there already, such
// as the official ones; these look for three libraries of the real listener's.
func InstallListener(dir, listener string) error {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(listener)
	if err != nil {
		return err
	}
	for _, name := range []string{"Runner.Listener", "Runner.Worker"} {
		path := filepath.Join(bin, name)
		// A link where it works: a folder for each of 10,000 lives.
		if os.Link(listener, path) == nil {
			continue
		}
		if err := writeExecutable(path, data); err != nil {
			return err
		}
	}
	for _, name := range []string{"libcoreclr.so", "libSystem.Security.Cryptography.Native.OpenSsl.so", "libSystem.IO.Compression.Native.so"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}
