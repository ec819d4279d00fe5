//go:build linux

package runnertest_test

import (
	"bytes"
	"context"
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
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// patience is how long a test waits for a state before it fails.
const patience = 60 * time.Second

var listener string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "runnertest")
	if err == nil {
		listener, err = runnertest.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// These tests wait more than they work.
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "12")
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// withScripts runs a test with our scripts, and with the official ones where
// ORG_RUNNER_OFFICIAL_SCRIPTS names a folder with them (src/Misc/layoutroot of
// actions/runner): what ours keep is what those do.
func withScripts(t *testing.T, test func(t *testing.T, f *folder)) {
	t.Parallel()
	t.Run("stand-in", func(t *testing.T) {
		t.Parallel()
		test(t, newFolder(t, ""))
	})
	t.Run("official", func(t *testing.T) {
		t.Parallel()
		official := os.Getenv("ORG_RUNNER_OFFICIAL_SCRIPTS")
		if official == "" {
			t.Skip("ORG_RUNNER_OFFICIAL_SCRIPTS does not name a folder with the official runner's src/Misc/layoutroot")
		}
		test(t, newFolder(t, official))
	})
}

func withScriptsNamed(t *testing.T, name string, test func(t *testing.T, f *folder)) {
	t.Run(name, func(t *testing.T) { withScripts(t, test) })
}

// folder is a runner's folder and its GitHub.
type folder struct {
	*githubtest.Server
	t   *testing.T
	dir string
	env []string
}

func newFolder(t *testing.T, official string) *folder {
	t.Helper()
	s, err := githubtest.Start(githubtest.Options{OfflineAfter: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.AddOrganization("acme")
	s.AddRepository("acme/coach")
	// Not TempDir: processes are found by it, and it holds the test's name.
	dir, err := os.MkdirTemp("", "runner")
	if err != nil {
		t.Fatal(err)
	}
	f := &folder{Server: s, t: t, dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "RUNNER_ALLOW_RUNASROOT=1", "RUNNER_MANUALLY_TRAP_SIG=1", "STAND_IN_SPEED=20"}}
	t.Cleanup(func() {
		for _, p := range f.processes("") {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		s.Close()
		os.RemoveAll(dir)
	})
	if official == "" {
		err = runnertest.Install(dir, listener)
	} else if err = os.CopyFS(dir, os.DirFS(official)); err == nil {
		for _, name := range []string{"config.sh", "run.sh", "run-helper.sh.template", "env.sh", "safe_sleep.sh"} {
			_ = os.Chmod(filepath.Join(dir, name), 0o755)
		}
		err = runnertest.InstallListener(dir, listener)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// realTimes lets the runner take the times that the official one takes.
func (f *folder) realTimes() {
	f.env = slices.DeleteFunc(f.env, func(v string) bool { return strings.HasPrefix(v, "STAND_IN_SPEED=") })
}

// processes lists those of the folder whose command line holds a text.
func (f *folder) processes(text string) []int {
	entries, _ := os.ReadDir("/proc")
	var found []int
	for _, entry := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue
		}
		where, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		line = bytes.ReplaceAll(line, []byte{0}, []byte(" "))
		if (strings.HasPrefix(where, f.dir) || bytes.Contains(line, []byte(f.dir))) && bytes.Contains(line, []byte(text)) {
			var pid int
			if _, err := fmt.Sscan(entry.Name(), &pid); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

// process is a run of a script, with its output.
type process struct {
	*exec.Cmd
	f     *folder
	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start runs a script of the folder, in a session of its own.
func (f *folder) start(script string, args ...string) *process {
	f.t.Helper()
	p := &process{Cmd: exec.Command(filepath.Join(f.dir, script), args...), f: f, ended: make(chan struct{})}
	p.Dir, p.Env = f.dir, f.env
	p.Stdout, p.Stderr = p, p
	p.WaitDelay = 2 * time.Second
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	return p
}

// end waits for the end and returns the exit code, 128+n after a signal.
func (p *process) end() int {
	p.f.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.f.t.Fatalf("%s does not end:\n%s", p.Path, p.output())
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.ProcessState.ExitCode()
}

// says checks that whole lines were printed, a leading time aside.
func (p *process) says(lines ...string) {
	p.f.t.Helper()
	for _, want := range lines {
		found := false
		for line := range strings.Lines(p.output()) {
			line = strings.TrimRight(line, "\n")
			if at := len("2026-08-12 10:11:12Z: "); len(line) >= at && line[at-3:at] == "Z: " {
				line = line[at:]
			}
			found = found || line == want
		}
		if !found {
			p.f.t.Errorf("it does not say %q:\n%s", want, p.output())
		}
	}
}

// listens waits until the listener has its session and says so.
func (p *process) listens() {
	p.f.t.Helper()
	p.f.poll("a listener that listens", func() bool { return strings.Contains(p.output(), "Z: Listening for Jobs\n") })
}

// configure runs config.sh as an entrypoint does: secrets by environment.
func (f *folder) configure(args ...string) *process {
	f.t.Helper()
	f.env = append(f.env, "ACTIONS_RUNNER_INPUT_TOKEN="+f.RegistrationToken("acme"))
	defer func() { f.env = f.env[:len(f.env)-1] }()
	return f.start("config.sh", append([]string{"--unattended", "--url", f.URL() + "/acme", "--name", "one"}, args...)...)
}

// mustConfigure registers an ephemeral runner.
func (f *folder) mustConfigure(args ...string) {
	f.t.Helper()
	if p := f.configure(append([]string{"--ephemeral"}, args...)...); p.end() != 0 {
		f.t.Fatalf("config.sh:\n%s", p.output())
	}
}

func (f *folder) until(what string, condition func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if f.WaitFor(ctx, condition) != nil {
		f.t.Fatalf("never came: %s\nrunners %+v\njobs %+v", what, f.Runners(), f.Jobs())
	}
}

// poll waits for what GitHub does not see.
func (f *folder) poll(what string, condition func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("never came: %s", what)
		}
	}
}

// file writes a file of the folder, executable, and returns its path.
func (f *folder) file(name, content string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *folder) has(name string) bool {
	_, err := os.Stat(filepath.Join(f.dir, name))
	return err == nil
}

// listenerPID is the listener's, alone.
func (f *folder) listenerPID() int {
	f.t.Helper()
	var found []int
	f.poll("a listener", func() bool { found = f.processes("Runner.Listener run"); return len(found) == 1 })
	return found[0]
}

// job starts run.sh with a job of one step, which has begun when this returns:
// the script has to touch $MARK.
func (f *folder) job(script string) (*process, int64) {
	f.t.Helper()
	mark := filepath.Join(f.dir, "mark")
	id := f.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{script, "echo the second step"}, Env: map[string]string{"MARK": mark}})
	p := f.start("run.sh")
	f.poll("the step", func() bool { return f.has("mark") })
	return p, id
}
