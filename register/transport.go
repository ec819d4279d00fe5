package register

import (
	"crypto/tls"
	"net/http"
	"os"
	"sync"
	"time"
)

// transport trusts the authorities that there were when it was made. They are
// read once and whole, before its first request is sent: what a job adds to the
// system's later, with sudo, is never believed, and the token never goes to its
// server.
type transport struct {
	*http.Transport
	ready func() // waits for the authorities
}

// NewTransport makes the transport that a client has when it is given none: it
// honours HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR. It reads the
// authorities beside what the caller does before its first request.
func NewTransport() http.RoundTripper { return newTransport(systemRoots(os.Getenv)) }

// newTransport keeps one connection, which serves all calls that come close
// together. A life is quiet for hours after them, so it is closed soon. One call
// at a time gains nothing by HTTP/2, which is half a megabyte of the program:
// releases are built without it (-tags nethttpomithttp2), and nothing here asks
// for it.
func newTransport(roots roots) *transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	t := &transport{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			OnProxyConnectResponse: connected,
			TLSClientConfig:        config,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        10 * time.Second,
		},
		ready: sync.OnceFunc(func() { config.RootCAs = roots.read() }),
	}
	go t.ready()
	return t
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	t.ready()
	response, err := t.Transport.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusProxyAuthRequired { // of a proxy for http
		_ = response.Body.Close()
		proxy, _ := http.ProxyFromEnvironment(request)
		return nil, proxyRefusal(proxy, request.URL.Scheme, response.Header)
	}
	return response, err
}
