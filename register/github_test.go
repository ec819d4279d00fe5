package register_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// api is the base of the REST API that the tests' clients call.
const api = "https://api.github.test"

// Paths of an organization's calls.
const (
	tokenCall  = "POST /orgs/acme/actions/runners/registration-token"
	jitCall    = "POST /orgs/acme/actions/runners/generate-jitconfig"
	groupsCall = "GET /orgs/acme/actions/runner-groups?per_page=100"
	runnerPath = "/orgs/acme/actions/runners/7"
	findCall   = "GET /orgs/acme/actions/runners?per_page=100&name=r-1"
	goodToken  = `{"token":"AREG","expires_at":"2026-01-01T00:00:00.000-08:00"}`
)

// reply is one answer of the scripted GitHub.
type reply struct {
	status int
	body   string
	header map[string]string
	err    error // instead of an answer
	hang   bool  // no answer until the caller gives up
	broken bool  // the body breaks off
}

// call is one request that it saw.
type call struct {
	name          string // method and path with query
	host          string
	authorization string
	header        http.Header
	body          string
	at            time.Time
}

// script is a transport that answers from lists by "METHOD /path"; the last
// reply of a list is repeated. What is in no list is a 404.
type script struct {
	replies map[string][]reply

	mu    sync.Mutex
	calls []call
	count map[string]int
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	c := call{name: r.Method + " " + r.URL.RequestURI(), host: r.URL.Scheme + "://" + r.URL.Host,
		authorization: r.Header.Get("Authorization"), header: r.Header, at: time.Now()}
	if r.Body != nil {
		data, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		c.body = string(data)
	}
	s.mu.Lock()
	if s.count == nil {
		s.count = map[string]int{}
	}
	answer := reply{status: 404, body: `{"message":"Not Found"}`}
	if list := s.replies[c.name]; len(list) > 0 {
		answer = list[min(s.count[c.name], len(list)-1)]
	}
	s.count[c.name]++
	s.calls = append(s.calls, c)
	s.mu.Unlock()

	if answer.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if answer.err != nil {
		return nil, answer.err
	}
	var body io.Reader = strings.NewReader(answer.body)
	if answer.broken {
		body = io.MultiReader(body, brokenReader{})
	}
	header := http.Header{}
	for name, value := range answer.header {
		header.Set(name, value)
	}
	return &http.Response{StatusCode: answer.status, Header: header, Body: io.NopCloser(body), Request: r}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// names are the calls that were made, in order.
func (s *script) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, c := range s.calls {
		names = append(names, c.name)
	}
	return names
}

// times tells how often a call was made.
func (s *script) times(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[name]
}

// client is a client with a token over a transport.
func client(t *testing.T, transport http.RoundTripper, change ...func(*register.Options)) *register.Client {
	t.Helper()
	base, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	options := register.Options{API: base, Scope: register.Organization("acme"), UserAgent: "org-runner/test",
		Credentials: register.Token(secret.New("a-token")), Log: zerolog.Nop(), Transport: transport}
	for _, f := range change {
		f(&options)
	}
	return register.New(options)
}

// scoped changes a client's scope.
func scoped(s register.Scope) func(*register.Options) {
	return func(o *register.Options) { o.Scope = s }
}

// within is a context with a budget.
func within(t *testing.T, budget time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	t.Cleanup(cancel)
	return ctx
}

// mustBe checks an error's kind and that it is of no other.
func mustBe(t *testing.T, err, kind error) {
	t.Helper()
	for _, k := range []error{register.ErrCredentials, register.ErrConfiguration, register.ErrUnreachable, register.ErrNotFound} {
		if got, want := errors.Is(err, k), k == kind; got != want {
			t.Errorf("errors.Is(err, %q) is %v: %v", k, got, err)
		}
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
