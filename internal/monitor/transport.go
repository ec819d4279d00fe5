package monitor

import (
	"bytes"
	"compress/flate"
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/virtuoso902/org-runner/register"
)

const (
	// cachedBytes bounds the cache, as compressed. A page of 100 runners takes about
	// 5 KiB there.
	cachedBytes = 16 << 20
	// longestBody is what is looked at of one answer, in bytes; register reads as
	// much.
	longestBody = 16 << 20
)

// Transport makes requests conditional and counts them. It goes below
// register.Client, as its Options.Transport.
//
// An answer that has not changed costs nothing at GitHub (304). A call whose
// context carries tags is told so by errUnchanged, and what it got the last time
// still holds; every other GET gets the answer of the last time again, out of a
// bounded cache.
type Transport struct {
	next  http.RoundTripper
	meter *meter

	mu      sync.Mutex
	cache   map[string]*list.Element
	recent  *list.List // of *cached, the last used first
	size    int
	deflate *flate.Writer
}

type cached struct {
	url, tag string
	header   http.Header
	body     []byte // deflated
}

// final is an error that no further attempt can mend: register knows such ones by
// ErrConfiguration.
type final string

func (f final) Error() string { return string(f) }
func (final) Unwrap() error   { return register.ErrConfiguration }

// The errors of the transport.
const (
	errUnchanged = final("nothing has changed")
	errBudget    = final("the budget of calls is used up")
)

// tags is what makes a call conditional: the ETag of its first page.
type tags struct{ url, tag, fresh string }

type tagsKey struct{}

// ifChanged makes the calls of a context end with errUnchanged when the first page
// is what it was when keep was called.
func ifChanged(ctx context.Context, t *tags) context.Context {
	t.url, t.fresh = "", ""
	return context.WithValue(ctx, tagsKey{}, t)
}

type onceKey struct{}

// once keeps the answers of a context's calls out of the cache: they are asked for
// one time.
func once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// keep is called when the answer has been understood whole.
func (t *tags) keep() { t.tag = t.fresh }

// forget makes the next call unconditional.
func (t *tags) forget() { t.tag, t.fresh = "", "" }

func newTransport(next http.RoundTripper, m *meter) *Transport {
	deflate, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is a good one
	return &Transport{next: next, meter: m, cache: map[string]*list.Element{}, recent: list.New(), deflate: deflate}
}

// RoundTrip sends a request, if the budget allows it.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !t.meter.begin() {
		return nil, &register.Error{Kind: errBudget, Message: "no call is left in this hour", Remedy: "give --calls-per-hour more"}
	}
	if request.Method != http.MethodGet || request.Context().Value(onceKey{}) != nil {
		response, err := t.next.RoundTrip(request)
		t.meter.end(response, asApp(request))
		return response, err
	}
	url := request.URL.String()
	own, conditional := request.Context().Value(tagsKey{}).(*tags)
	if conditional {
		if own.url == "" {
			own.url = url
		}
		conditional = own.url == url
	}
	tag := ""
	var old *cached
	if conditional {
		tag = own.tag
	} else if old = t.look(url); old != nil {
		tag = old.tag
	}
	if tag != "" {
		request = request.Clone(request.Context())
		request.Header.Set("If-None-Match", tag)
	}
	response, err := t.next.RoundTrip(request)
	t.meter.end(response, asApp(request))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusNotModified && tag != "" && conditional:
		response.Body.Close()
		return nil, &register.Error{Kind: errUnchanged, Message: "304"}
	case response.StatusCode == http.StatusNotModified && tag != "":
		response.Body.Close()
		return old.answer(response)
	case response.StatusCode != http.StatusOK || response.Header.Get("Etag") == "":
		return response, nil
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, longestBody+1))
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(data))
	// A torn or foreign answer is not kept: the next request must get a whole one.
	if !json.Valid(data) {
		return response, nil
	}
	if conditional {
		own.fresh = response.Header.Get("Etag")
		return response, nil
	}
	t.store(url, response.Header, data)
	return response, nil
}

// asApp tells whether a request is one of the App itself, of which GitHub counts
// apart from those of its installation.
func asApp(request *http.Request) bool {
	return strings.Contains(request.URL.Path, "/app/installations/") || strings.HasSuffix(request.URL.Path, "/installation")
}

// answer is the good answer of the last time under the header of a 304.
func (c *cached) answer(response *http.Response) (*http.Response, error) {
	for name, values := range c.header {
		if _, told := response.Header[name]; !told {
			response.Header[name] = values
		}
	}
	response.StatusCode, response.Status = http.StatusOK, "200 OK"
	response.ContentLength = -1
	response.Body = flate.NewReader(bytes.NewReader(c.body))
	return response, nil
}

func (t *Transport) look(url string) *cached {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.cache[url]
	if e == nil {
		return nil
	}
	t.recent.MoveToFront(e)
	return e.Value.(*cached)
}

// store keeps an answer and lets go of those that were not used for the longest
// time.
func (t *Transport) store(url string, header http.Header, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var body bytes.Buffer
	t.deflate.Reset(&body)
	_, err := t.deflate.Write(data)
	if errors.Join(err, t.deflate.Close()) != nil {
		return // a buffer takes everything
	}
	if e := t.cache[url]; e != nil {
		t.drop(e)
	}
	c := &cached{url: url, tag: header.Get("Etag"), header: http.Header{}, body: bytes.Clone(body.Bytes())}
	for _, name := range []string{"Etag", "Link", "Content-Type"} {
		if values := header[name]; values != nil {
			c.header[name] = values
		}
	}
	t.cache[url] = t.recent.PushFront(c)
	for t.size += len(c.body); t.size > cachedBytes; {
		t.drop(t.recent.Back())
	}
}

func (t *Transport) drop(e *list.Element) {
	c := t.recent.Remove(e).(*cached)
	delete(t.cache, c.url)
	t.size -= len(c.body)
}
