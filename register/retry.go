package register

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// The waits between attempts. What fails by itself (network, 5xx) is tried again
// with full jitter below an exponential bound, the schedule with the fewest
// collisions when a fleet starts in the same second.
const (
	shortestWait = 50 * time.Millisecond
	firstWait    = 500 * time.Millisecond
	longestWait  = time.Minute
	// secondaryWait is the least wait after a rate limit that names no time:
	// GitHub wants at least one minute, then exponentially longer ones.
	secondaryWait        = time.Minute
	longestSecondaryWait = 16 * time.Minute
	// foreignTries is after how many refusals that are not of GitHub's form they
	// are believed: one may be garbage, this many come from a wrong address.
	foreignTries = 3
	// longestTold bounds a wait that an answer names; it only keeps arithmetic
	// from overflowing.
	longestTold = 24 * time.Hour
)

type onceKey struct{}

// Once makes the calls of a context give up after their first attempt, and tell
// nobody that they failed: for answers that are good to have and not needed.
func Once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

func isOnce(ctx context.Context) bool { return ctx.Value(onceKey{}) != nil }

// tries is the retry policy of one call, and what it remembers between the
// attempts.
type tries struct {
	method, path string
	log          zerolog.Logger
	trouble      func(reason string)
	failed       int // attempts
	limited      int // rate limits in a row
	foreign      int // answers that are not GitHub's
	last         verdict
	wait         time.Duration // before the next attempt
	over         bool          // no further attempt fits into the budget
}

// check decides after each attempt (a retryablehttp.CheckRetry). A wait that
// would outlast the call's budget is not begun.
func (t *tries) check(ctx context.Context, response *http.Response, err error) (bool, error) {
	v := judge(response, err)
	if !v.transient {
		return false, nil
	}
	if ctx.Err() == nil || t.failed == 0 { // what the budget's end has cut off says nothing of GitHub
		t.last = v
	}
	t.failed++
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if isOnce(ctx) {
		t.over = true
		return false, nil
	}
	if v.foreign {
		if t.foreign++; t.foreign == foreignTries {
			return false, nil
		}
	}
	left := time.Duration(1<<63 - 1)
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline) - shortestAttempt
	}
	if t.wait, t.over = t.next(v, left); t.over {
		return false, nil
	}
	t.trouble(t.method + " " + t.path + ": " + v.reason())
	what := "GitHub could not be reached"
	if v.status != 0 {
		what = fmt.Sprintf("GitHub answered %d", v.status)
	}
	t.log.Warn().Str("call", t.method+" "+t.path).Str("reason", v.reason()).Int("attempt", t.failed).
		Dur("wait", t.wait.Round(time.Millisecond)).Msgf("retrying in %s: %s", t.wait.Round(100*time.Millisecond), what)
	return true, nil
}

// backoff is the wait that check has chosen (a retryablehttp.Backoff).
func (t *tries) backoff(time.Duration, time.Duration, int, *http.Response) time.Duration {
	return t.wait
}

// next draws the wait before the next attempt; over is true if none fits into
// what is left. A wait that GitHub has named is kept, and some of it added at
// random, the more the more often: a fleet that was refused together must not
// come back together.
func (t *tries) next(v verdict, left time.Duration) (wait time.Duration, over bool) {
	if !v.limited {
		t.limited = 0
		if v.named {
			return draw(v.told, v.told*3/2+time.Second, left)
		}
		return draw(shortestWait, min(firstWait<<min(t.failed-1, 10), longestWait), left)
	}
	t.limited++
	if v.named {
		spread := v.told/2 + time.Second
		return draw(v.told, v.told+min(spread<<min(t.limited-1, 6), max(spread, longestWait)), left)
	}
	least := min(secondaryWait<<min(t.limited-1, 4), longestSecondaryWait)
	if least >= left {
		least = secondaryWait // rather too early than never
	}
	return draw(least, least*2, left)
}

// draw is a random time from least up to most, or up to what is left; over if
// not even the least fits.
func draw(least, most, left time.Duration) (wait time.Duration, over bool) {
	if least >= left {
		return 0, true
	}
	return least + rand.N(max(min(most, left)-least, 1)), false
}

// verdict is what one attempt's outcome means for the next.
type verdict struct {
	transient bool
	limited   bool          // by a rate limit
	foreign   bool          // a refusal, but not of GitHub's form
	named     bool          // GitHub has named the time to wait
	told      time.Duration // that time
	status    int           // 0: there was no answer
	message   string
	requestID string
}

func (v verdict) reason() string {
	if v.status == 0 {
		return v.message
	}
	return fmt.Sprintf("%d %s", v.status, v.message)
}

// judge knows what is transient: the network, 5xx, 408, and rate limits, which
// come as 429 or as 403, with headers or with nothing but their message.
func judge(response *http.Response, err error) verdict {
	if err != nil {
		return verdict{transient: !errors.Is(err, ErrConfiguration) && !errors.Is(err, ErrProxy), message: printable(plain(err).Error())}
	}
	if response.StatusCode < 300 {
		return verdict{}
	}
	a := whole(response)
	v := verdict{status: a.status, requestID: a.requestID()}
	text, ours := message(a)
	v.message, v.foreign = text, !ours
	v.told, v.named = told(a.header, a.clock())
	switch {
	case a.status == http.StatusTooManyRequests, a.status == http.StatusForbidden:
		v.limited = a.status == http.StatusTooManyRequests || v.named || isLimit(v.message)
		v.transient = v.limited
	case a.status == http.StatusRequestTimeout, a.status >= 500 && a.status != http.StatusNotImplemented:
		v.transient = true
	}
	// A 5xx, or a rate limit, may come from what stands before GitHub.
	v.foreign = v.foreign && !v.transient
	v.transient = v.transient || v.foreign
	return v
}

// isLimit recognises a rate limit whose answer has no header for it. GitHub also
// locks out for some minutes, good credentials too, after many bad logins.
func isLimit(message string) bool {
	message = strings.ToLower(message)
	for _, sign := range []string{"secondary rate limit", "rate limit exceeded", "abuse detection", "login attempts exceeded"} {
		if strings.Contains(message, sign) {
			return true
		}
	}
	return false
}

// told reads Retry-After (seconds or a date) and, when nothing remains of the
// primary limit, x-ratelimit-reset. now is GitHub's clock: ours may be wrong.
func told(header http.Header, now time.Time) (wait time.Duration, named bool) {
	after := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(after, 10, 32); err == nil {
		wait, named = time.Duration(seconds)*time.Second, true
	} else if date, err := http.ParseTime(after); err == nil {
		wait, named = date.Sub(now), true
	} else if header.Get("X-Ratelimit-Remaining") == "0" {
		if reset, err := strconv.ParseInt(header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			wait, named = time.Unix(reset, 0).Sub(now), true
		}
	}
	return min(max(wait, 0), longestTold), named
}

// plain takes the address off a transport error: the path is named already.
func plain(err error) error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		return urlError.Err
	}
	return err
}

// failure is the error of a call that ended without GitHub's last word.
func (t *tries) failure(ctx context.Context, err error) error {
	if isOver := errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded); ctx.Err() != nil && !isOver {
		return context.Cause(ctx)
	}
	var e *Error // of the transport
	if errors.As(err, &e) {
		e.Method, e.Path = t.method, t.path
		return e
	}
	e = &Error{Method: t.method, Path: t.path, Tries: t.failed, Kind: ErrUnreachable,
		Status: t.last.status, Message: t.last.message, RequestID: t.last.requestID}
	switch {
	case t.last.limited:
		e.Kind, e.Wait = errLimited, secondaryWait
		if t.last.named {
			e.Wait = t.last.told
			e.Message += fmt.Sprintf("; it asks to wait %s, longer than there is time", t.last.told.Round(time.Second))
		}
		e.Remedy = "start fewer runners at once, or give this fleet credentials of its own: limits are counted for each user and each App"
	case t.last.status != 0:
		e.Remedy = "see githubstatus.com, or ask who runs the server, and try again"
	default:
		e.Remedy = "check this container's network, HTTPS_PROXY and GITHUB_API_URL, and githubstatus.com"
	}
	return e
}
