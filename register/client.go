// Package register is GitHub's side: the REST API with which runners are
// registered, found and removed, the credentials for it, and what its refusals
// mean. It knows nothing of processes.
package register

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// apiVersion is sent as X-GitHub-Api-Version. The older of the two that GitHub
// knows: GitHub Enterprise Servers of several releases know it, its end is March
// 2028, and what we use is the same in both.
const apiVersion = "2022-11-28"

// longestBody bounds an answer in bytes; 100 runners take about 100 KiB.
const longestBody = 16 << 20

// Options is what a client is made of.
type Options struct {
	API         *url.URL // base of the REST API, as https://api.github.com
	Scope       Scope
	Credentials Credentials
	UserAgent   string // GitHub refuses requests without one
	Log         zerolog.Logger
	// Secret is called with every token that GitHub hands out and every JWT,
	// before it is used.
	Secret func(secret.String)
	// Transport is http.DefaultTransport's kind if nil, with HTTPS_PROXY,
	// NO_PROXY and SSL_CERT_FILE honoured.
	Transport http.RoundTripper
}

// Client calls GitHub's REST API. Every call retries what is transient until
// its context ends: the context is the call's budget. It is safe for use by
// several goroutines.
type Client struct {
	options Options
	http    *retryablehttp.Client
}

// New makes a client. It connects when it is first used.
func New(options Options) *Client {
	if options.Secret == nil {
		options.Secret = func(secret.String) {}
	}
	next := options.Transport
	if next == nil {
		next = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     10 * time.Second, // a life is quiet for hours between two calls
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	c := &Client{options: options}
	c.http = &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     &attempts{next},
			CheckRedirect: checkRedirect,
		},
		RetryMax:     1 << 30, // the context ends it
		CheckRetry:   c.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 }, // checkRetry has waited
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	if options.Credentials != nil {
		options.Credentials.use(c)
	}
	return c
}

// checkRedirect follows GitHub's redirects of renamed repositories, but never
// with our credentials to another host. net/http drops Authorization only for
// foreign domains, not for a foreign port or scheme.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if first := via[0].URL; request.URL.Host != first.Host || request.URL.Scheme != first.Scheme {
		return fmt.Errorf("redirected to another server (%s)", request.URL.Host)
	}
	if len(via) > 4 {
		return errors.New("redirected five times")
	}
	return nil
}

// answer is a response that has been read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	date   time.Time // GitHub's clock; zero if it did not tell
}

// request sends one call until GitHub has answered for good or the context
// ends. The answer may be a refusal.
func (c *Client) request(ctx context.Context, authorization secret.String, method, path string, in any) (*answer, error) {
	var body any
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = data
	}
	state := &tries{method: method, path: path}
	request, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, triesKey{}, state), method, c.options.API.String()+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+authorization.Reveal())
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", apiVersion)
	request.Header.Set("User-Agent", c.options.UserAgent)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, state.give(ctx, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{status: response.StatusCode, header: response.Header, body: data}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		a.date = date
	}
	if state.ended != nil && a.status >= 400 {
		return a, state.give(ctx, c.refusal(ctx, method, path, a))
	}
	return a, nil
}

// do is one authorized call. out, if not nil, gets the answer's JSON. A refusal
// is an *Error with guidance.
func (c *Client) do(ctx context.Context, method, path string, in, out any) (*answer, error) {
	token, err := c.options.Credentials.token(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.request(ctx, token, method, path, in)
	if err == nil && a.status == http.StatusUnauthorized && c.options.Credentials.renew(token) {
		if token, err = c.options.Credentials.token(ctx); err != nil {
			return nil, err
		}
		a, err = c.request(ctx, token, method, path, in)
	}
	if err != nil {
		return nil, err
	}
	return a, c.read(ctx, method, path, a, out)
}

// decode is one call with a token of its own.
func (c *Client) decode(ctx context.Context, token secret.String, method, path string, out any) error {
	a, err := c.request(ctx, token, method, path, nil)
	if err != nil {
		return err
	}
	return c.read(ctx, method, path, a, out)
}

// read turns an answer into out or into an error.
func (c *Client) read(ctx context.Context, method, path string, a *answer, out any) error {
	if a.status >= 300 {
		return c.refusal(ctx, method, path, a)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return &Error{Method: method, Path: path, Status: a.status, RequestID: printable(a.header.Get(requestIDHeader)),
			Message: "the answer is not of the documented form", Remedy: "check that GITHUB_API_URL is the address of GitHub's REST API", Kind: ErrConfiguration}
	}
	return nil
}

// pages calls do for a list and each further page that its Link header names.
func (c *Client) pages(ctx context.Context, path string, add func(body []byte) (more bool, err error)) error {
	for path != "" {
		a, err := c.do(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			return err
		}
		more, err := add(a.body)
		if err != nil || !more {
			return err
		}
		if path, err = c.nextPage(a.header.Get("Link")); err != nil {
			return err
		}
	}
	return nil
}

// nextPage returns the path of the page that a Link header calls next, "" if
// there is none. Page addresses are followed, never built.
func (c *Client) nextPage(link string) (string, error) {
	for part := range strings.SplitSeq(link, ",") {
		address, parameters, ok := strings.Cut(strings.TrimSpace(part), ">")
		if !ok || !strings.Contains(parameters, `rel="next"`) {
			continue
		}
		path, ours := strings.CutPrefix(strings.TrimPrefix(address, "<"), c.options.API.String())
		if !ours {
			return "", fmt.Errorf("GitHub's next page is on another server (%s): check GITHUB_API_URL", printable(address))
		}
		return path, nil
	}
	return "", nil
}

// attempts is the transport of single attempts: each has a time limit of its
// own, and its answer is read whole, so that what breaks off or is no JSON is a
// failed attempt like any other.
type attempts struct{ next http.RoundTripper }

// RoundTrip gives an attempt a third of what is left of the call's budget, so
// that one that hangs cannot use it up; GitHub itself aborts after 10 s.
func (t *attempts) RoundTrip(request *http.Request) (*http.Response, error) {
	timeout := 12 * time.Second
	if deadline, ok := request.Context().Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline)/3, 500*time.Millisecond))
	}
	ctx, cancel := context.WithTimeoutCause(request.Context(), timeout, errNoAnswer)
	defer cancel()
	response, err := t.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			err = errNoAnswer
		}
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, longestBody+1))
	switch {
	case errors.Is(context.Cause(ctx), errNoAnswer):
		return nil, errNoAnswer
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(data) > longestBody:
		return nil, errors.New("the answer is endless")
	case response.StatusCode < 300 && response.StatusCode != http.StatusNoContent && !json.Valid(data):
		return nil, errors.New("the answer is no JSON: it did not come from GitHub's API")
	}
	response.Body = &inMemory{bytes.NewReader(data), data}
	response.ContentLength = int64(len(data))
	return response, nil
}

// inMemory is a body that can be looked at before it is read.
type inMemory struct {
	*bytes.Reader
	data []byte
}

func (b *inMemory) Bytes() []byte { return b.data }
func (b *inMemory) Close() error  { return nil }

var errNoAnswer = errors.New("no answer in time")
