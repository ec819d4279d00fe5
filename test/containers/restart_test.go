//go:build linux

package containers

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engine is a second one, of the test's own: the one that all others use cannot
// be ended.
type engine struct {
	t      *testing.T
	dir    string
	bridge string
	daemon *exec.Cmd
	ended  chan struct{}
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	needEngine(t)
	if _, err := exec.LookPath("dockerd"); err != nil || os.Getuid() != 0 {
		if os.Getenv("ORG_RUNNER_REQUIRE_ENGINE") != "" {
			t.Fatal("a second engine needs root and dockerd")
		}
		t.Skip("a second engine needs root and dockerd")
	}
	// Its sockets' paths may not be long.
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, bridge: "orgrunner0"}
	// A bridge of its own, of which it needs the name only: with none it would
	// take the first engine's away.
	_, _ = try(docker, "network", "rm", e.bridge)
	if _, err := try(docker, "network", "create", "-o", "com.docker.network.bridge.name="+e.bridge, e.bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = try(docker, "network", "rm", e.bridge) })
	e.start()
	t.Cleanup(func() {
		out, _ := e.try("ps", "-aq")
		_, _ = e.try(append([]string{"rm", "-f", "-v"}, strings.Fields(out)...)...)
		e.end(syscall.SIGTERM)
		e.clear()
	})
	archive := filepath.Join(dir, "image.tar")
	if _, err := try(docker, "save", "-o", archive, image); err != nil {
		t.Fatal(err)
	}
	e.do("load", "-i", archive)
	_ = os.Remove(archive)
	return e
}

func (e *engine) try(args ...string) (string, error) {
	return try(docker, append([]string{"-H", "unix://" + e.dir + "/docker.sock"}, args...)...)
}

func (e *engine) do(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// start starts the daemon. Its containers use the host's network.
func (e *engine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	_ = os.Remove(filepath.Join(e.dir, "pid"))
	e.daemon = exec.Command("dockerd", "-H", "unix://"+e.dir+"/docker.sock", "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--bridge", e.bridge, "--iptables=false", "--ip6tables=false")
	e.daemon.Stdout, e.daemon.Stderr = log, log
	if err := e.daemon.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.ended = make(chan struct{})
	go func() { _ = e.daemon.Wait(); close(e.ended) }()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if _, err := e.try("info"); err == nil {
			return
		}
		select {
		case <-e.ended:
			text, _ := os.ReadFile(log.Name())
			e.t.Fatalf("dockerd does not start:\n%s", text)
		default:
		}
		if time.Now().After(deadline) {
			e.t.Fatal("dockerd does not answer")
		}
	}
}

// end ends the daemon. The kernel ends its containerd with it, a moment later;
// the containers live on when it was killed.
func (e *engine) end(signal syscall.Signal) {
	_ = e.daemon.Process.Signal(signal)
	<-e.ended
	data, _ := os.ReadFile(filepath.Join(e.dir, "exec/containerd/containerd.pid"))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// clear removes what a daemon leaves in its folder: mounts, and after a failure
// processes too.
func (e *engine) clear() {
	_ = exec.Command("pkill", "-KILL", "-f", e.dir).Run()
	data, _ := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(string(data), "\n")
	slices.Reverse(lines) // the inner ones first
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], e.dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
	_ = os.RemoveAll(e.dir)
}

// The engine is restarted, and crashes, under a running container: each time the
// next life repairs, and there is one runner, which works.
func TestEngineRestart(t *testing.T) {
	o := newOrganization(t)
	e := newEngine(t)
	// With unless-stopped Docker 20.10 leaves a container that it finds alive after
	// a crash: it ends it, and takes that for a stop by hand.
	id := e.do("run", "-d", "--network", "host", "--restart", "always", "-e", "GITHUB_SERVER_URL="+github.URL(),
		"-e", "GITHUB_ORGANIZATION="+o.name, "-e", "GITHUB_TOKEN="+goodToken, image)
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := e.try("logs", id)
			t.Logf("logs:\n%s", logs)
		}
	})
	o.online(1)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		before := o.runners()[0].ID
		e.end(signal)
		e.start()
		o.until("a new registration after "+signal.String(), func() bool {
			all := o.runners()
			return len(all) == 1 && all[0].ID != before && all[0].Online
		})
		job := o.enqueue("coach", "true")
		if j := o.completed(job); j.Result != "success" {
			t.Errorf("the job after %s: %+v", signal, j)
		}
		o.online(1)
	}
	e.do("stop", id)
	o.none()
}
