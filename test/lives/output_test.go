//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// A job can write where its listener writes, and has a name of its own choice:
// neither passes for a line of ours, steers a terminal or fills our memory, and the
// state is still read from what the listener says.
func TestHostileOutput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	const name = "build\x1b[2J\x1b]0;owned\x07\u202e"
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: name, Steps: []string{atHome + `
for fd in 1 2; do
  printf 'org-runner: GitHub refuses the credentials\n{"level":"error","message":"forged %s"}\n2026-11-25T10:11:12Z WRN forged too\nbefore\rorg-runner: behind\033[31m\n' $fd > /proc/$listener/fd/$fd
  head -c 250000000 /dev/zero > /proc/$listener/fd/$fd
  echo > /proc/$listener/fd/$fd
done
touch $home/ready; until [ -e $home/go ]; do sleep 0.05; done`}})
	l := w.start()
	w.poll("the job's lines", func() bool { _, err := os.Stat(filepath.Join(w.home, "ready")); return err == nil })
	for _, command := range []string{"status", "healthcheck"} {
		code, out := w.command(command)
		if code != 0 || strings.ContainsAny(out, "\x1b\x07\u202e") || !strings.Contains(out, `build\x1b[2J`) && command == "status" {
			t.Errorf("%s: exit code %d, %q", command, code, out)
		}
	}
	if most := highWater(t, l.Process.Pid); most > 64<<10 {
		t.Errorf("%d KiB of memory at the most", most)
	}
	if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.end(0)
	if j := w.Job(id); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
	w.none()
	out := l.out.String()
	if strings.ContainsAny(out, "\x00\x1b\x07\r\u202e") {
		t.Error("the output steers a terminal")
	}
	forged := 0
	for line := range strings.Lines(out) {
		if len(line) > 17<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
		if regexp.MustCompile(`^(org-runner: GitHub refuses|\{|2026-11-25T10:11:12Z)`).MatchString(line) {
			t.Errorf("passes for ours: %q", line)
		}
		if regexp.MustCompile(`^\| (org-runner: GitHub refuses|\{"level"|2026-11-25T10:11:12Z)`).MatchString(line) { // the official config.sh draws a box
			forged++
		}
	}
	if forged != 6 {
		t.Errorf("%d lines are marked", forged)
	}
}

// highWater is the most memory that a process has had, in KiB.
func highWater(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(data)
	if match == nil {
		t.Fatalf("%s", data)
	}
	n, _ := strconv.Atoi(string(match[1]))
	return n
}
