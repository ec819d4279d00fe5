//go:build linux

package runner

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The reaper takes over the whole process, so what needs one runs in the test
// binary started again.
func TestMain(m *testing.M) {
	switch os.Getenv("RUNNER_TEST_HELPER") {
	case "":
		os.Exit(m.Run())
	case "statuses":
		helperStatuses()
	case "tree":
		helperTree()
	}
}

func helper(t *testing.T, mode string) []string {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "RUNNER_TEST_HELPER="+mode)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("helper %s: %v\n%s", mode, err, strings.Join(lines, "\n"))
	}
	return lines
}

func mustStart(r *reaper, script string) *process {
	p, err := r.start(command{path: "/bin/sh", args: []string{"-c", script}, dir: "/", env: os.Environ(), stdout: os.Stdout, stderr: os.Stderr})
	if err != nil {
		panic(err)
	}
	return p
}

// Every exit code and signal arrives, also while orphans end all the time.
func helperStatuses() {
	r, err := newReaper()
	if err != nil {
		panic(err)
	}
	for code := range 256 {
		// The orphan ends at about the same time as the child.
		p := mustStart(r, fmt.Sprintf("(true &) ; (sleep 0.01 &) ; exit %d", code))
		<-p.done
		fmt.Println(p.status.ExitStatus())
	}
	p := mustStart(r, "kill -9 $$")
	<-p.done
	fmt.Println(p.status.Signal())
	// A program that does not exist is an error, and no child.
	_, err = r.start(command{path: "/does/not/exist", dir: "/", stdout: os.Stdout, stderr: os.Stderr})
	fmt.Println(err)
	p = mustStart(r, "exit 3")
	<-p.done
	fmt.Println(p.status.ExitStatus())
}

func TestReaperReportsEveryStatus(t *testing.T) {
	lines := helper(t, "statuses")
	if len(lines) != 259 {
		t.Fatalf("%d lines", len(lines))
	}
	for code := range 256 {
		if lines[code] != fmt.Sprint(code) {
			t.Errorf("exit code %d arrived as %s", code, lines[code])
		}
	}
	for i, want := range []string{syscall.SIGKILL.String(), "exec /does/not/exist: no such file or directory", "3"} {
		if lines[256+i] != want {
			t.Errorf("got %q, want %q", lines[256+i], want)
		}
	}
}

// Daemons in sessions of their own are found and ended, and leave no zombie.
func helperTree() {
	r, err := newReaper()
	if err != nil {
		panic(err)
	}
	p := mustStart(r, "setsid sleep 600 & (setsid sleep 600 &) ; sleep 600 & exit 0")
	<-p.done
	for deadline := time.Now().Add(30 * time.Second); len(descendants(os.Getpid())) < 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(len(descendants(os.Getpid())))
	fmt.Println(len(killTree(time.Now().Add(30 * time.Second))))
	fmt.Println(len(descendants(os.Getpid())))
	for deadline := time.Now().Add(30 * time.Second); zombies() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(zombies())
}

// zombies counts our children that nobody has waited for.
func zombies() int {
	entries, _ := os.ReadDir("/proc")
	count := 0
	for _, entry := range entries {
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[0] == "Z" && fields[1] == fmt.Sprint(os.Getpid()) {
			count++
		}
	}
	return count
}

func TestKillTreeEndsDaemonsToo(t *testing.T) {
	lines := helper(t, "tree")
	if want := []string{"3", "0", "0", "0"}; fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("descendants, rest, descendants, zombies: %v, want %v", lines, want)
	}
}

func TestEnvironmentLosesOursAndTakesExtras(t *testing.T) {
	base := []string{"PATH=/bin", "GITHUB_TOKEN=x", "HTTPS_PROXY=http://p", "HOME=/root", "broken"}
	got := environment(base, func(name string) bool { return name == "GITHUB_TOKEN" }, "HOME=/home/runner", "A=1=2")
	want := []string{"PATH=/bin", "HTTPS_PROXY=http://p", "HOME=/home/runner", "A=1=2"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A uid without a user has / for its home, or none: then it is the runner's folder.
func TestOwnHome(t *testing.T) {
	for want, environ := range map[string][]string{
		"/home/runner": {"PATH=/bin", "HOME=/"},
		"/somewhere":   {"HOME=/somewhere"},
	} {
		if got := ownHome(environ, "/home/runner"); got != want {
			t.Errorf("%v: %s, want %s", environ, got, want)
		}
	}
}
