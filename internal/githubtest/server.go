// Package githubtest is a fake GitHub: stateful, strict, and with faults. It
// refuses what GitHub refuses (docs and OpenAPI description of August 2026), and
// it remembers all that it saw. It serves tests, the demo and benchmarks.
package githubtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// Options is what a server is made of.
type Options struct {
	Addr     string        // default 127.0.0.1:0
	TLSHosts []string      // names and addresses of its certificate; none: plain HTTP
	Latency  time.Duration // added to every answer
	// OfflineAfter is how long a runner whose connection has broken still counts
	// as online; default 200 ms.
	OfflineAfter time.Duration
	// LostAfter is how long a job of such a runner still counts as running;
	// default 5 s. GitHub takes about ten minutes.
	LostAfter time.Duration
	// BusyAfterJob is how long GitHub goes on calling a runner busy after its
	// job has ended; default none.
	BusyAfterJob time.Duration
	// RemoveAfterJob is how long an ephemeral runner stays registered after its
	// job; default none.
	RemoveAfterJob time.Duration
	// Skew is how far the fake's clock is ahead.
	Skew time.Duration
	// InstallationTokenLife is how long an App's installation token is good;
	// default one hour.
	InstallationTokenLife time.Duration
	// CallsPerHour is a caller's primary rate limit; default 5000.
	CallsPerHour int
}

// Call is one request that the server saw.
type Call struct {
	Operation string // registration-token, delete-runner, …
	Method    string
	Path      string // with its query, without the API's prefix
	Status    int    // 0: dropped or hung
	Time      time.Time
	Injected  bool // a fault hit it: the answer is not the fake's own
	Request   Message
	Response  Message
}

// Message is one half of a call, for the check against GitHub's description.
type Message struct {
	Header http.Header
	Body   []byte
}

// Server is the fake. Its world's methods are in world.go.
type Server struct {
	options Options
	http    *http.Server
	url     string
	ca      []byte
	done    chan struct{}
	wait    sync.WaitGroup

	connections atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed at every change, and replaced
	world
	calls     []Call
	faults    []*Fault
	limit     limit
	behaviour Behaviour
	// behaviours are those of single runners, by name.
	behaviours map[string]*Behaviour
	down       bool
	service    *actions.Service
	protocol   Protocol
}

// Start starts a server on a free port.
func Start(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.OfflineAfter == 0 {
		o.OfflineAfter = 200 * time.Millisecond
	}
	if o.InstallationTokenLife == 0 {
		o.InstallationTokenLife = time.Hour
	}
	if o.LostAfter == 0 {
		o.LostAfter = 5 * time.Second
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, done: make(chan struct{}), changed: make(chan struct{}), world: newWorld(), behaviours: map[string]*Behaviour{}, service: actions.New()}
	// config.sh drops a port: only the protocol's own can be used with the real one.
	s.url = "http://" + strings.TrimSuffix(listener.Addr().String(), ":80")
	if len(o.TLSHosts) > 0 {
		certificate, ca, err := makeCertificate(o.TLSHosts)
		if err != nil {
			return nil, err
		}
		s.ca = ca
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		s.url = "https://" + net.JoinHostPort(o.TLSHosts[0], port)
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	}
	s.http = &http.Server{Handler: s, ErrorLog: nil, ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}}
	s.wait.Add(2)
	go func() { defer s.wait.Done(); _ = s.http.Serve(listener) }()
	go func() { defer s.wait.Done(); s.sweepNowAndThen() }()
	return s, nil
}

// URL is the server's address, as GITHUB_SERVER_URL. The API is below /api/v3,
// as on a GitHub Enterprise Server.
func (s *Server) URL() string { return s.url }

// Connections is how many were made to the server so far, the runners' included;
// with TLS each is a handshake.
func (s *Server) Connections() int64 { return s.connections.Load() }

// CA is the certificate of the authority that signed the server's, PEM.
func (s *Server) CA() []byte { return s.ca }

// Close ends the server and every connection to it.
func (s *Server) Close() {
	close(s.done)
	_ = s.http.Close()
	s.wait.Wait()
}

// change runs f with the world locked and wakes all who wait for a change.
func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

// wake tells all who wait that the world has changed; the lock is held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) look(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	f()
}

// WaitFor waits until condition holds, looking after every change. The error is
// the context's.
func (s *Server) WaitFor(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if condition() {
				return nil
			}
			return ctx.Err()
		}
	}
}

// SetDown makes the server drop every connection, or be back.
func (s *Server) SetDown(down bool) { s.change(func() { s.down = down }) }

// Calls returns the calls to the REST API so far; "" for all operations.
func (s *Server) Calls(operation string) []Call {
	var found []Call
	s.look(func() {
		for _, c := range s.calls {
			if operation == "" && !strings.Contains(c.Operation, ":") || c.Operation == operation {
				found = append(found, c)
			}
		}
	})
	return found
}

// Count is len(Calls(operation)).
func (s *Server) Count(operation string) int { return len(s.Calls(operation)) }

// response is an answer before it is written.
type response struct {
	status int
	body   any // nil: none
	header http.Header
}

func (r response) with(key, value string) response {
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(key, value)
	return r
}

// refuse is GitHub's error body.
func refuse(status int, message string, errors ...string) response {
	body := map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)}
	if len(errors) > 0 {
		body["errors"] = errors
	}
	return response{status: status, body: body}
}

// ServeHTTP finds the operation, lets the faults have their way and answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == actions.FeedPath {
		actions.Feed(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	q := s.route(r, body)
	call := Call{Operation: q.operation, Method: r.Method, Path: q.path, Time: time.Now(), Request: Message{r.Header.Clone(), body}}
	if q.query != "" {
		call.Path += "?" + q.query
	}
	fault, dead := s.faultFor(q)
	call.Injected = fault.hit > 0
	if dead || fault.Drop == DropBefore {
		s.note(call)
		panic(http.ErrAbortHandler)
	}
	if fault.Hang {
		s.note(call)
		s.hang(r.Context(), fault)
		panic(http.ErrAbortHandler)
	}
	s.delay(r.Context(), s.options.Latency+fault.Delay)

	var answer response
	if fault.Status != 0 {
		answer = fault.answer(s.now())
		if fault.Status == http.StatusUnauthorized {
			answer = answer.with("WWW-Authenticate", "Bearer")
		}
	} else {
		answer = s.handle(q)
	}
	s.write(w, r, call, answer, fault)
}

// write finishes a call: headers that every answer has, the note, and a drop
// after the effect.
func (s *Server) write(w http.ResponseWriter, r *http.Request, call Call, answer response, fault Fault) {
	header := w.Header()
	for key, values := range answer.header {
		header[key] = values
	}
	header.Set("X-GitHub-Request-Id", strings.ToUpper(random(8)))
	header.Set("Date", time.Now().Add(s.options.Skew).UTC().Format(http.TimeFormat))
	var data []byte
	if answer.body != nil {
		header.Set("Content-Type", "application/json; charset=utf-8")
		data, _ = json.Marshal(answer.body)
	}
	if fault.Garbage {
		answer.status, data = http.StatusOK, []byte("<html>Unicorn!</html>")
	}
	call.Status = answer.status
	call.Response = Message{header.Clone(), data}
	if fault.Drop == DropAfter {
		call.Status = 0
	}
	s.note(call)
	if fault.Drop == DropAfter || r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(data)
}

func (s *Server) note(c Call) { s.change(func() { s.calls = append(s.calls, c) }) }

func (s *Server) delay(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.done:
	}
}

// makeCertificate makes an authority and a certificate of it.
func makeCertificate(hosts []string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "fake GitHub"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
