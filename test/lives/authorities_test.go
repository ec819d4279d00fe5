//go:build linux

package lives

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// gate is a proxy that leads tunnels to a name to where it is set to, as whoever
// can change /etc/hosts or the answers of a name server does.
type gate struct {
	address string // of the proxy

	mu    sync.Mutex
	to    string
	count int
	open  []net.Conn

	users   map[string]string // with their passwords; none: everybody may
	refused int
}

// newGate leads host:port to an address of this machine; everything else is
// refused.
func newGate(t *testing.T, from, to string) *gate {
	t.Helper()
	g := &gate{to: to}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.admits(r) {
			w.Header().Set("Proxy-Authenticate", "Basic realm=gate")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect || r.Host != from {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		g.mu.Lock()
		there, err := net.Dial("tcp", g.to)
		g.mu.Unlock()
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			there.Close()
			return
		}
		g.mu.Lock()
		g.count++
		g.open = append(g.open, here, there)
		g.mu.Unlock()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		go func() { _, _ = io.Copy(here, there); here.Close() }()
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); g.lead(g.to) })
	return g
}

// lead ends all tunnels and leads the next ones to another address.
func (g *gate) lead(to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.open {
		c.Close()
	}
	g.to, g.open = to, nil
}

func (g *gate) admits(r *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	// What a proxy reads is in the header of a server.
	login := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, _ := login.BasicAuth()
	if g.users == nil || g.users[user] == password && password != "" {
		return true
	}
	g.refused++
	return false
}

// refusals is how often somebody was not let through.
func (g *gate) refusals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

func (g *gate) tunnels() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// local is the address of a fake GitHub on this machine, whatever it is called.
func local(t *testing.T, s *githubtest.Server) (host, address string) {
	t.Helper()
	host = strings.TrimPrefix(s.URL(), "https://")
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	return host, "127.0.0.1:" + port
}

// A job that may become root adds an authority of its own to the system's, and
// moves GitHub's name to its server: no token is sent there. The control: the same
// server gets it where the authority was there before the start.
func TestJobAddsAnAuthority(t *testing.T) {
	t.Parallel()
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skip("a life with an /etc/ssl/certs of its own needs root: ", err)
	}
	for name, fromTheStart := range map[string]bool{"by a job": false, "control: before the start": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const host = "github.example"
			w := newWorld(t, githubtest.Options{TLSHosts: []string{host}})
			thief, err := githubtest.Start(githubtest.Options{TLSHosts: []string{host}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(thief.Close)
			from, to := local(t, w.Server)
			_, away := local(t, thief)
			g := newGate(t, from, to)

			dir := t.TempDir()
			certificates := map[string][]byte{"github.pem": w.CA(), "thief.pem": thief.CA()}
			for file, data := range certificates {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			const bundle = "/etc/ssl/certs/ca-certificates.crt"
			add := "cat " + dir + "/thief.pem >> " + bundle + " && cp " + dir + "/thief.pem /etc/ssl/certs/thief.pem"
			prepare := "mount -t tmpfs none /etc/ssl/certs && cp " + dir + "/github.pem " + bundle
			step := add
			if fromTheStart {
				prepare, step = prepare+" && "+add, "true"
			}
			w.wrapper = []string{"unshare", "--mount", "sh", "-c", prepare + ` && exec "$@"`, "sh"}
			l := w.start("EPHEMERAL=false", "RUNNER_WATCHDOG=0", "RUNNER_STOP_GRACE=2s", "HTTPS_PROXY=http://"+g.address)
			w.untilOnline()
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{step}})
			w.until("the job's end", func() bool { return w.Job(job).Status == "completed" })
			if j := w.Job(job); j.Result != "success" {
				t.Fatalf("the job: %+v", j)
			}
			g.lead(away)
			before := thief.Connections()
			l.signal(syscall.SIGTERM)
			<-l.ended
			if thief.Connections() == before {
				t.Error("nobody has come to the thief's server")
			}
			if got := len(thief.Calls("")) > 0; got != fromTheStart {
				t.Errorf("the thief's server got the token: %t, want %t", got, fromTheStart)
			}
		})
	}
}
