//go:build linux

package lives

import (
	"os"
	"path/filepath"
	"strings"
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
