package githubtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// patience is how long a test waits for a state before it fails.
const patience = 30 * time.Second

const token = "token-of-a-test"

// world is a server with an organization acme, a repository acme/coach, an
// enterprise corp, and a good classic token.
type world struct {
	*githubtest.Server
	t testing.TB
}

func newWorld(t testing.TB, o githubtest.Options) *world {
	t.Helper()
	s, err := githubtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.AddOrganization("acme")
	s.AddUser("jane")
	s.AddEnterprise("corp")
	s.AddRepository("acme/coach")
	s.AddToken(githubtest.Token{Value: token})
	return &world{s, t}
}

// answer is what a call got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get reads a field of the body, as text; fields of fields with dots.
func (a answer) get(path string) string {
	var v any
	if json.Unmarshal(a.body, &v) != nil {
		return ""
	}
	for part := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = object[part]
	}
	if f, ok := v.(float64); ok {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v)
}

// list reads an array of the body; "" is the body itself.
func (a answer) list(key string) []map[string]any {
	var list []map[string]any
	if key == "" {
		_ = json.Unmarshal(a.body, &list)
		return list
	}
	var object map[string]json.RawMessage
	_ = json.Unmarshal(a.body, &object)
	_ = json.Unmarshal(object[key], &list)
	return list
}

// try is one call of the REST API; headers are given as Name: value.
func (w *world) try(ctx context.Context, method, path string, body any, headers ...string) (answer, error) {
	w.t.Helper()
	var data []byte
	if text, ok := body.(string); ok {
		data = []byte(text)
	} else if body != nil {
		data, _ = json.Marshal(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, w.URL()+"/api/v3"+path, bytes.NewReader(data))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", "a-test")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err = io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, data}, err
}

func (w *world) call(method, path string, body any, headers ...string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := w.try(ctx, method, path, body, headers...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.WaitFor(ctx, condition) != nil {
		w.t.Fatalf("never came: %s\nrunners %+v\njobs %+v", what, w.Runners(), w.Jobs())
	}
}

// listener is the runner's side of the fake's own protocol.
type listener struct {
	w          *world
	ID         int64
	Credential string
	Session    string
}

// ask is one call of the protocol; it returns the status.
func (w *world) ask(ctx context.Context, method, path string, in map[string]any, out any) (int, error) {
	data, _ := json.Marshal(in)
	request, err := http.NewRequestWithContext(ctx, method, w.URL()+"/_runner/"+path, bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(response.Body); err != nil || out == nil || response.StatusCode > 299 {
		return response.StatusCode, err
	}
	return response.StatusCode, json.Unmarshal(data, out)
}

// register registers as config.sh does.
func (w *world) register(name string, more map[string]any) (*listener, int) {
	w.t.Helper()
	in := map[string]any{"token": w.RegistrationToken("acme"), "url": w.URL() + "/acme", "name": name, "labels": []string{"self-hosted", "Linux", "X64"}, "ephemeral": true}
	for k, v := range more {
		in[k] = v
	}
	l := &listener{w: w}
	status, err := w.ask(context.Background(), "POST", "register", in, l)
	if err != nil {
		w.t.Fatal(err)
	}
	return l, status
}

func (l *listener) in(more map[string]any) map[string]any {
	in := map[string]any{"credential": l.Credential, "session": l.Session, "version": "2.336.0"}
	for k, v := range more {
		in[k] = v
	}
	return in
}

func (l *listener) do(method, path string, more map[string]any, out any) int {
	l.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := l.w.ask(ctx, method, path, l.in(more), out)
	if err != nil {
		l.w.t.Fatal(err)
	}
	return status
}

func (l *listener) connect() int { l.w.t.Helper(); return l.do("POST", "session", nil, l) }

// poll polls until something comes, or the context ends.
func (l *listener) poll(ctx context.Context, job int64) (got struct {
	Job    *struct{ ID int64 }
	Cancel bool
}, status int, err error) {
	for {
		status, err = l.w.ask(ctx, "POST", "message", l.in(map[string]any{"job": job}), &got)
		if err != nil || status != http.StatusOK || got.Job != nil || got.Cancel {
			return got, status, err
		}
	}
}

// online registers, connects and polls in the background; what the poll brings
// comes through the channel.
func (w *world) online(name string, more map[string]any) (*listener, <-chan int) {
	w.t.Helper()
	l, status := w.register(name, more)
	if status != http.StatusOK || l.connect() != http.StatusOK {
		w.t.Fatalf("register %s: %d", name, status)
	}
	ended := make(chan int, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	go func() {
		_, status, _ := l.poll(ctx, 0)
		ended <- status
	}()
	w.until(name+" online", func() bool {
		for _, r := range w.Runners() {
			if r.ID == l.ID && r.Online {
				return true
			}
		}
		return false
	})
	return l, ended
}
