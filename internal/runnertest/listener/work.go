package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// order is what a worker is told by its listener; after it may come words: cancel
// or shutdown. A listener that is gone says nothing more, and the worker goes on.
type order struct {
	Job      job
	Settings settings
}

// worker runs one job: the started hook, the steps, the completed hook. It
// reports by itself.
type worker struct {
	root     string
	order    order
	env      []string
	dir      string // of the repository
	temp     string
	tracking string
	notes    []string
	log      logBuffer
	outcomes []githubtest.Outcome

	cancelling, stopping sync.Once
	cancelled, shutdown  chan struct{}
}

// The exit codes of the official worker (TaskResultUtil.cs).
const (
	succeeded = 100
	failed    = 102
	canceled  = 103
)

// work is Runner.Worker spawnclient IN OUT: two descriptors, of which the second
// is not used.
func work(root string) int {
	term.who = "WORKER"
	in, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return fail("%s", err)
	}
	w := &worker{root: root, tracking: "github_" + guid(), cancelled: make(chan struct{}), shutdown: make(chan struct{})}
	w.watchSignals()
	term.open(root, "Worker")
	syscall.CloseOnExec(in)
	decoder := json.NewDecoder(os.NewFile(uintptr(in), "listener"))
	if err := decoder.Decode(&w.order); err != nil {
		return fail("%s", err)
	}
	message, _ := json.MarshalIndent(w.order.Job, "", "  ")
	term.trace("Worker", "Job message:\n%s", message)
	term.chatter("HostContext", 280)
	go func() {
		var word string
		for decoder.Decode(&word) == nil {
			w.hear(word)
		}
	}()
	time.Sleep(pace(workerStart))
	if err := w.prepare(); err != nil {
		term.trace("Worker", "%s", err)
		return w.report("failure")
	}
	all := w.plan()
	for _, note := range w.notes {
		w.log.say("%s", note)
	}
	result := w.run(all)
	w.terminateOrphans()
	empty(w.temp)
	time.Sleep(pace(reportTime))
	return w.report(result)
}

// watchSignals: an interrupt leaves the worker alone, so that its listener can
// end the job; SIGTERM is the runner's shutdown. A standard output that nobody
// reads any more is no reason to end.
func (w *worker) watchSignals() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGINT) {
		signal.Notify(signals, syscall.SIGINT)
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				w.hear("shutdown")
			}
		}
	}()
}

func (w *worker) hear(word string) {
	if word != "shutdown" {
		w.cancelling.Do(func() { close(w.cancelled) })
		return
	}
	w.stopping.Do(func() {
		w.log.say("##[error]The runner has received a shutdown signal. This can happen when the runner service is stopped, or a manually started runner is canceled.")
		close(w.shutdown)
	})
}

func (w *worker) shutDown() bool { return closed(w.shutdown) }

// prepare makes the folders, files and default variables.
func (w *worker) prepare() error {
	s, j := w.order.Settings, w.order.Job
	work := s.WorkFolder
	if !filepath.IsAbs(work) {
		work = filepath.Join(w.root, work)
	}
	owner, name, _ := strings.Cut(j.Repository, "/")
	w.dir, w.temp = filepath.Join(work, name, name), filepath.Join(work, "_temp")
	tools, event := filepath.Join(work, "_tool"), filepath.Join(w.temp, "_github_workflow", "event.json")
	mapping := filepath.Join(work, "_PipelineMapping", owner, name)
	for _, dir := range []string{w.temp, tools, mapping, w.dir, filepath.Join(w.root, "_diag", "pages"), filepath.Join(w.root, "_diag", "blocks")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return denied(err)
		}
	}
	empty(w.temp)
	for _, dir := range []string{filepath.Dir(event), filepath.Join(w.temp, "_runner_file_commands")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return denied(err)
		}
	}
	pipeline, _ := json.MarshalIndent(map[string]string{"repositoryName": j.Repository, "pipelineDirectory": name, "workspaceDirectory": name + "/" + name}, "", "  ")
	for path, content := range map[string]string{event: "{}", filepath.Join(mapping, "PipelineFolder.json"): string(pipeline)} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return denied(err)
		}
	}
	w.env = os.Environ()
	for name, value := range j.Env {
		w.env = append(w.env, name+"="+value)
	}
	w.env = append(w.env,
		"GITHUB_ACTIONS=true", "CI=true", "GITHUB_SERVER_URL="+server(s.GitHubURL), "GITHUB_REPOSITORY="+j.Repository, "GITHUB_REPOSITORY_OWNER="+owner,
		"GITHUB_WORKFLOW="+j.Workflow, "GITHUB_JOB="+j.Name, fmt.Sprintf("GITHUB_RUN_ID=%d", j.Run), "GITHUB_RUN_ATTEMPT=1",
		"GITHUB_RUN_NUMBER=1", "GITHUB_ACTOR=somebody", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+event, "GITHUB_REF=refs/heads/main",
		"GITHUB_SHA=0123456789abcdef0123456789abcdef01234567",
		"GITHUB_WORKSPACE="+w.dir, "RUNNER_NAME="+s.AgentName, "RUNNER_ENVIRONMENT=self-hosted", "RUNNER_OS=Linux", "RUNNER_ARCH=X64",
		"RUNNER_TEMP="+w.temp, "RUNNER_TOOL_CACHE="+tools, "RUNNER_WORKSPACE="+filepath.Dir(w.dir), "RUNNER_TRACKING_ID="+w.tracking)
	w.setUp()
	return nil
}

// denied is .NET's word for what the system has refused.
func denied(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && errors.Is(err, fs.ErrPermission) {
		//lint:ignore ST1005 the official words
		return fmt.Errorf("System.UnauthorizedAccessException: Access to the path '%s' is denied.", at.Path)
	}
	return fmt.Errorf("System.IO.IOException: %w", err)
}

// setUp writes what "Set up job" shows, .setup_info included.
func (w *worker) setUp() {
	w.log.say("Current runner version: '%s'", current(w.root))
	var info []struct{ Group, Detail string }
	data, err := os.ReadFile(filepath.Join(w.root, ".setup_info"))
	if err != nil || json.Unmarshal([]byte(strings.TrimPrefix(string(data), byteOrderMark)), &info) != nil {
		return
	}
	for _, i := range info {
		w.log.say("##[group]%s\n%s\n##[endgroup]", i.Group, i.Detail)
	}
}

// empty removes what a folder holds.
func empty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		_ = os.RemoveAll(filepath.Join(dir, entry.Name()))
	}
}

func guid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// report tells GitHub how the job has ended, and is the worker's exit code. v2
// asks for ever, classic five times.
func (w *worker) report(result string) int {
	code := map[string]int{"success": succeeded, "cancelled": canceled}[result]
	if code == 0 {
		code = failed
	}
	in := finished{Job: w.order.Job.ID, Token: w.order.Job.Token, Result: result, Log: w.log.String(), Outcomes: w.outcomes}
	if result == "shutdown" {
		in.Result, in.Shutdown = "failure", true // what GitHub shows of a job whose runner was shut down
	}
	for try := 1; ; try++ {
		if in.send(w.order.Settings.ServerURL) == nil {
			return code
		}
		if !w.order.Settings.UseV2Flow && try == 5 {
			return failed
		}
		if w.order.Settings.UseV2Flow {
			time.Sleep(between(5*time.Second, 13*time.Second))
		} else {
			time.Sleep(pace(5 * time.Second))
		}
	}
}
