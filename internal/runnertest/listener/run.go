package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// retryPause is the wait after an error of the connection; the official one's
	// is 15 to 60 s.
	retryPause = 200 * time.Millisecond
	// conflictTries is how often a session conflict is tried; the official
	// listener gives up after 4 minutes.
	conflictTries = 4
	// unloadTimeout is how long a listener lives after SIGTERM at most.
	unloadTimeout = 30 * time.Second
)

// listener is one run of Runner.Listener.
type listener struct {
	root       string
	settings   settings
	credential string
	session    string
	behaviour  behaviour
	stop       context.Context // ends with SIGINT or SIGTERM
}

type message struct {
	Job    *job
	Cancel bool
}

type job struct {
	ID, Run                    int64
	Repository, Workflow, Name string
	Steps                      []string
	Env                        map[string]string
}

// stamp is a point in time as .NET's universal sortable format has it.
func stamp() string { return time.Now().UTC().Format("2006-01-02 15:04:05Z") }

// diagnostics tells whether the diagnostic log goes to standard output too.
var diagnostics = os.Getenv("ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT") != ""

// say prints a line as the listener does, with its echo in the diagnostic log.
func (l *listener) say(format string, values ...any) {
	if l.behaviour.LoseLines {
		return
	}
	line := stamp() + ": " + fmt.Sprintf(format, values...)
	if diagnostics {
		fmt.Printf("[RUNNER %s INFO Terminal] WRITE LINE: %s\n", stamp(), line)
	}
	fmt.Println(line)
}

// complain prints an error of the connection.
func (l *listener) complain(err error) {
	if !l.behaviour.LoseLines {
		fail("%s: Runner connect error: %s. Retrying until reconnected.", stamp(), err)
	}
}

// run is Runner.Listener run.
func run(root string, o options) int {
	if !o.check("run") {
		return 1
	}
	if jit := o.values["jitconfig"]; jit != "" {
		if err := writeJIT(root, jit); err != nil {
			return fail("%s", err)
		}
	}
	s, err := readSettings(root)
	if err != nil {
		return fail("Runner is not configured.")
	}
	_ = os.MkdirAll(filepath.Join(root, "_diag"), 0o755)
	_ = os.WriteFile(filepath.Join(root, "_diag", "Runner_"+time.Now().UTC().Format("20060102-150405")+"-utc.log"), []byte("the listener's log\n"), 0o644)
	l := &listener{root: root, settings: s, credential: readCredential(root), behaviour: askBehaviour(s.ServerURL, "run", s.AgentName)}
	l.watchSignals()
	time.Sleep(l.behaviour.StartDelay)
	if code, ok := l.connect(); !ok {
		return code
	}
	fmt.Println("Current runner version: '" + current(root) + "'")
	l.say("Listening for Jobs")
	if code := l.behaviour.ListenerExit; code != 0 {
		if code == 3 || code == 4 {
			if err := l.beginUpdate(root); err != nil {
				return fail("%s", err)
			}
		}
		l.endSession()
		return code
	}
	return l.listen()
}

// watchSignals takes SIGINT and SIGTERM. Both stop the listener: the first waits
// for a job's worker without limit, the second for a while.
func (l *listener) watchSignals() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var cancel context.CancelFunc
	l.stop, cancel = context.WithCancel(context.Background())
	go func() {
		for s := range signals {
			if l.behaviour.IgnoreInterrupt {
				continue
			}
			if s == syscall.SIGTERM {
				time.AfterFunc(unloadTimeout, func() { os.Exit(128 + int(syscall.SIGTERM)) })
			} else {
				fmt.Println("Exiting...")
			}
			cancel()
		}
	}()
}

func writeJIT(root, jit string) error {
	text, err := base64.StdEncoding.DecodeString(jit)
	if err != nil {
		return err
	}
	var files map[string]string
	if err := json.Unmarshal(text, &files); err != nil {
		return err
	}
	for name, content := range files {
		data, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (l *listener) request(extra map[string]any) map[string]any {
	in := map[string]any{"credential": l.credential, "session": l.session, "version": current(l.root)}
	for key, value := range extra {
		in[key] = value
	}
	return in
}

// pause waits before the next try; false when the listener is stopped.
func (l *listener) pause() bool {
	select {
	case <-time.After(retryPause):
		return true
	case <-l.stop.Done():
		return false
	}
}

// connect makes the session.
func (l *listener) connect() (code int, ok bool) {
	lost := false
	for conflicts := 0; l.stop.Err() == nil; l.pause() {
		fmt.Println()
		success("Connected to GitHub")
		fmt.Println()
		var out struct{ Session string }
		err := call(l.stop, http.MethodPost, l.settings.ServerURL+"/_runner/session", l.request(nil), &out)
		switch {
		case err == nil:
			if lost {
				l.say("Runner reconnected.")
			}
			l.session = out.Session
			return 0, true
		case l.stop.Err() != nil:
			return 0, false
		case isStatus(err, http.StatusNotFound):
			return fail("Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently."), false
		case isStatus(err, http.StatusConflict):
			fail("A session for this runner already exists.")
			if conflicts++; conflicts == conflictTries {
				fail("Stop retry on SessionConflictException after retried for 240 seconds.\nFailed to create session. %s", err)
				return 5, false
			}
		}
		if !lost {
			l.complain(err)
			lost = true
		}
	}
	return 0, false
}

func (l *listener) endSession() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = call(ctx, http.MethodDelete, l.settings.ServerURL+"/_runner/session", l.request(nil), nil)
}

// listen waits for jobs and runs them.
func (l *listener) listen() int {
	for lost := false; l.stop.Err() == nil; {
		var m message
		err := call(l.stop, http.MethodPost, l.settings.ServerURL+"/_runner/message", l.request(nil), &m)
		switch {
		case l.stop.Err() != nil && err != nil:
			continue
		case isStatus(err, http.StatusNotFound) && l.behaviour.Ghost:
			<-l.stop.Done()
			continue
		case isStatus(err, http.StatusNotFound):
			// Since 2.336.0 the listener removes what is left of a registration that
			// GitHub has deleted, and ends as if all were well.
			fail("The runner no longer exists on the server. Cleaning up local configuration.")
			forget(l.root)
			return 0
		case err != nil:
			if !lost {
				l.complain(err)
				lost = true
			}
			l.pause()
			continue
		}
		if lost {
			l.say("Runner reconnected.")
			lost = false
		}
		if m.Job == nil {
			continue
		}
		l.runJob(m.Job)
		// A job that a signal has ended is not one that has completed: then the
		// files stay.
		if l.settings.Ephemeral && l.stop.Err() == nil {
			l.endSession()
			forget(l.root)
			return 0
		}
	}
	l.endSession()
	return 0
}

// runJob runs a job in a worker, and tells GitHub how it ended.
func (l *listener) runJob(j *job) {
	l.say("Running job: %s", j.Name)
	result, log := l.work(j)
	shown := map[string]string{"success": "Succeeded", "failure": "Failed", "cancelled": "Canceled", "shutdown": "Canceled"}[result]
	shutdown := result == "shutdown"
	if shutdown {
		result = "failure" // what GitHub shows of a job whose runner was shut down
	}
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := call(ctx, http.MethodPost, l.settings.ServerURL+"/_runner/finish", l.request(map[string]any{"job": j.ID, "result": result, "log": log, "shutdown": shutdown}), nil)
		cancel()
		if err == nil || isStatus(err, http.StatusNotFound) || try == 60 {
			break
		}
		time.Sleep(retryPause)
	}
	l.say("Job %s completed with result: %s", j.Name, shown)
}

// work runs the worker and passes a cancellation on, from GitHub or from a
// signal, once. It waits for the worker without limit.
func (l *listener) work(j *job) (result, log string) {
	worker := exec.Command(filepath.Join(l.root, "bin", "Runner.Worker"), "spawnclient")
	worker.Stderr = os.Stderr
	toWorker, err := worker.StdinPipe()
	if err != nil {
		return "failure", err.Error()
	}
	fromWorker, err := worker.StdoutPipe()
	if err != nil {
		return "failure", err.Error()
	}
	if err := worker.Start(); err != nil {
		return "failure", err.Error()
	}
	encoder := json.NewEncoder(toWorker)
	_ = encoder.Encode(order{Job: *j, Settings: l.settings, HoldOutput: l.behaviour.HoldOutput})
	var once sync.Once
	tell := func(word string) {
		once.Do(func() {
			if l.behaviour.HangInCancel {
				select {}
			}
			_ = encoder.Encode(word)
		})
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		select {
		case <-l.stop.Done():
			tell("shutdown")
		case <-ctx.Done():
		}
	}()
	go l.watchForCancel(ctx, j, tell)
	var out outcome
	if err = json.NewDecoder(fromWorker).Decode(&out); err != nil {
		out = outcome{Result: "failure", Log: "the worker died"}
	}
	_ = worker.Wait()
	return out.Result, out.Log
}

// watchForCancel keeps the listener's connection while a job runs.
func (l *listener) watchForCancel(ctx context.Context, j *job, tell func(word string)) {
	for ctx.Err() == nil {
		var m message
		err := call(ctx, http.MethodPost, l.settings.ServerURL+"/_runner/message", l.request(map[string]any{"job": j.ID}), &m)
		if m.Cancel {
			go tell("cancel")
		}
		if err != nil || m.Cancel {
			time.Sleep(retryPause)
		}
	}
}
