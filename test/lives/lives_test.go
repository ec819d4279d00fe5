//go:build linux

// Package lives runs whole lives: the real binary as a process, the fake
// GitHub, and the stand-in runner folder. What is asserted is what the fake saw
// and what is left of processes and files.
package lives

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
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
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// patience is how long a test waits for a state before it fails. It measures
// nothing.
const patience = 60 * time.Second

var (
	product, listener string
	productFlags      []string // for go build
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lives")
	if err != nil {
		panic(err)
	}
	if product, err = runnertest.BuildProduct(dir, productFlags...); err == nil {
		listener, err = runnertest.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Lives wait more than they work.
	if flag.Parse(); !isSet("test.parallel") {
		_ = flag.Set("test.parallel", "16")
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

const goodToken = "ghp_a-good-token-of-a-test"

// world is a fake GitHub with an organization, and a runner folder.
type world struct {
	*githubtest.Server
	t    testing.TB
	home string
	env  map[string]string
	last *life

	wrapper []string // a program, with its arguments, that becomes the product
}

func newWorld(t testing.TB, options githubtest.Options) *world {
	t.Helper()
	s, err := githubtest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: s, t: t, env: map[string]string{
		"GITHUB_SERVER_URL": s.URL(), "GITHUB_ORGANIZATION": "acme", "GITHUB_TOKEN": goodToken, "RUNNER_NAME": "fleet", "RUNNER_NAME_SUFFIX": "none",
		// The tests may run as root, which the official scripts refuse.
		"RUNNER_USER": "root", "RUNNER_ALLOW_RUNASROOT": "1", "PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "LOG_LEVEL": "trace",
	}}
	s.AddOrganization("acme")
	for _, name := range []string{"coach", "mcp", "personal"} {
		s.AddRepository("acme/" + name)
	}
	s.AddToken(githubtest.Token{Value: goodToken})
	contract.Check(t, s)
	t.Cleanup(s.Close)
	w.furnish()
	return w
}

// furnish gives a world its runner folder.
func (w *world) furnish() {
	w.t.Helper()
	// Not TempDir: processes are found by it, and it holds the test's name.
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		w.t.Fatal(err)
	}
	w.home, w.env["RUNNER_HOME"] = home, home
	if err := runnertest.Install(home, listener); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		killRest(home)
		os.RemoveAll(home)
	})
}

// another is the same GitHub with a second runner folder, for a runner of another
// name.
func (w *world) another(name string) *world {
	w.t.Helper()
	o := &world{Server: w.Server, t: w.t, env: maps.Clone(w.env)}
	o.env["RUNNER_NAME"] = name
	o.furnish()
	return o
}

// life is one process of the product.
type life struct {
	*exec.Cmd
	w      *world
	out    buffer
	ended  chan struct{}
	killed bool
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

// start starts a life with the world's environment, changed by what is given.
func (w *world) start(changes ...string) *life {
	w.t.Helper()
	environ := map[string]string{}
	for name, value := range w.env {
		environ[name] = value
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		environ[name] = value
	}
	program := append(slices.Clone(w.wrapper), product)
	l := &life{Cmd: exec.Command(program[0], program[1:]...), w: w, ended: make(chan struct{})}
	for name, value := range environ {
		l.Env = append(l.Env, name+"="+value)
	}
	l.Stdout, l.Stderr = &l.out, &l.out
	l.WaitDelay = 5 * time.Second
	if err := l.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.last = l
	go func() {
		_ = l.Wait()
		close(l.ended)
	}()
	w.t.Cleanup(func() {
		l.kill()
		if w.t.Failed() {
			w.t.Logf("a life's output:\n%s", l.out.String())
		}
	})
	return l
}

// kill ends a life as the end of its container does: all of it at once.
func (l *life) kill() {
	select {
	case <-l.ended:
		return
	default:
	}
	l.killed = true
	_ = l.Process.Kill()
	killRest(l.w.home)
	<-l.ended
}

// end waits for the life's own end and checks its exit code, and that nothing
// of it is left: no process.
func (l *life) end(code int) {
	l.w.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		_ = l.Process.Signal(syscall.SIGQUIT)
		l.w.t.Fatalf("the life does not end\n%s", l.out.String())
	}
	if got := l.ProcessState.ExitCode(); got != code {
		l.w.t.Errorf("exit code %d, want %d\n%s", got, code, l.out.String())
	}
	if rest := processes(l.w.home); len(rest) > 0 {
		l.w.t.Errorf("processes are left: %v", rest)
	}
}

func (l *life) signal(s syscall.Signal) {
	l.w.t.Helper()
	if err := l.Process.Signal(s); err != nil {
		l.w.t.Fatal(err)
	}
}

// until waits for a condition on what GitHub sees.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.last != nil {
		go func(l *life) { // a life that has ended will not bring it about
			select {
			case <-l.ended:
				cancel()
			case <-ctx.Done():
			}
		}(w.last)
	}
	if w.WaitFor(ctx, condition) != nil {
		w.t.Fatalf("never came: %s\nrunners %+v\njobs %+v", what, w.Runners(), w.Jobs())
	}
}

// poll waits for a condition on what is outside of GitHub.
func (w *world) poll(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never came: %s", what)
		}
	}
}

func (w *world) online() bool {
	for _, r := range w.Runners() {
		if r.Online && !r.Busy {
			return true
		}
	}
	return false
}

func (w *world) untilOnline() {
	w.t.Helper()
	w.until("a runner that listens", w.online)
}

// none checks the first promise: no registration of ours is left.
func (w *world) none() {
	w.t.Helper()
	if left := w.Runners(); len(left) > 0 {
		w.t.Errorf("runners are left at GitHub: %+v", left)
	}
}

// counts checks how often GitHub's REST API was asked, by operation; what is
// not named was not asked at all.
func (w *world) counts(want map[string]int) {
	w.t.Helper()
	got := map[string]int{}
	for _, c := range w.Calls("") {
		got[c.Operation]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("calls %v, want %v", got, want)
	}
}

// noSecretIn checks that no token was ever shown.
func (w *world) noSecretIn(where, text string) {
	w.t.Helper()
	for _, s := range w.Secrets() {
		if strings.Contains(text, s) {
			w.t.Errorf("%s holds a secret: %.8s…", where, s)
		}
	}
}

// processes returns the command lines of all processes of a runner folder.
func processes(home string) []string {
	entries, _ := os.ReadDir("/proc")
	var found []string
	for _, entry := range entries {
		// Empty while a process becomes another program; zombies have no folder.
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue
		}
		dir, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		if strings.HasPrefix(dir, home) || bytes.Contains(line, []byte(home)) {
			found = append(found, entry.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// killRest ends what the kernel would have ended with the container.
func killRest(home string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		rest := processes(home)
		if len(rest) == 0 {
			return
		}
		// The listener first: it would tell GitHub of its worker's death, for which
		// the end of a container leaves no time.
		slices.SortStableFunc(rest, func(a, b string) int {
			return strings.Compare(fmt.Sprint(!strings.Contains(a, "Runner.Listener run")), fmt.Sprint(!strings.Contains(b, "Runner.Listener run")))
		})
		for _, p := range rest {
			var pid int
			if _, err := fmt.Sscan(p, &pid); err == nil && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// lift removes every fault.
func (w *world) lift() { w.RemoveFaults() }

// ownListener gives the world's folder programs of its own: those of the other
// worlds are the same files under other names, and each name is a change of them.
func (w *world) ownListener() {
	w.t.Helper()
	for _, name := range []string{"Runner.Listener", "Runner.Worker"} {
		path := filepath.Join(w.home, "bin", name)
		if err := exec.Command("cp", "--remove-destination", listener, path).Run(); err != nil {
			w.t.Fatal(err)
		}
	}
}
