package httpd_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/httpd"
)

// serve returns the address of a server whose answer is of that many bytes.
func serve(t *testing.T, size int) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httpd.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }), zerolog.Nop())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// dial opens connections and writes on each.
func dial(t *testing.T, address, text string, n int) (all []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, text); err != nil && text != "" {
			continue // closed for another one already
		}
		all = append(all, c)
	}
	return all
}

func asked(t *testing.T, address string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		t.Error(err)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != 200 {
		t.Error(response.StatusCode, err)
	}
}

// open counts the connections that the server has not closed.
func open(connections []net.Conn, wait time.Duration) (n int) {
	deadline := time.Now().Add(wait)
	for _, c := range connections {
		// A deadline that is over would hide that the connection is closed.
		until := deadline
		if soon := time.Now().Add(5 * time.Millisecond); until.Before(soon) {
			until = soon
		}
		_ = c.SetReadDeadline(until)
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			n++
		}
	}
	return n
}

// Whoever sends nothing, or the beginning of a header, or a body without end, keeps
// nobody else out, however many connections he opens, and is sent away in the end.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for what, begin := range map[string]string{
		"nothing":        "",
		"a header":       "GET / HTTP/1.1\r\nHost: x\r\nX-A: b",
		"a body":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nb",
		"one that stays": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			address := serve(t, 2)
			connections := dial(t, address, begin, 400)
			asked(t, address)
			if n := open(connections, 200*time.Millisecond); n > 100 {
				t.Errorf("%d connections are open", n)
			}
			if what == "one that stays" {
				return // for a minute
			}
			if n := open(connections, 20*time.Second); n > 0 {
				t.Errorf("%d connections are left open", n)
			}
		})
	}
}

// Nor does whoever asks and does not read the answer.
func TestClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	address := serve(t, 64<<20)
	dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 150)
	deadline := time.Now().Add(15 * time.Second)
	for {
		client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Head("http://" + address + "/")
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
