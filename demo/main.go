// Demo shows the whole life of organization runners against a fake GitHub:
//
//	go run ./demo
//
// No Docker, no token, nothing left behind. The runner is a stand-in for the official
// one; where ORG_RUNNER_OFFICIAL names a folder with that, or an image, it is the
// official runner itself (see test/official for what that needs).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	err := run(ctx, os.Stdout)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Println("\nInterrupted. Nothing is left behind.")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const organization = "virtuoso902"

// The demo's only credential, good for nothing but its own fake.
const token = "token-of-the-demo"

// patience bounds each thing that the demo waits for.
const patience = 30 * time.Second

// stage is what the demo plays on.
type stage struct {
	*githubtest.Server
	out              io.Writer
	dir              string
	product, runners string
	official         string // the official runner's folder; "": the stand-in
}

func run(ctx context.Context, out io.Writer) error {
	if runtime.GOOS != "linux" {
		return errors.New("a runner's life needs Linux: run the demo in a container (docker run --rm -v \"$PWD\":/src -w /src golang:1.26 go run ./demo), or start with docker compose up")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		return errors.New("the official runner's scripts need bash: install it")
	}
	dir, err := os.MkdirTemp("", "org-runner-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &stage{out: out, dir: dir}
	s.say("Building org-runner …")
	if s.product, err = runnertest.BuildProduct(dir); err != nil {
		return err
	}
	options := githubtest.Options{Latency: 20 * time.Millisecond}
	if official := os.Getenv("ORG_RUNNER_OFFICIAL"); official != "" {
		// config.sh drops a server's port.
		options.Addr, s.official = "127.0.5.1:80", filepath.Join(dir, "official")
		err = runnertest.FetchOfficial(official, s.official)
	} else {
		s.runners, err = runnertest.Build(dir)
	}
	if err != nil {
		return err
	}
	if s.Server, err = githubtest.Start(options); err != nil {
		return err
	}
	defer s.Close()
	s.AddOrganization(organization)
	s.AddToken(githubtest.Token{Value: token})
	return s.play(ctx)
}

func (s *stage) say(format string, values ...any) { fmt.Fprintf(s.out, format+"\n", values...) }

// play runs one runner per job for three repositories, then stops an idle one.
func (s *stage) play(ctx context.Context) error {
	s.say("A GitHub that forgets nothing runs at %s, with the organization %s.\n", s.URL(), organization)
	for i, repository := range []string{"coach", "mcp", "personal"} {
		s.AddRepository(organization + "/" + repository)
		id := s.Enqueue(githubtest.Job{
			Repository: organization + "/" + repository, RunsOn: []string{"self-hosted", "org-runner"},
			Steps: []string{"echo building " + repository, "sleep 0.5"},
		})
		s.say("%d. A job of %s/%s waits. A runner of the organization starts, for this one job.", i+1, organization, repository)
		if err := s.oneJob(ctx, id, i+1); err != nil {
			return err
		}
	}
	if err := s.stopIdle(ctx); err != nil {
		return err
	}
	return s.table()
}

// life is one org-runner process.
type life struct {
	*exec.Cmd
	log   *os.File
	ended chan error
}

// furnish makes a runner's folder.
func (s *stage) furnish(home string) error {
	if s.official != "" {
		return runnertest.CopyOfficial(s.official, home)
	}
	return runnertest.Install(home, s.runners)
}

func (s *stage) start(n int) (*life, error) {
	home := filepath.Join(s.dir, fmt.Sprint("runner-", n))
	if err := s.furnish(home); err != nil {
		return nil, err
	}
	log, err := os.Create(home + ".log")
	if err != nil {
		return nil, err
	}
	l := &life{Cmd: exec.Command(s.product), log: log, ended: make(chan error, 1)}
	l.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "RUNNER_HOME=" + home,
		"GITHUB_SERVER_URL=" + s.URL(), "GITHUB_ORGANIZATION=" + organization, "GITHUB_TOKEN=" + token,
		"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1", "RUNNER_NAME=demo", "RUNNER_NAME_SUFFIX=random", "RUNNER_USER=root", "RUNNER_ALLOW_RUNASROOT=1",
	}
	l.Stdout, l.Stderr = log, log
	// A session of its own: Ctrl-C in the terminal reaches the demo alone, which
	// then stops its runner properly.
	l.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.Start(); err != nil {
		return nil, err
	}
	go func() { l.ended <- l.Wait() }()
	return l, nil
}

// wait waits for a life's end; an interrupted demo stops it first.
func (l *life) wait(ctx context.Context) error {
	defer l.log.Close()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case err := <-l.ended:
		if err == nil {
			return nil
		}
		text, _ := os.ReadFile(l.log.Name())
		return fmt.Errorf("org-runner: %w\n%s", err, text)
	case <-ctx.Done():
	case <-timeout.C:
	}
	_ = l.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.ended:
	case <-time.After(15 * time.Second): // RUNNER_STOP_GRACE is over
		_ = l.Process.Kill()
		<-l.ended
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("a runner did not end within %s", patience)
}

func (s *stage) oneJob(ctx context.Context, id int64, n int) error {
	before := len(s.Calls(""))
	l, err := s.start(n)
	if err != nil {
		return err
	}
	if err := l.wait(ctx); err != nil {
		return err
	}
	job := s.Job(id)
	s.say("   The runner %s ran it: %s. It is off GitHub again, after %d call to the API: no token was shown to the job.\n",
		job.RunnerName, job.Result, len(s.Calls(""))-before)
	return nil
}

func (s *stage) stopIdle(ctx context.Context) error {
	s.say("4. A fourth runner waits for a job that does not come, and its container is stopped.")
	l, err := s.start(4)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.WaitFor(waiting, func() bool {
		for _, r := range s.Runners() {
			if r.Online {
				return true
			}
		}
		return false
	}); err != nil {
		return errors.Join(err, l.wait(ctx))
	}
	began := time.Now()
	_ = l.Process.Signal(syscall.SIGTERM)
	if err := l.wait(ctx); err != nil {
		return err
	}
	s.say("   SIGTERM: GitHub deleted the runner because it was idle, so no job can have been lost; gone after %d ms.\n", time.Since(began).Milliseconds())
	return nil
}

// table sums up, and fails if anything is not as promised.
func (s *stage) table() error {
	w := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "JOB\tREPOSITORY\tRESULT\tQUEUED FOR\tRAN FOR")
	bad := 0
	for i, j := range s.Jobs() {
		if j.Result != "success" {
			bad++
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d ms\t%d ms\n", i+1, strings.TrimPrefix(j.Repository, organization+"/"), j.Result,
			j.Started.Sub(j.Queued).Milliseconds(), j.Completed.Sub(j.Started).Milliseconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	left := len(s.Runners())
	s.say("\nRunners left on GitHub: %d\n", left)
	if bad > 0 || left > 0 {
		return fmt.Errorf("%d jobs failed and %d runners are left: this must not be", bad, left)
	}
	s.say("Next, with a real organization:\n\n  cp .env.example .env      fill in GITHUB_TOKEN and GITHUB_ORGANIZATION\n  docker compose up -d")
	return nil
}
