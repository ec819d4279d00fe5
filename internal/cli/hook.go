package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

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
	switch {
	case err != nil:
		err = fmt.Errorf("this job does not run: whether it may is for its runner to say, and %w: %w: tell who runs this runner", errNoRunner, err)
		return silent{err, refuse(call, "org-runner: "+err.Error(), exitCode(err))}
	case !reply.Allow:
		return silent{errors.New("refused"), refuse(call, reply.Message, 1)}
	case reply.Message != "":
		fmt.Fprintln(call.Stdout, reply.Message)
	}
	return runNext(call, reply.Next)
}

// interruptPatience is how long a refused job's worker may take to interrupt this
// hook: it does so at once.
const interruptPatience = 10 * time.Second

// refuse ends a job before any of its steps, and returns the hook's exit code: code,
// if the parent is no worker.
//
// A hook that fails is not enough: steps with if: always() run after it, and the
// job-completed hook. SIGTERM is the runner's shutdown for the official worker
// (seen with 2.336.0): it evaluates no condition any more, interrupts the hook,
// skips every step, and reports the job as failed with its whole log. The listener
// goes on as after any job.
func refuse(call Invocation, reason string, code int) int {
	fmt.Fprintln(call.Stdout, reason)
	fmt.Fprintln(call.Stdout, "::error title=org-runner refused this job::"+strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(reason))
	worker := os.Getppid()
	if !isWorker(worker) {
		fmt.Fprintln(call.Stdout, "org-runner: this hook was not started by the runner's worker: steps with if: always() or failure() may still run")
		return code
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	if err := syscall.Kill(worker, syscall.SIGTERM); err != nil {
		fmt.Fprintf(call.Stdout, "org-runner: the runner's worker cannot be stopped: %v: steps with if: always() or failure() may still run\n", err)
		return code
	}
	select {
	case <-interrupted:
	case <-time.After(interruptPatience):
	}
	return 1
}

// isWorker tells whether a process is the official runner's worker. After an update
// of itself its folder is bin.VERSION.
func isWorker(pid int) bool {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	program, _, _ := strings.Cut(string(line), "\x00")
	folder, _, _ := strings.Cut(filepath.Base(filepath.Dir(program)), ".")
	return filepath.Base(program) == "Runner.Worker" && folder == "bin"
}

// runNext becomes the operator's own hook: so the worker's signals reach it, and its
// exit code the worker.
func runNext(call Invocation, command []string) error {
	if len(command) == 0 {
		return nil
	}
	program, err := exec.LookPath(command[0])
	if err == nil {
		err = syscall.Exec(program, command, call.Environ)
	}
	fmt.Fprintf(call.Stdout, "org-runner: the hook %s cannot be started: %v\n", command[len(command)-1], err)
	return silent{err, 127}
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
