package register_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// The proxies and the authorities are read from the environment once in a
// process, so each row has a process of its own: this test binary again.
const helper = "REGISTER_TEST_API"

func TestMain(m *testing.M) {
	address := os.Getenv(helper)
	if address == "" {
		os.Exit(m.Run())
	}
	base, err := url.Parse(address)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err = register.New(register.Options{API: base, Scope: register.Organization("acme"), UserAgent: "org-runner/test",
			Credentials: register.Token(secret.New("a-token")), Log: zerolog.New(os.Stdout)}).RegistrationToken(ctx)
	}
	fmt.Println("result:", err)
}

func TestEnvironment(t *testing.T) {
	server := httptest.NewTLSServer(answering) // its certificate is for example.com too
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const fine = "result: <nil>"
	for _, row := range []struct {
		name, api   string
		environment []string // PROXY stands for the proxy's address
		says        string
		proxied     []string
	}{
		{"own authority", server.URL, []string{"SSL_CERT_FILE=" + authority}, fine, nil},
		{"proxy", "http://github.test", []string{"HTTP_PROXY=PROXY"}, fine, []string{"POST github.test"}},
		{"proxy, small letters", "http://github.test", []string{"http_proxy=PROXY"}, fine, []string{"POST github.test"}},
		{"proxy for TLS, own authority", "https://example.com", []string{"HTTPS_PROXY=PROXY", "SSL_CERT_FILE=" + authority}, fine, []string{"CONNECT example.com:443"}},
		{"a proxy that leads nowhere", "https://elsewhere.test", []string{"HTTPS_PROXY=PROXY"}, "does not lead to elsewhere.test:443: 502 Bad Gateway", []string{"CONNECT elsewhere.test:443"}},
		{"a proxy that wants a user", "https://login.test", []string{"HTTPS_PROXY=PROXY"}, "the proxy refuses its credentials: " + tokenCall + ": 407 the proxy 127.0.0.1", []string{"CONNECT login.test:443"}},
		{"the same for http", "http://login.test", []string{"http_proxy=PROXY"}, "wants a user and a password: write them in http_proxy", []string{"POST login.test"}},
		{"a proxy with a login of its own", "https://negotiate.test", []string{"HTTPS_PROXY=PROXY"}, "wants another way to log in than Basic: Negotiate", []string{"CONNECT negotiate.test:443"}},
		{"no proxy for it", "http://github.test", []string{"HTTP_PROXY=PROXY", "NO_PROXY=.test"}, "GitHub could not be reached", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			proxy := &proxy{server: server.Listener.Addr().String()}
			listening := httptest.NewServer(proxy)
			defer listening.Close()
			command := exec.Command(os.Args[0])
			command.Env = []string{helper + "=" + row.api}
			for _, variable := range row.environment {
				command.Env = append(command.Env, strings.Replace(variable, "=PROXY", "="+listening.URL, 1))
			}
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if !strings.Contains(string(out), row.says) {
				t.Errorf("output:\n%s", out)
			}
			proxy.mu.Lock()
			defer proxy.mu.Unlock()
			if strings.Contains(row.says, "502") {
				proxy.seen = slices.Compact(proxy.seen) // it may pass: it is tried again
			}
			if !slices.Equal(proxy.seen, row.proxied) {
				t.Errorf("through the proxy: %q, want %q", proxy.seen, row.proxied)
			}
		})
	}
}

// proxy answers plain requests itself and leads every tunnel to one server.
type proxy struct {
	server string

	mu   sync.Mutex
	seen []string
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.Host)
	p.mu.Unlock()
	switch host, _, _ := strings.Cut(r.Host, ":"); {
	case host == "elsewhere.test":
		w.WriteHeader(http.StatusBadGateway)
		return
	case host == "login.test", host == "negotiate.test":
		w.Header().Set("Proxy-Authenticate", map[string]string{"login.test": "Basic realm=x", "negotiate.test": "Negotiate"}[host])
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case r.Method != http.MethodConnect:
		answering(w, r)
		return
	}
	there, err := net.Dial("tcp", p.server)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer here.Close()
	fmt.Fprint(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
	_, _ = io.Copy(here, there)
}
