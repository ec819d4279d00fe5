package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/runner"
)

// hook is what job-started.sh calls before a job's first step. It asks the life
// whether the job may run: whoever does not get a yes does not run. Its output
// is shown in the job's step "Set up runner".
func hook(call Invocation) error {
	if len(call.Args) != 1 || call.Args[0] != "job-started" {
		return fmt.Errorf("%w: org-runner hook job-started", errUsage)
	}
	job := config.ReadHook(call.Environ)
	reply, err := runner.Ask(job.Socket, runner.Request{
		Ask: "job-started", Repository: job.Repository, Workflow: records.Bounded(job.Workflow), RunID: job.RunID, RunURL: job.RunURL, Attempt: job.Attempt, Actor: job.Actor,
	})
	if err != nil {
		return fmt.Errorf("this job does not run: whether it may is for its runner to say, and %w: %w: tell who runs this runner", errNoRunner, err)
	}
	if reply.Message != "" {
		fmt.Fprintln(call.Stdout, reply.Message)
	}
	if !reply.Allow {
		return silent{fmt.Errorf("refused"), 1}
	}
	return runNext(call, reply.Next)
}

// runNext runs the operator's own hook as the official runner would have
// (actions/runner, ScriptHandlerHelpers.cs), and ends with its exit code.
func runNext(call Invocation, path string) error {
	if path == "" {
		return nil
	}
	var command *exec.Cmd
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".sh":
		command = exec.Command("bash", "-e", path)
	case ".ps1":
		command = exec.Command("pwsh", "-command", ". '"+path+"'")
	case ".js":
		command = exec.Command("node", path)
	default:
		return fmt.Errorf("ACTIONS_RUNNER_HOOK_JOB_STARTED is %s: a hook's name ends in .sh, .ps1 or .js", path)
	}
	command.Env, command.Stdin, command.Stdout, command.Stderr = call.Environ, call.Stdin, unmasked(call.Stdout), unmasked(call.Stderr)
	if err := command.Run(); err != nil {
		if code := command.ProcessState; code != nil && code.ExitCode() > 0 {
			return silent{err, code.ExitCode()}
		}
		return fmt.Errorf("the hook %s: %w", path, err)
	}
	return nil
}

// libFile returns the path of a file that the image installs beside bin, as
// /usr/local/lib/org-runner is to /usr/local/bin; "" if it is not there.
func libFile(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), "..", "lib", "org-runner", name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}
