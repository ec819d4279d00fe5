package register

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A server whose authority is only in the system's folders is believed at the
// second try, with its body anew, and at the first from then on.
func TestAuthoritiesBeyondTheBundle(t *testing.T) {
	var bodies []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
	}))
	defer server.Close()
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	for name, row := range map[string]struct {
		quick, full *x509.CertPool
		all         bool // is what is believed at last
		fails       bool
	}{
		"in the bundle":  {quick: known, full: x509.NewCertPool()},
		"in the folders": {quick: x509.NewCertPool(), full: known, all: true},
		"nowhere":        {quick: x509.NewCertPool(), full: x509.NewCertPool(), all: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			bodies = nil
			tr := &transport{quick: newTransport(row.quick), full: newTransport(row.full)}
			defer tr.quick.CloseIdleConnections()
			defer tr.full.CloseIdleConnections()
			tr.once.Do(func() {}) // the pools are given
			for range 2 {
				request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				response, err := tr.RoundTrip(request)
				if (err != nil) != row.fails {
					t.Fatal(err)
				}
				if err == nil {
					response.Body.Close()
				}
			}
			if want := map[bool]int{true: 0, false: 2}[row.fails]; len(bodies) != want || want == 2 && bodies[0]+bodies[1] != "bodybody" {
				t.Errorf("the server has read %q", bodies)
			}
			if tr.all.Load() != row.all {
				t.Errorf("all %t", tr.all.Load())
			}
		})
	}
}

func TestFileRoots(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	if err := os.WriteFile(good, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		environment map[string]string
		found       bool
	}{
		"a file":                 {map[string]string{"SSL_CERT_FILE": good}, true},
		"a file that is not one": {map[string]string{"SSL_CERT_FILE": bad}, false},
		"no such file":           {map[string]string{"SSL_CERT_FILE": good + "x"}, false},
		"a folder was named":     {map[string]string{"SSL_CERT_FILE": good, "SSL_CERT_DIR": dir}, false},
	} {
		roots := fileRoots(func(name string) string { return row.environment[name] })
		if (roots != nil) != row.found {
			t.Errorf("%s: found %t", name, roots != nil)
		}
	}
}
