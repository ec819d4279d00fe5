package register

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The waits between attempts: full jitter over an exponential bound, the
// schedule with the fewest collisions when a fleet starts in the same second.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = time.Minute
	// secondaryWait is the least wait after a secondary rate limit that names no
	// time ("at least one minute", then exponentially longer).
	secondaryWait        = time.Minute
	longestSecondaryWait = 16 * time.Minute
)

// tries is what one call remembers between its attempts.
type tries struct {
	method, path string
	failed       int
	secondary    int    // secondary rate limits in a row
	reason       string // of the last failure
	ended        error  // why no further attempt is made, when that was ours to decide
}

type triesKey struct{}

// give turns the end of a call without a good answer into its error: the reason
// of a stop, or that GitHub could not be reached in time.
func (t *tries) give(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	var refusal *Error
	if errors.As(err, &refusal) {
		return fmt.Errorf("%w, and the time for it is over: %w", ErrUnreachable, err)
	}
	if bad := certificateProblem(err); bad != nil {
		return bad
	}
	reason := t.reason
	if reason == "" {
		reason = printable(plain(err).Error())
	}
	return fmt.Errorf("%w: %s %s, tried %s: %s: check this container's network, HTTPS_PROXY and GITHUB_API_URL, and githubstatus.com",
		ErrUnreachable, t.method, t.path, times(t.failed), reason)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// plain takes the address off a transport error: the path is named already.
func plain(err error) error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		return urlError.Err
	}
	return err
}

// certificateProblem is a TLS failure that no further attempt can mend.
func certificateProblem(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w: the server's certificate is signed by an authority that this container does not know: set SSL_CERT_FILE to a file with that authority's certificate", ErrConfiguration)
	case errors.As(err, &host):
		return fmt.Errorf("%w: the server's certificate is for another name: %w: correct GITHUB_SERVER_URL or GITHUB_API_URL", ErrConfiguration, host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: the server's certificate is not valid now: check this machine's clock, then the server", ErrConfiguration)
	}
	return nil
}

// checkRetry decides after each attempt, and waits before it says yes: how long
// depends on the answer, and a wait that would outlast the budget is not begun.
func (c *Client) checkRetry(ctx context.Context, response *http.Response, err error) (bool, error) {
	state, _ := ctx.Value(triesKey{}).(*tries)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil && certificateProblem(err) != nil {
		return false, err
	}
	verdict := judge(response, err, time.Now())
	if !verdict.retry {
		return false, nil
	}
	state.failed++
	state.reason = verdict.reason
	wait := state.wait(verdict)
	if deadline, ok := ctx.Deadline(); ok && time.Now().Add(wait).After(deadline) {
		state.ended = context.DeadlineExceeded
		return false, err
	}
	c.options.Log.Warn().Str("call", state.method+" "+state.path).Str("reason", verdict.reason).Int("attempt", state.failed).
		Dur("wait", wait.Round(time.Millisecond)).Msg("GitHub is asked again")
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// verdict is what one attempt's outcome means for the next.
type verdict struct {
	retry     bool
	reason    string
	obey      time.Duration // GitHub's own word on the wait
	secondary bool          // a secondary rate limit without any word on the wait
}

// judge knows what is transient: the network, 5xx, 408, and rate limits, which
// come as 429 or as 403, with headers or with nothing but their message.
func judge(response *http.Response, err error, now time.Time) verdict {
	if err != nil {
		return verdict{retry: true, reason: printable(plain(err).Error())}
	}
	reason := fmt.Sprintf("GitHub answered %d", response.StatusCode)
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusForbidden:
		wait, told := told(response.Header, now)
		secondary := strings.Contains(strings.ToLower(messageOf(response)), "secondary rate limit")
		switch {
		case told:
			return verdict{retry: true, reason: "rate limit: " + reason, obey: wait}
		case secondary, status == http.StatusTooManyRequests:
			return verdict{retry: true, reason: "secondary rate limit: " + reason, secondary: true}
		}
		return verdict{}
	case status == http.StatusRequestTimeout, status >= 500 && status != http.StatusNotImplemented:
		wait, _ := told(response.Header, now)
		return verdict{retry: true, reason: reason, obey: wait}
	}
	return verdict{}
}

// told reads Retry-After (seconds or a date) and, when nothing remains of the
// primary limit, x-ratelimit-reset.
func told(header http.Header, now time.Time) (time.Duration, bool) {
	if after := header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
			return time.Duration(seconds) * time.Second, true
		}
		if date, err := http.ParseTime(after); err == nil {
			return max(date.Sub(now), 0), true
		}
	}
	if header.Get("X-Ratelimit-Remaining") == "0" {
		if reset, err := strconv.ParseInt(header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			return max(time.Unix(reset, 0).Sub(now), 0), true
		}
	}
	return 0, false
}

// wait is the time before the next attempt. A wait that GitHub has named is
// kept, and a part of it added at random: a fleet that was refused together
// must not come back together.
func (t *tries) wait(v verdict) time.Duration {
	if v.secondary {
		t.secondary++
		least := min(secondaryWait<<min(t.secondary-1, 4), longestSecondaryWait)
		return least + rand.N(least/2)
	}
	t.secondary = 0
	if v.obey > 0 {
		return v.obey + rand.N(v.obey/2+time.Second)
	}
	return rand.N(min(firstWait<<min(t.failed-1, 10), longestWait)) + time.Millisecond
}

// messageOf reads GitHub's message without using up the body, which attempts
// has put into memory.
func messageOf(response *http.Response) string {
	body, ok := response.Body.(interface{ Bytes() []byte })
	if !ok {
		return ""
	}
	var content struct{ Message string }
	_ = json.Unmarshal(body.Bytes(), &content)
	return content.Message
}
