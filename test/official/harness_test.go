//go:build linux

// Package official runs whole lives with the official runner: its config.sh, its
// listener, its worker. ORG_RUNNER_OFFICIAL names a folder with it, or an image from
// which it is copied:
//
//	ORG_RUNNER_OFFICIAL=/home/runner go test -v ./test/official
//	ORG_RUNNER_OFFICIAL=ghcr.io/actions/actions-runner:2.336.0 go test -v ./test/official
//
// config.sh drops a server's port, so the fake GitHub needs port 80 of a loopback
// address: run it as root, or set net.ipv4.ip_unprivileged_port_start to 80. With
// -standin the same lives run with the stand-in, which proves the tests themselves.
package official

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// patience is how long a test waits for a state before it fails.
const patience = 2 * time.Minute

const goodToken = "ghp_a-good-token-of-a-test"

var standin = flag.Bool("standin", false, "run the lives with the stand-in for the official runner")

// What all tests share: the product, and a folder with a runner that nobody runs.
var product, pristine string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "official")
	if err != nil {
		panic(err)
	}
	if err = prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// prepare builds the product and fetches the runner.
func prepare(dir string) (err error) {
	source := os.Getenv("ORG_RUNNER_OFFICIAL")
	if source == "" && !*standin {
		return nil
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the hostile job's user
		return err
	}
	if product, err = runnertest.BuildProduct(dir); err != nil {
		return err
	}
	pristine = filepath.Join(dir, "pristine")
	if *standin {
		listener, err := runnertest.Build(dir)
		if err != nil {
			return err
		}
		return runnertest.Install(pristine, listener)
	}
	return runnertest.FetchOfficial(source, pristine)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// world is a fake GitHub with an organization, and a folder with a runner.
type world struct {
	*githubtest.Server
	t    testing.TB
	home string
	env  map[string]string
	last *life

	program string // the product
}

// needsRunner skips a test where there is no runner to run.
func needsRunner(t testing.TB) {
	t.Helper()
	if product == "" {
		t.Skip("ORG_RUNNER_OFFICIAL is not set: name a folder or an image with the official runner, as in ORG_RUNNER_OFFICIAL=/home/runner go test -v ./test/official")
	}
}

// newWorld makes one with a runner to run, or skips the test.
func newWorld(t testing.TB, flow actions.Flow, options githubtest.Options) *world {
	t.Helper()
	needsRunner(t)
	if options.LostAfter == 0 {
		options.LostAfter = 10 * time.Minute // GitHub's own
	}
	if options.OfflineAfter == 0 {
		options.OfflineAfter = 2 * time.Second // longer than a listener is between two polls
	}
	w := &world{Server: serve(t, options), t: t, program: product}
	w.Speak(githubtest.Protocol{Flow: flow})
	w.Behave(githubtest.Behaviour{Classic: flow == actions.Classic})
	w.AddOrganization("acme")
	for _, name := range []string{"coach", "mcp"} {
		w.AddRepository("acme/" + name)
	}
	w.AddToken(githubtest.Token{Value: goodToken})
	// Not TempDir: processes are found by it, and it holds the test's name.
	dir, err := os.MkdirTemp("", "life")
	if err != nil {
		t.Fatal(err)
	}
	w.home = filepath.Join(dir, "runner")
	t.Cleanup(func() {
		w.killRest()
		os.RemoveAll(dir)
	})
	// .NET starts faster where it can keep its settings, as in the image.
	if err := os.MkdirAll(filepath.Join(dir, "home", ".config"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"GITHUB_SERVER_URL": w.URL(), "GITHUB_ORGANIZATION": "acme", "GITHUB_TOKEN": goodToken, "RUNNER_HOME": w.home,
		"RUNNER_NAME": "fleet", "RUNNER_NAME_SUFFIX": "none", "RUNNER_USER": "root", "RUNNER_ALLOW_RUNASROOT": "1",
		"PATH": os.Getenv("PATH"), "HOME": filepath.Join(dir, "home"), "LOG_LEVEL": "debug",
		// A machine may have no libicu; the image has it.
		"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
	}
	w.furnish()
	return w
}

// furnish gives a world its runner.
func (w *world) furnish() {
	w.t.Helper()
	if err := runnertest.CopyOfficial(pristine, w.home); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts a fake GitHub on a port 80 of its own.
func serve(t testing.TB, options githubtest.Options) *githubtest.Server {
	t.Helper()
	for n := 10; n < 250; n++ {
		options.Addr = fmt.Sprintf("127.0.4.%d:80", n)
		s, err := githubtest.Start(options)
		switch {
		case err == nil:
			t.Cleanup(s.Close)
			return s
		case errors.Is(err, syscall.EACCES):
			t.Fatal("config.sh drops a server's port, so port 80 of a loopback address is needed: run this as root, or: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80")
		case !errors.Is(err, syscall.EADDRINUSE):
			t.Fatal(err)
		}
	}
	t.Fatal("every port 80 of 127.0.4.0/24 is taken")
	return nil
}

// life is one process of the product.
type life struct {
	*exec.Cmd
	w     *world
	out   buffer
	began time.Time
	over  time.Time
	ended chan struct{}
}

// buffer is a bytes.Buffer that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// environ is the world's environment, changed by what is given.
func (w *world) environ(changes ...string) []string {
	var all []string
	for name, value := range w.env {
		if !slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(c, name+"=") }) {
			all = append(all, name+"="+value)
		}
	}
	return append(all, changes...)
}

func (w *world) start(changes ...string) *life {
	w.t.Helper()
	l := &life{Cmd: exec.Command(w.program), w: w, ended: make(chan struct{}), began: time.Now()}
	l.Env, l.Stdout, l.Stderr, l.WaitDelay = w.environ(changes...), &l.out, &l.out, 5*time.Second
	if err := l.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.last = l
	go func() {
		_ = l.Wait()
		l.over = time.Now()
		close(l.ended)
	}()
	w.t.Cleanup(func() {
		_ = l.Process.Kill()
		w.killRest()
		<-l.ended
		if w.t.Failed() {
			w.t.Logf("a life's output:\n%s", l.out.String())
		}
	})
	return l
}

// ask is another command of the product in the same container, with its exit code.
func (w *world) ask(args ...string) (int, string) {
	c := exec.Command(w.program, args...)
	c.Env = w.environ()
	out, _ := c.CombinedOutput()
	return c.ProcessState.ExitCode(), string(out)
}

func (l *life) signal(s syscall.Signal) {
	l.w.t.Helper()
	if err := l.Process.Signal(s); err != nil {
		l.w.t.Fatal(err)
	}
}

// end waits for the life's own end and checks its exit code, and that no process of
// it is left.
func (l *life) end(code int) {
	l.w.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		_ = l.Process.Signal(syscall.SIGQUIT)
		l.w.t.Fatal("the life does not end")
	}
	if got := l.ProcessState.ExitCode(); got != code {
		l.w.t.Errorf("exit code %d, want %d", got, code)
	}
	if rest := l.w.processes(); len(rest) > 0 {
		l.w.t.Errorf("processes are left: %v", rest)
	}
}

// clean waits for an end with 0 that leaves nothing: the promise of every stop.
func (l *life) clean() {
	l.w.t.Helper()
	l.end(0)
	l.w.none()
	for _, name := range []string{".runner", ".credentials", ".credentials_rsaparams"} {
		if exists(filepath.Join(l.w.home, name)) {
			l.w.t.Errorf("%s is left", name)
		}
	}
	for _, secret := range l.w.Secrets() {
		if strings.Contains(l.out.String(), secret) {
			l.w.t.Errorf("the log holds a secret: %.8s…", secret)
		}
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// none checks that no registration is left.
func (w *world) none() {
	w.t.Helper()
	if left := w.Runners(); len(left) > 0 {
		w.t.Errorf("runners are left at GitHub: %+v", left)
	}
}

// until waits for a condition on what GitHub sees.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func(l *life) { // a life that has ended will not bring it about
		select {
		case <-l.ended:
			cancel()
		case <-ctx.Done():
		}
	}(w.last)
	if w.WaitFor(ctx, condition) != nil {
		w.t.Fatalf("never came: %s\nrunners %+v\njobs %+v", what, w.Runners(), w.Jobs())
	}
}

// poll waits for a condition on what is outside of GitHub.
func (w *world) poll(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never came: %s\nrunners %+v\njobs %+v", what, w.Runners(), w.Jobs())
		}
	}
}

func (w *world) untilOnline() githubtest.Runner {
	w.t.Helper()
	var found githubtest.Runner
	w.until("a runner that listens", func() bool {
		for _, r := range w.Runners() {
			if r.Online && !r.Busy {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

func (w *world) untilDone(job int64) githubtest.Job {
	w.t.Helper()
	w.until("the job's end", func() bool { return w.Job(job).Status == "completed" })
	return w.Job(job)
}

// operation is the name of a call of the runner's, in the protocol that it speaks.
func (w *world) operation(flow actions.Flow) string {
	switch {
	case *standin:
		return "runner:message"
	case flow == actions.Classic:
		return "actions:message"
	}
	return "actions:broker-message"
}

// marked is a step that makes a file when it has begun, and then does what is given.
func (w *world) marked(then string) (script, mark string) {
	mark = filepath.Join(filepath.Dir(w.home), fmt.Sprint("mark-", time.Now().UnixNano()))
	return "touch " + mark + "\n" + then, mark
}

// processes returns the command lines of all processes of the runner's folder.
func (w *world) processes() []string {
	entries, _ := os.ReadDir("/proc")
	var found []string
	for _, entry := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue
		}
		dir, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		if strings.HasPrefix(dir, w.home) || bytes.Contains(line, []byte(w.home)) {
			found = append(found, entry.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// killRest ends what the kernel would have ended with the container.
func (w *world) killRest() {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		rest := w.processes()
		if len(rest) == 0 {
			return
		}
		for _, p := range rest {
			var pid int
			if _, err := fmt.Sscan(p, &pid); err == nil && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}
