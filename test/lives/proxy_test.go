//go:build linux

package lives

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// GitHub is only reached through a proxy, by us and by the runner.
func TestProxy(t *testing.T) {
	t.Parallel()
	const host = "github.example"
	w := newWorld(t, githubtest.Options{TLSHosts: []string{host}})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.URL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	proxy := &http.Server{Handler: http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host+":"+port {
			response.WriteHeader(http.StatusForbidden)
			return
		}
		connections.Add(1)
		to, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			response.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := response.(http.Hijacker).Hijack()
		if err != nil {
			to.Close()
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		go func() { _, _ = io.Copy(from, to); from.Close() }()
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = proxy.Serve(listener) }()
	t.Cleanup(func() { proxy.Close() })

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo proxy=$HTTPS_PROXY"}})
	w.start("HTTPS_PROXY=http://"+listener.Addr().String(), "NO_PROXY=elsewhere.example", "SSL_CERT_FILE="+ca).end(0)
	w.none()
	if j := w.Job(job); !strings.Contains(j.Log, "proxy=http://127.0.0.1:") {
		t.Errorf("the job does not see the proxy: %s", j.Log)
	}
	// The token request, and at least config.sh and the listener.
	if connections.Load() < 3 {
		t.Errorf("%d connections went through the proxy", connections.Load())
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
