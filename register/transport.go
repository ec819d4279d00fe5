package register

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// bundles are where systems keep all their authorities in one file (the list of
// Go's crypto/x509 for Linux).
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// transport trusts at first the authorities of one file alone, the bundle or
// SSL_CERT_FILE. Go reads the system's folders of single certificates too, which
// mostly hold the same ones again: that takes longer than all else before the
// first request. They are read when the file is not enough.
type transport struct {
	once  sync.Once
	quick *http.Transport
	full  *http.Transport
	all   atomic.Bool // the file was not enough, or there is none
}

// NewTransport makes the transport that a client has when it is given none: it
// honours HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR. It reads the
// authorities beside what the caller does before its first request.
func NewTransport() http.RoundTripper {
	t := &transport{full: newTransport(nil)}
	go t.once.Do(t.readRoots)
	return t
}

func (t *transport) readRoots() {
	roots := fileRoots(os.Getenv)
	t.all.Store(roots == nil)
	t.quick = newTransport(roots)
}

// newTransport keeps one connection, which serves all calls that come close
// together. A life is quiet for hours after them, so it is closed soon. One call
// at a time gains nothing by HTTP/2, which is half a megabyte of the program:
// releases are built without it (-tags nethttpomithttp2), and nothing here asks
// for it.
func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     10 * time.Second,
	}
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	t.once.Do(t.readRoots)
	if !t.all.Load() {
		response, err := t.quick.RoundTrip(request)
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) {
			return response, err
		}
		t.all.Store(true)
		// Nothing was sent, but the body may have been closed.
		if request, err = again(request); err != nil {
			return nil, err
		}
	}
	return t.full.RoundTrip(request)
}

// again is a request with its body anew.
func again(request *http.Request) (*http.Request, error) {
	request = request.Clone(request.Context())
	if request.GetBody == nil {
		return request, nil
	}
	body, err := request.GetBody()
	request.Body = body
	return request, err
}

// fileRoots reads the authorities of one file; nil if there is none, or if a
// folder was named.
func fileRoots(getenv func(string) string) *x509.CertPool {
	if getenv("SSL_CERT_DIR") != "" {
		return nil
	}
	files := bundles
	if file := getenv("SSL_CERT_FILE"); file != "" {
		files = []string{file}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if roots := x509.NewCertPool(); roots.AppendCertsFromPEM(data) {
			return roots
		}
	}
	return nil
}
