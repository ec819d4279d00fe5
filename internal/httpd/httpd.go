// Package httpd serves HTTP to whoever reaches a port, also to a job: nobody can
// hold a connection for long, nor so many that others find none.
package httpd

import (
	"bytes"
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/text"
)

const (
	// mostOpen bounds the connections that are open at once.
	mostOpen = 100
	// enough is for how long a request is answered undisturbed while others wait for
	// a connection.
	enough = 2 * time.Second
)

// Server is an http.Server with bounds: a request has 5 s for its header and 10 s in
// all, an answer 30 s; a connection without a request is closed after a minute.
type Server struct{ http.Server }

// New makes a server. What net/http has to say goes to the debug log.
func New(handler http.Handler, l zerolog.Logger) *Server {
	s := &Server{}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(heldKey{}).(*held); ok {
			c.change(true)
			defer c.change(false)
		}
		handler.ServeHTTP(w, r)
	})
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, heldKey{}, c) }
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = 5*time.Second, 10*time.Second, 30*time.Second, time.Minute
	s.MaxHeaderBytes = 16 << 10
	s.ErrorLog = log.New(debugLog{l}, "", 0)
	return s
}

// Serve answers on a listener until the server is closed.
func (s *Server) Serve(listener net.Listener) error {
	return s.Server.Serve(&bounded{Listener: listener, open: map[*held]bool{}})
}

type debugLog struct{ log zerolog.Logger }

func (d debugLog) Write(p []byte) (int, error) {
	d.log.Debug().Msg(text.Line(string(bytes.TrimSpace(p))))
	return len(p), nil
}

// bounded is a listener with mostOpen connections at once.
type bounded struct {
	net.Listener
	mu   sync.Mutex
	open map[*held]bool
}

// Accept makes room for a new connection by closing the one that has waited longest
// for its client; where all are being answered, one that has had enough time.
// Otherwise the new one is closed.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		h := &held{Conn: c, owner: b, since: time.Now()}
		b.mu.Lock()
		room := len(b.open) < mostOpen
		victim := b.oldest()
		if room || victim != nil {
			b.open[h] = true
		}
		b.mu.Unlock()
		switch {
		case room:
			return h, nil
		case victim != nil:
			_ = victim.Close()
			return h, nil
		}
		_ = c.Close()
	}
}

// oldest is the connection to be closed for another one; nil: none.
func (b *bounded) oldest() (victim *held) {
	for c := range b.open {
		if c.answered && time.Since(c.since) < enough {
			continue
		}
		if victim == nil || victim.answered && !c.answered || victim.answered == c.answered && c.since.Before(victim.since) {
			victim = c
		}
	}
	return victim
}

type heldKey struct{}

// held is a connection that the listener knows.
type held struct {
	net.Conn
	owner *bounded

	// Under the owner's lock.
	answered bool      // a request is being answered
	since    time.Time // when that began or ended
}

func (h *held) change(answered bool) {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.answered, h.since = answered, time.Now()
}

func (h *held) Close() error {
	h.owner.mu.Lock()
	delete(h.owner.open, h)
	h.owner.mu.Unlock()
	return h.Conn.Close()
}
