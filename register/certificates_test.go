package register_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// TestCertificates: what no further attempt can mend ends the call at the first,
// and names what to look at. Each row is a real handshake.
func TestCertificates(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		name     string
		from, to time.Time // when the certificate is valid
		host     string    // what is asked for; the certificate is for github.test
		want     string    // regular expression
	}{
		{"another host", now.Add(-time.Hour), now.Add(time.Hour), "proxy.test",
			`x509: certificate is valid for github\.test, not proxy\.test: correct GITHUB_SERVER_URL or GITHUB_API_URL`},
		{"expired", now.Add(-2 * time.Hour), now.Add(-time.Hour), "github.test",
			`the server's certificate is not valid at this machine's time, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: check this machine's clock, then the server's certificate`},
		{"not yet valid", now.Add(time.Hour), now.Add(2 * time.Hour), "github.test",
			`the server's certificate is not valid at this machine's time, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: check this machine's clock, then the server's certificate`},
	} {
		t.Run(row.name, func(t *testing.T) {
			server, connections := withCertificate(t, row.from, row.to)
			dialer := &net.Dialer{}
			transport := &http.Transport{ // leads every name to the server
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, network, server.Listener.Addr().String())
				},
			}
			t.Cleanup(transport.CloseIdleConnections)
			c := client(t, transport, func(o *register.Options) { o.API = &url.URL{Scheme: "https", Host: row.host} })
			_, err := c.RegistrationToken(within(t, time.Minute))
			mustBe(t, err, register.ErrConfiguration)
			want := "^the configuration is wrong: " + tokenCall + ": " + row.want + "$"
			if !regexp.MustCompile(want).MatchString(fmt.Sprint(err)) {
				t.Errorf("message:\n got %v\nwant %s", err, want)
			}
			equal(t, "connections", connections.Load(), int32(1))
		})
	}
}

// withCertificate starts a server whose self-signed certificate for github.test
// is valid in that time only.
func withCertificate(t *testing.T, from, to time.Time) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "github.test"},
		DNSNames: []string{"github.test"}, NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &appKey().PublicKey, appKey())
	if err != nil {
		t.Fatal(err)
	}
	connections := new(atomic.Int32)
	server := httptest.NewUnstartedServer(answering)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: appKey()}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that we refuse
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, connections
}
