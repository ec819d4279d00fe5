package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// step is one step of a job, hooks included.
type step struct {
	name, condition  string
	continueOnError  bool
	command          []string
	failedBeforehand string // why it cannot run
}

// plan lists a job's steps. Hooks have the condition always(): what a
// cancellation does not end.
func (w *worker) plan() (all []step) {
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_STARTED"); hook != "" {
		all = append(all, w.hook("Set up runner", "started", hook))
	}
	steps := w.order.Job.Plan
	if len(steps) == 0 {
		for _, script := range w.order.Job.Steps {
			steps = append(steps, githubtest.Step{Run: script})
		}
	}
	for i, s := range steps {
		path := filepath.Join(w.temp, guid()+".sh")
		one := step{name: fmt.Sprintf("step %d", i+1), condition: s.If, continueOnError: s.ContinueOnError, command: []string{"bash", "-e", path}}
		if err := os.WriteFile(path, []byte(s.Run+"\n"), 0o644); err != nil {
			one.failedBeforehand = err.Error()
		}
		all = append(all, one)
	}
	if hook := os.Getenv("ACTIONS_RUNNER_HOOK_JOB_COMPLETED"); hook != "" {
		all = append(all, w.hook("Complete runner", "completed", hook))
	}
	return all
}

// hook is a hook's step (ScriptHandlerHelpers.cs, JobHookProvider.cs).
func (w *worker) hook(name, when, path string) step {
	s := step{name: name, condition: "always()"}
	switch {
	case !slices.Contains([]string{".sh", ".ps1", ".js"}, filepath.Ext(path)):
		s.failedBeforehand = path + " is not a valid path to a script. Make sure it ends in '.sh', '.ps1' or '.js'."
	case !exists(path):
		s.failedBeforehand = "File doesn't exist"
	case filepath.Ext(path) == ".sh":
		s.command = []string{"bash", "--noprofile", "--norc", "-e", "-o", "pipefail", path}
	case filepath.Ext(path) == ".ps1":
		s.command = []string{"pwsh", "-command", ". '" + path + "'"}
	default:
		s.command = []string{filepath.Join(w.root, "externals", "node20", "bin", "node"), path}
	}
	w.notes = append(w.notes, "A job "+when+" hook has been configured by the self-hosted runner administrator")
	return s
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// run runs the steps and returns the job's result: success, failure, cancelled
// or shutdown. After a shutdown no condition is evaluated, and no step runs.
func (w *worker) run(all []step) string {
	now := status{}
	for _, s := range all {
		if w.shutDown() {
			w.told(s, "skipped")
			continue
		}
		now.cancelled = closed(w.cancelled)
		runs, err := met(s.condition, now)
		switch {
		case err != nil:
			w.log.say("##[error]%s", err)
			w.told(s, "failure")
			now.failed = true
			continue
		case !runs:
			w.told(s, "skipped")
			continue
		}
		result := w.one(s, now)
		if result == "failure" && s.continueOnError {
			result = "success"
		}
		w.told(s, result)
		now.failed = now.failed || result == "failure"
	}
	switch {
	case w.shutDown():
		return "shutdown"
	case closed(w.cancelled):
		return "cancelled"
	case now.failed:
		return "failure"
	}
	return "success"
}

func (w *worker) told(s step, result string) {
	w.outcomes = append(w.outcomes, githubtest.Outcome{Step: s.name, Result: result})
}

// one runs one step. A cancellation at GitHub ends it only if its condition does
// not hold for a cancelled job; a shutdown ends every one.
func (w *worker) one(s step, before status) string {
	w.log.say("##[group]Run %s", strings.Join(s.command, " "))
	w.log.say("##[endgroup]")
	if s.failedBeforehand != "" {
		w.log.say("##[error]%s", s.failedBeforehand)
		return "failure"
	}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		cancelled := w.cancelled
		for {
			select {
			case <-done:
				return
			case <-w.shutdown:
			case <-cancelled:
				cancelled = nil
				before.cancelled = true
				if goesOn, err := met(s.condition, before); err == nil && goesOn {
					continue
				}
			}
			close(end)
			return
		}
	}()
	code := w.invoke(end, s.command[0], s.command[1:]...)
	close(done)
	switch {
	case closed(end):
		w.log.say("##[error]The operation was canceled.")
		return "cancelled"
	case code != 0:
		w.log.say("##[error]Process completed with exit code %d.", code)
		return "failure"
	}
	return "success"
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
