package runner

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

// The variables that name an operator's hooks: for the official runner, which knows
// the endings .sh, .ps1 and .js (actions/runner, docs/adrs/1751).
const (
	hookVariable      = "ACTIONS_RUNNER_HOOK_JOB_STARTED"
	completedVariable = "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"
)

// CheckHooks says what is wrong with the operator's hooks for the official runner in
// home, before they fail every job: an ErrConfiguration. A doubt is worth a warning.
// Where an allow list is to be enforced, nothing may take the place of our own hook.
func CheckHooks(environ []string, home string, enforced bool) (doubt string, err error) {
	file := filepath.Join(home, ".env")
	data, err := safefile.Read(file) // a job may have put a pipe there
	// The official listener prefers this file to its environment (Program.cs).
	own := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	var wrong []string
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		wrong = append(wrong, fmt.Sprintf("%s, which the official runner reads, cannot be read: %v: remove it", file, err))
	}
	for _, variable := range []string{hookVariable, completedVariable} {
		inFile := lookUp(own, variable)
		path := cmp.Or(inFile, lookUp(environ, variable))
		if path == "" {
			continue
		}
		if err := checkHook(path, home, environ); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s is %s, %v", variable, path, err))
		}
		if variable == hookVariable && inFile != "" {
			doubt = fmt.Sprintf("%s in %s takes the place of org-runner's own hook, which names the job's repository for status and records: set it as a variable of the container instead", variable, file)
		}
	}
	if doubt != "" && enforced {
		wrong = append(wrong, "ALLOWED_REPOSITORIES cannot be enforced: "+doubt)
	}
	if len(wrong) == 0 {
		return doubt, nil
	}
	return "", fmt.Errorf("%w: %s", ErrConfiguration, strings.Join(wrong, "; "))
}

func checkHook(path, home string, environ []string) error {
	command, err := hookCommand(path, home)
	switch info, statErr := os.Stat(path); {
	case err != nil:
		return err
	case errors.Is(statErr, fs.ErrNotExist):
		return errors.New("which does not exist: correct the path, or mount the file there")
	case statErr != nil:
		return fmt.Errorf("which cannot be read: %w: let the runner's user read it", statErr)
	case !info.Mode().IsRegular():
		return errors.New("which is no file: name the script itself")
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("which cannot be read: %w: let the runner's user read it", err)
	}
	file.Close()
	if filepath.Ext(path) == ".ps1" && !onPath(command[0], lookUp(environ, "PATH")) {
		return errors.New("and there is no pwsh in PATH: install PowerShell, or use a .sh hook")
	}
	return nil
}

// hookCommand is the command line with which the official runner starts a hook
// (ScriptHandlerHelpers.cs). A .js hook runs with the runner's own node.
func hookCommand(path, home string) ([]string, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("which is no path that begins with /: a hook runs in its job's folder")
	}
	switch filepath.Ext(path) {
	case ".sh":
		return []string{"bash", "--noprofile", "--norc", "-e", "-o", "pipefail", path}, nil
	case ".ps1":
		return []string{"pwsh", "-command", ". '" + strings.ReplaceAll(path, "'", "''") + "'"}, nil
	case ".js":
		if node := ownNode(home); node != "" {
			return []string{node, path}, nil
		}
		return nil, fmt.Errorf("and there is no node in %s: unpack the official runner again, or use a .sh hook", filepath.Join(home, "externals"))
	}
	return nil, errors.New("and a hook's name ends in .sh, .ps1 or .js: rename it")
}

// ownNode finds the official runner's node: node20, which its own hooks run with, or
// else the newest; "" if there is none.
func ownNode(home string) string {
	found, _ := filepath.Glob(filepath.Join(home, "externals", "node*", "bin", "node"))
	newest, version := "", 0
	for _, path := range found {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(path))), "node"))
		switch {
		case err != nil: // another system's, as node20_alpine
		case n == 20:
			return path
		case n > version:
			newest, version = path, n
		}
	}
	return newest
}

// lookUp returns a variable's value; where it stands twice the later one counts.
func lookUp(environ []string, name string) (value string) {
	for _, variable := range environ {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			value = v
		}
	}
	return value
}

func onPath(program, path string) bool {
	return slices.ContainsFunc(filepath.SplitList(path), func(dir string) bool {
		_, err := exec.LookPath(filepath.Join(dir, program))
		return dir != "" && err == nil
	})
}
