package runnertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// FetchOfficial copies the official runner, which is in a folder or in an image (of
// an engine that docker speaks to), to a folder that nobody runs it in.
func FetchOfficial(source, to string) error {
	if _, err := os.Stat(filepath.Join(source, "bin", "Runner.Listener")); err == nil {
		return run("cp", "-a", source, to)
	}
	if strings.HasPrefix(source, "/") || strings.HasPrefix(source, ".") {
		return fmt.Errorf("ORG_RUNNER_OFFICIAL=%s: there is no bin/Runner.Listener in it: unpack a release of actions/runner there", source)
	}
	out, err := exec.Command("docker", "create", source).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return fmt.Errorf("ORG_RUNNER_OFFICIAL=%s is no folder, and no image: docker create: %w", source, err)
	}
	id := strings.TrimSpace(string(out))
	defer func() { _ = exec.Command("docker", "rm", "-f", id).Run() }()
	return run("docker", "cp", id+":/home/runner", to)
}

// CopyOfficial makes a runner's folder of what FetchOfficial has fetched: links to
// the folders that no life writes to, which hold hundreds of megabytes, and copies of
// the rest.
func CopyOfficial(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains(used, entry.Name()) {
			continue
		}
		path := filepath.Join(from, entry.Name())
		if entry.IsDir() && run("cp", "-al", path, to) == nil {
			continue
		}
		if err := run("cp", "-a", path, to); err != nil {
			return err
		}
	}
	return nil
}

// used is what a folder has that somebody has run the runner in.
var used = []string{".runner", ".credentials", ".credentials_rsaparams", ".env", ".path", "_work", "_diag", "run-helper.sh"}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
