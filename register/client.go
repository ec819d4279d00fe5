// Package register is GitHub's side: the REST API with which runners are
// registered, found and removed, the credentials for it, and what its refusals
// mean. It knows nothing of processes.
package register

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// apiVersion is sent as X-GitHub-Api-Version. Of the two that GitHub knows the
// older: GitHub Enterprise Servers of several years know it too and would refuse
// a newer one, github.com supports it until 10 March 2028, and the calls made
// here are the same in both.
const apiVersion = "2022-11-28"

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
	// Trouble is told why a call is about to be tried again, and "" once one got an
	// answer: who looks at a runner that waits wants to know for what.
	Trouble func(reason string)
	// Transport carries the requests; nil for one that honours HTTPS_PROXY,
	// NO_PROXY and SSL_CERT_FILE.
	Transport http.RoundTripper
}

// Client calls GitHub's REST API. Every call retries what is transient until
// its context ends: the context is the call's budget. It is safe for use by
// several goroutines.
type Client struct {
	options Options
	http    *http.Client
}

// New makes a client. It connects when it is first used.
func New(options Options) *Client {
	if options.Secret == nil {
		options.Secret = func(secret.String) {}
	}
	if options.Trouble == nil {
		options.Trouble = func(string) {}
	}
	if options.Transport == nil {
		options.Transport = NewTransport()
	}
	c := &Client{options: options, http: &http.Client{
		Transport:     &attempts{options.Transport},
		CheckRedirect: checkRedirect,
	}}
	if options.Credentials != nil {
		options.Credentials.use(c)
	}
	return c
}

// answer is a response that has been read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) requestID() string { return printable(a.header.Get("X-GitHub-Request-Id")) }

// clock returns GitHub's time, and ours if it does not tell it.
func (a *answer) clock() time.Time {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}

// request sends one call until GitHub has answered for good or the context
// ends. The answer may be a refusal.
func (c *Client) request(ctx context.Context, authorization secret.String, method, path string, in any) (*answer, error) {
	var body any // of which retryablehttp takes a nil for no body, but no nil slice
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = data
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.options.API.String(), "/")+path, body)
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
	policy := &tries{method: method, path: path, log: c.options.Log, trouble: c.options.Trouble}
	client := &retryablehttp.Client{
		HTTPClient:   c.http,
		RetryMax:     math.MaxInt, // the context ends it
		CheckRetry:   policy.check,
		Backoff:      policy.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	response, err := client.Do(request)
	if err != nil || policy.over {
		return nil, policy.failure(ctx, err)
	}
	if !isOnce(ctx) {
		c.options.Trouble("")
	}
	return whole(response), nil
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

// read turns an answer into out or into an error.
func (c *Client) read(ctx context.Context, method, path string, a *answer, out any) error {
	if a.status >= 300 {
		return c.refusal(ctx, method, path, a)
	}
	if out != nil && json.Unmarshal(a.body, out) != nil {
		return malformed(method, path, a)
	}
	return nil
}

// list yields what GitHub hands out in pages: the elements that each page has
// under key, or that it is when key is empty. After an error it ends.
func list[T any](ctx context.Context, c *Client, path, key string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		seen := map[string]bool{}
		for next := path; next != ""; {
			// What stands between us and GitHub may answer every page with the same.
			if seen[next] {
				var none T
				yield(none, fmt.Errorf("%w: GET %s: its next page is one that has been read: check GITHUB_API_URL and HTTPS_PROXY", ErrConfiguration, path))
				return
			}
			seen[next] = true
			p, err := page[T](ctx, c, next, key)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, element := range p.List {
				if !yield(element, nil) {
					return
				}
			}
			next = p.Next
		}
	}
}

// Page is one page of a list. Who reads a long one page by page can do other
// things in between, and go on at a page that failed.
type Page[T any] struct {
	List  []T
	Total int    // of the whole list, where GitHub tells it
	Next  string // what to ask for the next page with, "" after the last
}

func page[T any](ctx context.Context, c *Client, path, key string) (p Page[T], err error) {
	var body json.RawMessage
	a, err := c.do(ctx, http.MethodGet, path, nil, &body)
	if err != nil {
		return p, err
	}
	if key != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return p, malformed(http.MethodGet, path, a)
		}
		body = object[key]
		_ = json.Unmarshal(object["total_count"], &p.Total)
	}
	if json.Unmarshal(body, &p.List) != nil {
		return p, malformed(http.MethodGet, path, a)
	}
	p.Next, err = c.nextPage(a.header.Get("Link"))
	return p, err
}

// nextPage returns the path of the page that a Link header calls next, "" if
// there is none. GitHub wants its page addresses followed, never built.
func (c *Client) nextPage(link string) (string, error) {
	for part := range strings.SplitSeq(link, ",") {
		address, parameters, ok := strings.Cut(strings.TrimSpace(part), ">")
		if !ok || !strings.Contains(parameters, `rel="next"`) {
			continue
		}
		address = strings.TrimPrefix(address, "<")
		path, ours := strings.CutPrefix(address, strings.TrimSuffix(c.options.API.String(), "/"))
		if !ours || !strings.HasPrefix(path, "/") {
			return "", fmt.Errorf("%w: GitHub's next page is on another server (%s): correct GITHUB_API_URL", ErrConfiguration, printable(address))
		}
		return path, nil
	}
	return "", nil
}
