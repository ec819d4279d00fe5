package register_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// answering is a server's handler that always hands out a token.
var answering = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, goodToken)
})

// at makes a client over the real transport.
func at(t *testing.T, address string) *register.Client {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, nil, func(o *register.Options) { o.API = base })
}

// TestOneConnection: all calls of a life that come close together use one.
func TestOneConnection(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(answering)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := at(t, server.URL)
	for range 5 {
		if _, err := c.RegistrationToken(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "connections", int(connections.Load()), 1)
}

// TestLostConnection: a connection that GitHub drops is one failed attempt.
func TestLostConnection(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1: // before the answer
			panic(http.ErrAbortHandler)
		case 2: // in the middle of it
			w.Header().Set("Content-Length", fmt.Sprint(len(goodToken)))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, goodToken[:9])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		answering(w, r)
	}))
	defer server.Close()
	if _, err := at(t, server.URL).RegistrationToken(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	equal(t, "calls", int(calls.Load()), 3)
}

// TestUnknownAuthority: no further attempt can mend it.
func TestUnknownAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(answering)
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that we refuse
	server.StartTLS()
	defer server.Close()
	_, err := at(t, server.URL).RegistrationToken(within(t, time.Minute))
	mustBe(t, err, register.ErrConfiguration)
	equal(t, "message", fmt.Sprint(err), "the configuration is wrong: "+tokenCall+": the server's certificate is signed by an authority that this container does not know: set SSL_CERT_FILE to a file with that authority's certificate")
	equal(t, "connections", int(connections.Load()), 1)
	var e *register.Error
	if !errors.As(err, &e) || e.Method != "POST" {
		t.Errorf("%#v", err)
	}
}
