//go:build linux

package lives

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// GitHub is only reached through a proxy, by us and by the runner.
func TestProxy(t *testing.T) {
	t.Parallel()
	const host = "github.example"
	w := newWorld(t, githubtest.Options{TLSHosts: []string{host}})
	from, to := local(t, w.Server)
	g := newGate(t, from, to)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo proxy=$HTTPS_PROXY"}})
	w.start("HTTPS_PROXY=http://"+g.address, "NO_PROXY=elsewhere.example", "SSL_CERT_FILE="+ca).end(0)
	w.none()
	if j := w.Job(job); !strings.Contains(j.Log, "proxy=http://127.0.0.1:") {
		t.Errorf("the job does not see the proxy: %s", j.Log)
	}
	// The token request, and at least config.sh and the listener.
	if g.tunnels() < 3 {
		t.Errorf("%d connections went through the proxy", g.tunnels())
	}
}

// A proxy that refuses its user ends the life at once, and a command too, with the
// user's name and without the password. The right one is let through.
func TestProxyRefusesItsUser(t *testing.T) {
	t.Parallel()
	const host, password = "github.example", "hush%40hush"
	w := newWorld(t, githubtest.Options{TLSHosts: []string{host}})
	from, to := local(t, w.Server)
	g := newGate(t, from, to)
	g.users = map[string]string{"alice": "another", "bob": "hush@hush"}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	w.env["SSL_CERT_FILE"] = ca
	for i, row := range []struct{ user, says string }{
		{"alice:" + password + "@", "refuses the user alice: correct the user and the password in HTTPS_PROXY"},
		{"", "wants a user and a password: write them in HTTPS_PROXY, as in http://USER:PASSWORD@" + g.address},
	} {
		l := w.another(fmt.Sprint("fleet-", i)).start("HTTPS_PROXY=http://" + row.user + g.address)
		l.end(77)
		if out := l.out.String(); !strings.Contains(out, row.says) || strings.Contains(out, "hush") {
			t.Errorf("it says\n%s", out)
		}
		if got := g.refusals(); got != i+1 {
			t.Errorf("the proxy has refused %d, want %d", got, i+1)
		}
	}
	for _, name := range []string{"org-status", "check"} {
		w.env["HTTPS_PROXY"] = "http://alice:" + password + "@" + g.address
		code, out := w.command(name)
		if code != 77 || !strings.Contains(strings.Join(strings.Fields(out), " "), "refuses the user alice") || strings.Contains(out, "hush") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
	delete(w.env, "HTTPS_PROXY")
	l := w.start("https_proxy=http://bob:" + password + "@" + g.address)
	w.untilOnline()
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	if strings.Contains(l.out.String(), "hush") {
		t.Errorf("it shows the password\n%s", l.out.String())
	}
}

// The commands go through the proxy that --env-file names, in either spelling,
// whatever the shell's is, and believe the authorities of SSL_CERT_FILE there.
func TestProxyOfTheEnvFile(t *testing.T) {
	t.Parallel()
	const host = "github.example"
	w := newWorld(t, githubtest.Options{TLSHosts: []string{host}})
	from, to := local(t, w.Server)
	g := newGate(t, from, to)
	dir := t.TempDir()
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "env")
	if err := os.WriteFile(ca, w.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	w.env["HTTPS_PROXY"], w.env["https_proxy"], w.env["SSL_CERT_FILE"] = "http://127.0.0.1:1", "http://127.0.0.1:2", filepath.Join(dir, "none.pem")
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		text := name + "=http://" + g.address + "\r\nSSL_CERT_FILE=" + ca + "\r\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := g.tunnels()
		if code, out := w.command("--env-file", file, "org-status"); code != 0 || g.tunnels() == before {
			t.Errorf("%s: exit code %d, %d tunnels\n%s", name, code, g.tunnels()-before, out)
		}
	}
}

// ALLOWED_REPOSITORIES, and what is asked of whoever answers the hook.
func TestAllowedRepositories(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		rule    string
		allowed bool
	}{{"coach", true}, {"mcp,tool-*", false}, {"other/coach", false}, {"*", true}} {
		t.Run(row.rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo ran anyway"}})
			w.start("ALLOWED_REPOSITORIES=" + row.rule).end(0)
			w.none()
			j := w.Job(job)
			if row.allowed != (j.Result == "success") || row.allowed != strings.Contains(j.Log, "ran anyway") {
				t.Errorf("the job: %+v", j)
			}
			if !row.allowed && !strings.Contains(j.Log, "acme/coach may not run on this runner: ALLOWED_REPOSITORIES is") {
				t.Errorf("the job's log does not name the rule:\n%s", j.Log)
			}
		})
	}
}

// A hook that nobody answers fails the job.
func TestHookWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	// The job's runner is cut off from its supervisor: the socket is gone.
	l := w.start("ALLOWED_REPOSITORIES=*")
	w.untilOnline()
	if err := os.Remove(filepath.Join(w.home, ".org-runner", "life.sock")); err != nil {
		t.Fatal(err)
	}
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo ran anyway"}})
	l.end(0)
	if j := w.Job(job); j.Result != "failure" || strings.Contains(j.Log, "ran anyway") || !strings.Contains(j.Log, "this job does not run") {
		t.Errorf("the job: %+v", j)
	}
	w.none()
}
