package register

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// authority starts a server and returns it with its authority, in PEM.
func authority(t *testing.T, handler http.HandlerFunc) (*httptest.Server, []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// An authority that comes later, wherever it comes, is not believed: not even
// after a server that nobody knows has been met. The control: it is by a transport
// that is made afterwards.
func TestAuthoritiesAreReadOnce(t *testing.T) {
	first, known := authority(t, func(http.ResponseWriter, *http.Request) {})
	// A certificate of its own: httptest's servers share one.
	tokens := 0
	second := otherAuthority(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			tokens++
		}
	})
	ask := func(client http.RoundTripper, address string) error {
		request, err := http.NewRequest(http.MethodPost, address, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer a-token")
		response, err := client.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	dir, folder := t.TempDir(), t.TempDir()
	for name, later := range map[string]string{
		"the bundle":                  filepath.Join(dir, "bundle.pem"),
		"a bundle that was not there": filepath.Join(dir, "another.pem"),
		"a folder":                    filepath.Join(folder, "later.pem"),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "bundle.pem"), known)
			where := roots{files: []string{filepath.Join(dir, "none.pem"), filepath.Join(dir, "bundle.pem")}, folders: []string{folder, dir + "/none"}}
			if strings.HasPrefix(name, "a bundle") {
				where.files[0] = later
			}
			tokens = 0
			tr := newTransport(where)
			defer tr.CloseIdleConnections()
			if err := ask(tr, first.URL); err != nil {
				t.Fatal(err)
			}
			write(t, later, second.pem)
			defer os.Remove(later)
			for range 2 {
				if err := ask(tr, second.URL); err == nil || tokens != 0 {
					t.Fatalf("error %v, and the server has %d tokens", err, tokens)
				}
			}
			control := newTransport(where)
			defer control.CloseIdleConnections()
			if err := ask(control, second.URL); err != nil || tokens != 1 {
				t.Fatalf("the control: error %v, and the server has %d tokens", err, tokens)
			}
		})
	}
}

func TestRoots(t *testing.T) {
	_, known := authority(t, nil)
	other := otherAuthority(t, nil).pem
	dir, folder := t.TempDir(), t.TempDir()
	bundle := write(t, filepath.Join(dir, "bundle.pem"), append([]byte("# a comment\n"), known...))
	bad := write(t, filepath.Join(dir, "bad.pem"), []byte("no certificate"))
	write(t, filepath.Join(folder, "again.pem"), known)
	write(t, filepath.Join(folder, "other.crt"), other)
	if err := os.Symlink("other.crt", filepath.Join(folder, "0badcafe.0")); err != nil {
		t.Fatal(err)
	}
	pool := func(certificates ...[]byte) *x509.CertPool {
		p := x509.NewCertPool()
		for _, c := range certificates {
			p.AppendCertsFromPEM(c)
		}
		return p
	}
	for name, row := range map[string]struct {
		roots roots
		want  *x509.CertPool
	}{
		"a file":                       {roots{files: []string{bundle}}, pool(known)},
		"the first that is one":        {roots{files: []string{dir + "/none", bad, bundle}}, pool(known)},
		"a folder":                     {roots{folders: []string{folder}}, pool(known, other)},
		"both":                         {roots{files: []string{bundle}, folders: []string{dir + "/none", folder}}, pool(known, other)},
		"a file that is none":          {roots{files: []string{bad}}, pool()},
		"of a system with its own way": {roots{}, nil},
	} {
		got := row.roots.read()
		if (got == nil) != (row.want == nil) || got != nil && !got.Equal(row.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	set := map[string]string{}
	getenv := func(name string) string { return set[name] }
	if own := systemRoots(getenv); runtime.GOOS == "linux" && !slices.Contains(own.files, "/etc/ssl/certs/ca-certificates.crt") {
		t.Errorf("%+v", own)
	}
	set["SSL_CERT_FILE"], set["SSL_CERT_DIR"] = bundle, "/a:/b"
	if own := systemRoots(getenv); !slices.Equal(own.files, []string{bundle}) || !slices.Equal(own.folders, []string{"/a", "/b"}) {
		t.Errorf("%+v", own)
	}
}

type secondServer struct {
	URL string
	pem []byte
}

// otherAuthority starts a server with a certificate of its own.
func otherAuthority(t *testing.T, handler http.HandlerFunc) secondServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "another authority"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused
	server.StartTLS()
	t.Cleanup(server.Close)
	return secondServer{server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}
