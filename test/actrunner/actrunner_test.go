// Package actrunner lets a second real client, github-act-runner, be a runner of
// the fake GitHub: what the fake takes and answers is not only what one client does.
// It is a module of its own: the product does not need that client.
package actrunner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ChristopherHX/github-act-runner/actionsrunner"
	"github.com/ChristopherHX/github-act-runner/protocol"
	"github.com/ChristopherHX/github-act-runner/runnerconfiguration"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

const patience = 60 * time.Second

// environment is the client's: its files are in a folder, its worker is ours. It
// runs the steps' scripts; the client's own needs a module that cannot be had.
type environment struct {
	dir string
	mu  sync.Mutex
	out strings.Builder
}

func (e *environment) Printf(format string, values ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(&e.out, format, values...)
}

func (e *environment) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.String()
}

//nolint:revive // the client's own name
func (e *environment) ReadJson(name string, into any) error {
	text, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

//nolint:revive // the client's own name
func (e *environment) WriteJson(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.dir, name), text, 0o600)
}

func (e *environment) Remove(name string) error { return os.Remove(filepath.Join(e.dir, name)) }

// ExecWorker runs the steps one after the other until one fails.
func (e *environment) ExecWorker(_ *actionsrunner.RunRunner, w actionsrunner.WorkerContext, job *protocol.AgentJobRequestMessage, _ []byte) error {
	log := w.Logger()
	log.Current().Complete("Succeeded")
	result := "Succeeded"
	for i, step := range job.Steps {
		record := protocol.CreateTimelineEntry(job.JobID, step.ContextName, fmt.Sprint("step ", i+1))
		record.ID = step.ID
		log.Append(record).Order = int32(i + 1)
		log.MoveNext()
		var script string
		for _, input := range *step.Inputs.Map {
			if *input.Key.Lit == "script" {
				script = *input.Value.Lit
			}
		}
		command := exec.CommandContext(w.JobExecCtx(), "bash", "-e", "-c", script)
		command.WaitDelay = time.Second
		out, err := command.CombinedOutput()
		for line := range bytes.Lines(out) {
			log.Log(time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z") + " " + strings.TrimSuffix(string(line), "\n"))
		}
		switch {
		case w.JobExecCtx().Err() != nil:
			result = "Canceled"
		case err != nil:
			result = "Failed"
		}
		log.Current().Complete(result)
		if result != "Succeeded" {
			break
		}
	}
	log.Logger.Close()
	log.MoveNext()
	log.TimelineRecords.Value[0].Complete(result)
	log.Finish()
	w.FinishJob(result, &map[string]protocol.VariableValue{})
	return nil
}

// world is a fake GitHub with a client's runner.
type world struct {
	*githubtest.Server
	t        *testing.T
	env      *environment
	settings *runnerconfiguration.RunnerSettings
}

func newWorld(t *testing.T, flow actions.Flow) *world {
	t.Helper()
	s, err := githubtest.Start(githubtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.AddOrganization("acme")
	s.AddRepository("acme/coach")
	s.Speak(githubtest.Protocol{Flow: flow, Encrypts: true, Feeds: true}) // this client wants a key and a feed
	return &world{Server: s, t: t, env: &environment{dir: t.TempDir()}}
}

// configure registers a runner.
func (w *world) configure(token string) error {
	c := &runnerconfiguration.ConfigureRunner{Ephemeral: true, Labels: []string{"linux", "x64", "act"}, RunnerGroup: "default"}
	c.URL, c.Token, c.Name, c.Unattended = w.URL()+"/acme", token, "r-act", true
	settings, err := c.Configure(&runnerconfiguration.RunnerSettings{}, nil, nil)
	w.settings = settings
	return err
}

// run runs the client until its job has ended.
func (w *world) run() chan error {
	ended := make(chan error, 1)
	go func() {
		r := &actionsrunner.RunRunner{Once: true, Version: "2.336.0", Settings: w.settings}
		ended <- r.Run(w.env, context.Background(), context.Background())
	}()
	return ended
}

func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.WaitFor(ctx, condition) != nil {
		w.t.Fatalf("%s does not come\n%s", what, w.env.said())
	}
}

func TestJobOfASecondClient(t *testing.T) {
	t.Parallel()
	for _, flow := range []actions.Flow{actions.Classic, actions.Migrated} {
		for _, c := range []struct {
			name, result string
			steps        []string
			cancel       bool
		}{
			{"good", "success", []string{"echo hello", "echo world"}, false},
			{"fails", "failure", []string{"echo hello", "exit 3", "echo never"}, false},
			{"cancelled", "cancelled", nil, true},
		} {
			t.Run(string(flow)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, flow)
				if err := w.configure(w.RegistrationToken("acme")); err != nil {
					t.Fatal(err)
				}
				ended := w.run()
				w.until("the listener", func() bool { r := w.Runners(); return len(r) == 1 && r[0].Online })
				if r := w.Runners()[0]; r.Name != "r-act" || !r.Ephemeral || strings.Join(r.Labels, " ") != "self-hosted linux amd64 x64 act" {
					t.Errorf("GitHub has %+v", r)
				}
				if c.cancel {
					c.steps = []string{"echo hello; touch " + filepath.Join(w.env.dir, "begun") + "; sleep 300"}
				}
				id := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"self-hosted", "ACT"}, Steps: c.steps})
				if c.cancel {
					w.until("the job's start", func() bool {
						return w.Job(id).Status == "in_progress" && w.Count("actions:create-log")+w.Count("actions:results-url") > 0
					})
					w.CancelJob(id)
				}
				w.until("the job's end", func() bool { return w.Job(id).Status == "completed" })
				j := w.Job(id)
				if j.Result != c.result || !c.cancel && !strings.Contains(j.Log, "hello\n") || strings.Contains(j.Log, "never") {
					t.Errorf("the job: %+v\n%s", j, w.env.said())
				}
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatalf("the client does not end\n%s", w.env.said())
				}
				if left := w.Runners(); len(left) > 0 {
					t.Errorf("left: %+v", left)
				}
				broker := flow == actions.Migrated
				for operation, want := range map[string]bool{"token": true, "session": true, "broker-message": broker, "acquirejob": broker, "completejob": broker, "job-event": !broker} {
					if saw := w.Count("actions:"+operation) > 0; saw != want {
						t.Errorf("%s: %v", operation, saw)
					}
				}
			})
		}
	}
}

func TestWhatASecondClientIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, actions.Classic)
	if err := w.configure("AAAA"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an unknown token: %v", err)
	}
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "r-act"})
	if err := w.configure(w.RegistrationToken("acme")); err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("a name that is taken: %v", err)
	}
	w.RemoveRunner(w.Runners()[0].ID)
	if err := w.configure(w.RegistrationToken("acme")); err != nil {
		t.Fatal(err)
	}
	w.RemoveRunner(w.Runners()[0].ID)
	select {
	case err := <-w.run():
		if err == nil || !strings.Contains(w.env.said(), "has been removed from GitHub") {
			t.Errorf("a runner that is deleted: %v\n%s", err, w.env.said())
		}
	case <-time.After(patience):
		t.Errorf("a runner that is deleted: its client does not end\n%s", w.env.said())
	}
}
