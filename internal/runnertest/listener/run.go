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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// conflictTries is how often a session conflict is tried, in 211 s.
const conflictTries = 8

// The listener's exit codes.
const (
	codeDone       = 0
	codeTerminated = 1
	codeRetryable  = 2
	codeUpdate     = 3
	codeConflict   = 5

	codeUpdateAfterJob = 4 // of an ephemeral runner
)

// listener is one run of Runner.Listener.
type listener struct {
	root       string
	settings   settings
	credential string
	session    atomic.Value // a string
	behaviour  githubtest.Behaviour
	stop       context.Context // ends with SIGINT or SIGTERM
	terminated atomic.Bool     // by SIGTERM
	lost       bool            // an error of the connection was told
	failures   int             // polls that went wrong since the last message
	jobEnded   time.Time
}

type message struct {
	Job    *job
	Cancel bool
}

type job struct {
	ID, Run                           int64
	Repository, Workflow, Name, Token string
	Steps                             []string
	Plan                              []githubtest.Step
	Env                               map[string]string
}

// run is Runner.Listener run.
func run(root string, o options) int {
	if !o.check("run") {
		return codeTerminated
	}
	term.open(root, "Runner")
	term.chatter("HostContext", 190)
	term.trace("Listener", "Runner is built for linux-x64 (%s)", version)
	if jit := o.values["jitconfig"]; jit != "" {
		if err := writeJIT(root, jit); err != nil {
			return fail("%s", err)
		}
	}
	s, err := readSettings(root)
	if err != nil {
		return fail("Runner is not configured.")
	}
	l := &listener{root: root, settings: s, credential: readCredential(root), behaviour: askBehaviour(s.ServerURL, "run", s.AgentName)}
	l.settings.UseV2Flow = !l.behaviour.Classic
	term.mute = l.behaviour.LoseLines
	if l.behaviour.HoldOutput {
		holdOutput()
	}
	time.Sleep(pace(startTime)) // .NET starts: an interrupt ends it
	l.watchSignals()
	if !wait(l.stop, l.behaviour.StartDelay) {
		return codeDone
	}
	if code, ok := l.connect(); !ok {
		return code
	}
	go l.hold()
	term.line("Current runner version: '%s'", current(root))
	term.say("Listening for Jobs")
	if code := l.behaviour.ListenerExit; code != 0 {
		if updates := code == codeUpdate || code == codeUpdateAfterJob; !updates || !l.settings.DisableUpdate && l.beginUpdate().finish() {
			_ = l.endSession()
			return code
		}
	}
	return l.listen()
}

// watchSignals takes SIGINT and SIGTERM, the first only if it was not ignored at
// the start, as what a shell starts with & is. Both stop the listener: the first
// waits for a job's worker without limit, the second for a while.
func (l *listener) watchSignals() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGINT) {
		signal.Notify(signals, syscall.SIGINT)
	}
	var cancel context.CancelFunc
	l.stop, cancel = context.WithCancel(context.Background())
	go func() {
		for s := range signals {
			if l.behaviour.IgnoreInterrupt {
				continue
			}
			if s == syscall.SIGTERM {
				l.terminated.Store(true)
				time.AfterFunc(pace(unloadTimeout), func() { os.Exit(128 + int(syscall.SIGTERM)) })
			} else {
				fmt.Println("Exiting...")
			}
			cancel()
		}
	}()
}

// holdOutput leaves a daemon behind that keeps the listener's own output open.
func holdOutput() {
	daemon := exec.Command("sleep", "600")
	daemon.Stdout, daemon.Stderr = os.Stderr, os.Stderr
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	_ = daemon.Start()
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

// ask is a request with what tells GitHub who asks.
func (l *listener) ask(ctx context.Context, method, what string, extra map[string]any, out any) error {
	in := map[string]any{"credential": l.credential, "session": l.session.Load(), "version": current(l.root)}
	for key, value := range extra {
		in[key] = value
	}
	return call(ctx, method, l.settings.ServerURL+"/_runner/"+what, in, out)
}

const deletedWords = "Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently."

// connect makes the session.
func (l *listener) connect() (code int, ok bool) {
	told := false
	for conflicts := 0; l.stop.Err() == nil; wait(l.stop, pace(sessionPause)) {
		term.line("")
		success("Connected to GitHub")
		term.line("")
		var out struct{ Session string }
		ctx, cancel := context.WithTimeout(l.stop, pace(callTimeout))
		err := l.ask(ctx, http.MethodPost, "session", nil, &out)
		cancel()
		switch {
		case err == nil:
			if told {
				term.say("Runner reconnected.")
			}
			l.session.Store(out.Session)
			return codeDone, true
		case l.stop.Err() != nil:
			return codeDone, false
		case isKind(err, "RunnerNotFound"):
			return fail(deletedWords), false
		case l.settings.UseV2Flow && isStatus(err, http.StatusUnauthorized):
			return fail("Failed to create session. You are not authorized to access %s.", l.settings.ServerURL), false
		case l.settings.UseV2Flow && isStatus(err, http.StatusForbidden):
			return fail("Failed to create session. Error: Forbidden"), false
		case isStatus(err, http.StatusConflict):
			fail("A session for this runner already exists.")
			if conflicts++; conflicts == conflictTries {
				fail("Stop retry on SessionConflictException after retried for 240 seconds.")
				fail("Failed to create session. %s", l.reason(err))
				return codeConflict, false
			}
		}
		if !told {
			words := l.reason(err)
			if l.settings.UseV2Flow && !isStatus(err, http.StatusConflict) {
				words = "Failed to create broker session: " + words
			}
			complain(words)
			told = true
		}
	}
	return codeDone, false
}

// hold keeps a call open for as long as the listener lives, by which the fake knows
// that it does.
func (l *listener) hold() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*emptyPoll)
		var r refused
		pause := 50 * time.Millisecond
		if isRefused(l.ask(ctx, http.MethodPost, "hold", nil, nil), &r) { // the session or the runner is no more
			pause = time.Second
		}
		cancel()
		time.Sleep(pause)
	}
}

func (l *listener) endSession() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return l.ask(ctx, http.MethodDelete, "session", nil, nil)
}

// listen waits for jobs and runs them.
func (l *listener) listen() int {
	for l.stop.Err() == nil {
		m, code, ended := l.next()
		switch {
		case ended:
			return code
		case m.Job == nil:
			continue
		}
		var u *update
		if l.updatesInJob() {
			u = l.beginUpdate()
		}
		after, ran := l.runJob(m.Job)
		l.jobEnded = time.Now()
		switch {
		case !ran:
			continue
		case after != nil:
			return after()
		case l.terminated.Load():
			return 128 + int(syscall.SIGTERM)
		case l.stop.Err() != nil:
			// A job that a signal has ended is not one that has completed: the files
			// stay.
			_ = l.endSession()
			return codeDone
		case u != nil && u.finish():
			_ = l.endSession()
			if l.settings.Ephemeral {
				return codeUpdateAfterJob
			}
			return codeUpdate
		case l.settings.Ephemeral:
			_ = l.endSession() // GitHub has no such runner any more
			forget(l.root)
			return codeDone
		}
	}
	if isKind(l.endSession(), "RunnerNotFound") {
		return l.deleted()()
	}
	return codeDone
}
