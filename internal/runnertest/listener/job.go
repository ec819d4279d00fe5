package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// runJob runs a job in a worker, which reports its end by itself; false if GitHub
// did not hand it over. When GitHub has deleted the runner meanwhile, after ends the
// listener.
func (l *listener) runJob(j *job) (after func() int, ran bool) {
	about := map[string]any{"job": j.ID}
	_ = l.ask(context.Background(), http.MethodPost, "acknowledge", about, nil)
	if l.settings.UseV2Flow && !l.acquire(about) {
		return nil, false
	}
	term.say("Running job: %s", j.Name)
	// Without a first renewal there is no worker, for as long as that takes.
	for l.ask(context.Background(), http.MethodPost, "renew", about, nil) != nil {
		time.Sleep(between(5*time.Second, 15*time.Second))
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	go l.renew(ctx, about)
	w := &workerProcess{listener: l, job: j}
	result := w.run(ctx)
	term.chatter("JobDispatcher", 100)
	term.say("Job %s completed with result: %s", j.Name, result)
	if l.behaviour.HangAfterJob || !term.hasSpace() {
		select {}
	}
	return w.after, true
}

// acquire tries five times in 41 s, without a word.
func (l *listener) acquire(about map[string]any) bool {
	for try := 1; ; try++ {
		if l.ask(context.Background(), http.MethodPost, "acquire", about, nil) == nil {
			return true
		}
		if try == silentTries {
			return false
		}
		time.Sleep(between(5*time.Second, 15*time.Second))
	}
}

func (l *listener) renew(ctx context.Context, about map[string]any) {
	for wait(ctx, pace(renewPause)) {
		_ = l.ask(ctx, http.MethodPost, "renew", about, nil)
	}
}

// workerProcess is a job's worker, as its listener sees it.
type workerProcess struct {
	*listener
	job    *job
	once   sync.Once
	told   string     // the word that it was told
	killed bool       // by force, after a cancellation
	after  func() int // GitHub has deleted the runner: the listener's end
	stderr bytes.Buffer
}

// run starts the worker, passes a cancellation on, from GitHub or from a signal,
// once, and waits without limit. It returns the result that the listener prints.
func (w *workerProcess) run(ctx context.Context) string {
	read, write, err := os.Pipe()
	if err != nil {
		return "Failed"
	}
	defer write.Close()
	// The worker's own end of a second pipe, on which it says nothing.
	silent, back, err := os.Pipe()
	if err != nil {
		return "Failed"
	}
	defer silent.Close()
	command := exec.Command(filepath.Join(w.root, "bin", "Runner.Worker"), "spawnclient", "3", "4")
	command.ExtraFiles = []*os.File{read, back}
	command.Stderr = &w.stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return "Failed"
	}
	time.Sleep(pace(workerDelay))
	if err := command.Start(); err != nil {
		fail("%s", err)
		return "Failed"
	}
	read.Close()
	back.Close()
	encoder := json.NewEncoder(write)
	_ = encoder.Encode(order{Job: *w.job, Settings: w.settings})
	copied := make(chan struct{})
	go func() { defer close(copied); copyLines(output) }()
	var mu sync.Mutex
	tell := func(word string) {
		w.once.Do(func() {
			if w.behaviour.HangInCancel {
				select {}
			}
			mu.Lock()
			defer mu.Unlock()
			w.told = word
			_ = encoder.Encode(word)
			if word == "cancel" {
				time.AfterFunc(pace(cancelTimeout), func() {
					mu.Lock()
					defer mu.Unlock()
					w.killed = command.Process.Kill() == nil
				})
			}
		})
	}
	go func() {
		select {
		case <-w.stop.Done():
			tell("shutdown")
		case <-ctx.Done():
		}
	}()
	watching, end := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); w.watch(watching, tell) }()
	<-copied
	_ = command.Wait()
	end()
	<-watched
	mu.Lock()
	defer mu.Unlock()
	return w.result(command.ProcessState.ExitCode())
}

// result is what the listener makes of the worker's exit code. It reports for one
// that has crashed: v2 only, classic leaves it to the service.
func (w *workerProcess) result(code int) string {
	switch {
	case code == succeeded:
		return "Succeeded"
	case code == canceled || code == failed && w.told == "shutdown":
		return "Canceled"
	case code == failed:
		return "Failed"
	}
	term.trace("JobDispatcher", "Worker crashed: exit code %d\n%s", code, w.stderr.String())
	report := finished{Job: w.job.ID, Token: w.job.Token, Result: "failure"}
	if w.killed {
		report.Result = "cancelled"
	}
	if w.settings.UseV2Flow {
		_ = report.send(w.settings.ServerURL)
	}
	if w.killed {
		return "Canceled"
	}
	return "Failed"
}

// watch keeps the listener's connection while a job runs.
func (w *workerProcess) watch(ctx context.Context, tell func(word string)) {
	for ctx.Err() == nil {
		var m message
		err := w.poll(ctx, w.job.ID, &m)
		switch {
		case m.Cancel:
			go tell("cancel")
			wait(ctx, pace(sessionPause))
		case isKind(err, "RunnerNotFound") && w.behaviour.Deleted != githubtest.DeletedUnauthorized && !w.behaviour.Ghost && w.after == nil:
			w.after = w.deleted()
			go tell("cancel")
			return
		case err != nil:
			wait(ctx, between(5*time.Second, 15*time.Second))
		}
	}
}

// copyLines prints what the worker prints, line by line. As .NET does, it takes a
// lone carriage return for the end of a line too.
func copyLines(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		at := bytes.IndexAny(data, "\r\n")
		switch {
		case at < 0 && atEOF && len(data) > 0:
			return len(data), data, nil
		case at < 0 || at == len(data)-1 && data[at] == '\r' && !atEOF:
			return 0, nil, nil
		case strings.HasPrefix(string(data[at:]), "\r\n"):
			return at + 2, data[:at], nil
		}
		return at + 1, data[:at], nil
	})
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
}
