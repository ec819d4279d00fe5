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
	"syscall"
	"time"
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
}

// say prints a line as the listener does.
func (l *listener) say(format string, values ...any) {
	if !l.behaviour.LoseLines {
		fmt.Printf("%s: %s\n", time.Now().UTC().Format("2006-01-02 15:04:05Z"), fmt.Sprintf(format, values...))
	}
}

// run is Runner.Listener run.
func run(root, jit string) int {
	if jit != "" {
		if err := writeJIT(root, jit); err != nil {
			return fail("%s", err)
		}
	}
	s, err := readSettings(root)
	if err != nil {
		return fail("Runner is not configured.")
	}
	l := &listener{root: root, settings: s, credential: readCredential(root), behaviour: askBehaviour(s.ServerURL, "run")}
	var cancel context.CancelFunc
	l.stop, cancel = signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	if l.behaviour.IgnoreInterrupt {
		l.stop = context.Background()
		signal.Ignore(syscall.SIGINT)
	}
	defer cancel()
	time.Sleep(l.behaviour.StartDelay)
	fmt.Println("\n√ Connected to GitHub\n\nCurrent runner version: '" + version + "'")
	if code, ok := l.connect(); !ok {
		return code
	}
	l.say("Listening for Jobs")
	if l.behaviour.ListenerExit != 0 {
		if l.behaviour.ListenerExit == 3 || l.behaviour.ListenerExit == 4 {
			_ = os.WriteFile(filepath.Join(root, "update.finished"), nil, 0o644)
		}
		l.endSession()
		return l.behaviour.ListenerExit
	}
	return l.listen()
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
	in := map[string]any{"credential": l.credential, "session": l.session, "version": version}
	for key, value := range extra {
		in[key] = value
	}
	return in
}

// connect makes the session.
func (l *listener) connect() (code int, ok bool) {
	for conflicts := 0; ; {
		var out struct{ Session string }
		err := call(l.stop, http.MethodPost, l.settings.ServerURL+"/_runner/session", l.request(nil), &out)
		switch {
		case err == nil:
			l.session = out.Session
			return 0, true
		case l.stop.Err() != nil:
			fmt.Println("Exiting...")
			return 0, false
		case isStatus(err, http.StatusNotFound):
			return l.deleted(), false
		case isStatus(err, http.StatusConflict):
			fmt.Fprintln(os.Stderr, "A session for this runner already exists.")
			if conflicts++; conflicts > 3 {
				return 5, false
			}
		default:
			l.say("Runner connect error: %s. Retrying until reconnected.", err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-l.stop.Done():
		}
	}
}

// deleted is a registration that is gone at GitHub: since 2.336.0 the listener
// removes what is left of it here.
func (l *listener) deleted() int {
	fmt.Fprintln(os.Stderr, "An error occurred: The runner registration has been deleted from the server, please re-configure. Runner registrations are automatically deleted for runners that have not connected to the service recently.")
	l.forget()
	return 1
}

func (l *listener) forget() {
	for _, file := range registrationFiles {
		_ = os.Remove(filepath.Join(l.root, file))
	}
}

func (l *listener) endSession() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = call(ctx, http.MethodDelete, l.settings.ServerURL+"/_runner/session", l.request(nil), nil)
}

// listen waits for jobs and runs them.
func (l *listener) listen() int {
	lost := false
	for {
		var m message
		err := call(l.stop, http.MethodPost, l.settings.ServerURL+"/_runner/message", l.request(nil), &m)
		switch {
		case l.stop.Err() != nil && (err != nil || m.Job == nil):
			fmt.Println("Exiting...")
			l.endSession()
			return 0
		case isStatus(err, http.StatusNotFound):
			if l.behaviour.Ghost {
				<-l.stop.Done()
				continue
			}
			return l.deleted()
		case err != nil:
			if !lost {
				l.say("Runner connect error: %s. Retrying until reconnected.", err)
				lost = true
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-l.stop.Done():
			}
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
		if l.settings.Ephemeral {
			l.forget()
			return 0
		}
		if l.stop.Err() != nil {
			fmt.Println("Exiting...")
			l.endSession()
			return 0
		}
	}
}

// runJob runs a job in a worker, and tells GitHub how it ended.
func (l *listener) runJob(j *job) {
	l.say("Running job: %s", j.Name)
	result, log := l.work(j)
	shown := map[string]string{"success": "Succeeded", "failure": "Failed", "cancelled": "Canceled"}[result]
	if l.stop.Err() != nil && result == "cancelled" {
		result = "failure" // what GitHub shows of a job whose runner was shut down
	}
	shutdown := l.stop.Err() != nil && shown == "Canceled"
	if shutdown {
		log += "\nThe runner has received a shutdown signal."
	}
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := call(ctx, http.MethodPost, l.settings.ServerURL+"/_runner/finish", l.request(map[string]any{"job": j.ID, "result": result, "log": log, "shutdown": shutdown}), nil)
		cancel()
		if err == nil || isStatus(err, http.StatusNotFound) || try == 60 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	l.say("Job %s completed with result: %s", j.Name, shown)
}

// work runs the worker and passes a cancellation on, from GitHub or from a
// signal. After SIGINT it waits for the worker without limit.
func (l *listener) work(j *job) (result, log string) {
	command := exec.Command(filepath.Join(l.root, "bin", "Runner.Worker"), "spawnclient")
	command.Stderr = os.Stderr
	toWorker, err := command.StdinPipe()
	if err != nil {
		return "failure", err.Error()
	}
	fromWorker, err := command.StdoutPipe()
	if err != nil {
		return "failure", err.Error()
	}
	if err := command.Start(); err != nil {
		return "failure", err.Error()
	}
	encoder := json.NewEncoder(toWorker)
	_ = encoder.Encode(map[string]any{"job": j, "settings": l.settings, "holdOutput": l.behaviour.HoldOutput})
	ended := make(chan struct{})
	polling, stopPolling := context.WithCancel(context.Background())
	defer stopPolling()
	go l.watchForCancel(polling, j, func() {
		if l.behaviour.HangInCancel {
			fmt.Println("hanging in cancel")
			select {}
		}
		_ = encoder.Encode("cancel")
	}, ended)
	var out struct{ Result, Log string }
	err = json.NewDecoder(fromWorker).Decode(&out)
	if l.behaviour.HangInCancel && out.Result == "cancelled" {
		select {}
	}
	close(ended)
	_ = command.Wait()
	if err != nil {
		return "failure", "the worker died: " + command.ProcessState.String()
	}
	return out.Result, out.Log
}

// watchForCancel keeps the listener's connection while a job runs.
func (l *listener) watchForCancel(ctx context.Context, j *job, cancel func(), ended <-chan struct{}) {
	done := false
	go func() {
		select {
		case <-l.stop.Done():
			cancel()
		case <-ended:
		}
	}()
	for ctx.Err() == nil {
		var m message
		err := call(ctx, http.MethodPost, l.settings.ServerURL+"/_runner/message", l.request(map[string]any{"job": j.ID}), &m)
		if err != nil && ctx.Err() == nil {
			time.Sleep(200 * time.Millisecond)
		}
		if m.Cancel && !done {
			done = true
			go cancel()
		}
		if m.Cancel {
			time.Sleep(200 * time.Millisecond)
		}
	}
}
