package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/register"
)

var success = reply{status: 201, body: goodToken}

// TestWaits tells for each transient failure how long the next attempt waits.
// The clock is the test's: a wait of an hour takes no time.
func TestWaits(t *testing.T) {
	const secondary = `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`
	header := func(pairs ...string) map[string]string {
		h := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = pairs[i+1]
		}
		return h
	}
	// The test's clock begins here; GitHub's is an hour ahead of it.
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	github := began.Add(time.Hour)
	date := github.Format(http.TimeFormat)
	for _, row := range []struct {
		name        string
		failures    []reply
		least, most time.Duration
	}{
		{"network", []reply{{err: errors.New("connection refused")}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"broken answer", []reply{{status: 201, body: goodToken[:10], broken: true}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"garbage", []reply{{status: 201, body: "<html>"}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"garbage with a refusal's status", []reply{{status: 409, body: "\x00\x01"}, {status: 404, body: "<html>"}}, 100 * time.Millisecond, 1500 * time.Millisecond},
		{"empty", []reply{{status: 201}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"hang", []reply{{hang: true}}, 12 * time.Second, 12*time.Second + 500*time.Millisecond},
		{"408", []reply{{status: 408}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"500", []reply{{status: 500}}, 50 * time.Millisecond, 500 * time.Millisecond},
		{"503 with Retry-After", []reply{{status: 503, header: header("Retry-After", "20")}}, 20 * time.Second, 31 * time.Second},
		{"four times 502", []reply{{status: 502}, {status: 502}, {status: 502}, {status: 502}}, 200 * time.Millisecond, 7500 * time.Millisecond},
		{"fifty times 502", repeated(reply{status: 502}, 50), 2500 * time.Millisecond, 44 * time.Minute},
		{"429 with Retry-After", []reply{{status: 429, header: header("Retry-After", "30")}}, 30 * time.Second, 60 * time.Second},
		{"403 with Retry-After", []reply{{status: 403, header: header("Retry-After", "30")}}, 30 * time.Second, 60 * time.Second},
		{"429 with a date", []reply{{status: 429, header: header("Date", date, "Retry-After", github.Add(30*time.Second).Format(http.TimeFormat))}}, 30 * time.Second, 60 * time.Second},
		{"429 with a date that is past", []reply{{status: 429, header: header("Date", date, "Retry-After", began.Format(http.TimeFormat))}}, 0, time.Second},
		{"429 with Retry-After 0", []reply{{status: 429, header: header("Retry-After", "0")}}, 0, time.Second},
		{"ten times 429 with Retry-After 0", repeated(reply{status: 429, header: header("Retry-After", "0")}, 10), time.Second, 303 * time.Second},
		{"429 with nonsense", []reply{{status: 429, header: header("Retry-After", "-1")}}, time.Minute, 2 * time.Minute},
		{"primary limit that is just over", []reply{{status: 403, header: header("Date", date, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(github.Unix()))}}, 0, time.Second},
		{"primary limit", []reply{{status: 403, body: `{"message":"API rate limit exceeded for user ID 1."}`,
			header: header("Date", date, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(github.Add(10*time.Minute).Unix()))}}, 10 * time.Minute, 15*time.Minute + time.Second},
		{"secondary limit, only its message", []reply{{status: 403, body: secondary}}, time.Minute, 2 * time.Minute},
		{"secondary limit that still has quota", []reply{{status: 403, body: secondary, header: header("X-RateLimit-Remaining", "4000", "X-RateLimit-Reset", "946684800")}}, time.Minute, 2 * time.Minute},
		{"secondary limits grow", repeated(reply{status: 429, body: secondary}, 3), 7 * time.Minute, 14 * time.Minute},
		{"old server's limit", []reply{{status: 403, body: `{"message":"You have triggered an abuse detection mechanism."}`}}, time.Minute, 2 * time.Minute},
		{"locked out", []reply{{status: 403, body: `{"message":"Maximum number of login attempts exceeded. Please try again later."}`}}, time.Minute, 2 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &script{replies: map[string][]reply{tokenCall: append(row.failures, success)}}
				began := time.Now()
				token, err := client(t, github).RegistrationToken(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "token", token.Reveal(), "AREG")
				equal(t, "calls", len(github.names()), len(row.failures)+1)
				if took := time.Since(began); took < row.least || took > row.most {
					t.Errorf("waited %s, want %s to %s", took, row.least, row.most)
				}
			})
		})
	}
}

func repeated(r reply, n int) []reply {
	var list []reply
	for range n {
		list = append(list, r)
	}
	return list
}

// TestBudget shows what a call does with its time, and how it ends.
func TestBudget(t *testing.T) {
	const network = "check this container's network, HTTPS_PROXY and GITHUB_API_URL, and githubstatus.com"
	const limits = "start fewer runners at once, or give this fleet credentials of its own: limits are counted for each user and each App"
	for _, row := range []struct {
		name        string
		failure     reply
		budget      time.Duration
		least, most time.Duration // that it takes
		tries       int           // 0: many
		want        string        // %s stands for the tries
	}{
		{"a long wait is not begun", reply{status: 429, body: `{"message":"Slow down"}`, header: map[string]string{"Retry-After": "3600", "X-GitHub-Request-Id": "AB:CD"}}, 15 * time.Minute, 0, 0, 1,
			"GitHub limits the calls: " + tokenCall + ", tried %s: 429 Slow down; it asks to wait 1h0m0s, longer than there is time (request AB:CD): " + limits},
		{"endless wait", reply{status: 429, body: `{"message":"Slow down"}`, header: map[string]string{"Retry-After": "4294967295"}}, 15 * time.Minute, 0, 0, 1,
			"GitHub limits the calls: " + tokenCall + ", tried %s: 429 Slow down; it asks to wait 24h0m0s, longer than there is time: " + limits},
		{"a stop has no minute", reply{status: 403, body: `{"message":"You have exceeded a secondary rate limit."}`}, 2 * time.Second, 0, 0, 1,
			"GitHub limits the calls: " + tokenCall + ", tried %s: 403 You have exceeded a secondary rate limit.: " + limits},
		{"a last try for who has a minute", reply{status: 403, body: `{"message":"You have exceeded a secondary rate limit."}`}, 100 * time.Second, time.Minute, 100 * time.Second, 2,
			"GitHub limits the calls: " + tokenCall + ", tried %s: 403 You have exceeded a secondary rate limit.: " + limits},
		{"one hang does not eat a stop's budget", reply{hang: true}, 3 * time.Second, 2 * time.Second, 3 * time.Second, 0,
			"GitHub could not be reached: " + tokenCall + ", tried %s: no answer in time: " + network},
		{"down", reply{status: 503, header: map[string]string{"X-GitHub-Request-Id": "AB:CD"}}, 15 * time.Minute, 14 * time.Minute, 15 * time.Minute, 0,
			"GitHub could not be reached: " + tokenCall + ", tried %s: 503 Service Unavailable (request AB:CD): see githubstatus.com, or ask who runs the server, and try again"},
		{"no network", reply{err: errors.New("dial tcp: lookup api.github.test: no such host")}, 10 * time.Second, 9 * time.Second, 10 * time.Second, 0,
			"GitHub could not be reached: " + tokenCall + ", tried %s: dial tcp: lookup api.github.test: no such host: " + network},
		{"a tenth of a second", reply{hang: true}, 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 1,
			"GitHub could not be reached: " + tokenCall + ", tried %s: no answer in time: " + network},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &script{replies: map[string][]reply{tokenCall: {row.failure}}}
				began := time.Now()
				_, err := client(t, github).RegistrationToken(within(t, row.budget))
				took, tries := time.Since(began), github.times(tokenCall)
				mustBe(t, err, register.ErrUnreachable)
				said := fmt.Sprintf("%d times", tries)
				if tries == 1 {
					said = "once"
				}
				equal(t, "message", err.Error(), fmt.Sprintf(row.want, said))
				if took < row.least || took > row.most {
					t.Errorf("took %s, want %s to %s", took, row.least, row.most)
				}
				if row.tries != 0 && tries != row.tries || row.tries == 0 && tries < 3 {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

// TestStop shows that a stop ends a call at once, with the stop as its error,
// whatever it is doing.
func TestStop(t *testing.T) {
	stop := errors.New("stopped by SIGTERM")
	for _, row := range []struct {
		name    string
		failure reply
	}{
		{"waiting", reply{status: 429}},
		{"hanging", reply{hang: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(5*time.Second, func() { cancel(stop) })
				began := time.Now()
				_, err := client(t, &script{replies: map[string][]reply{tokenCall: {row.failure}}}).RegistrationToken(ctx)
				if !errors.Is(err, stop) {
					t.Errorf("error %v", err)
				}
				equal(t, "time", time.Since(began), 5*time.Second)
			})
		})
	}
}

func TestEveryWaitIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		github := &script{replies: map[string][]reply{tokenCall: {{status: 502}, {status: 429, header: map[string]string{"Retry-After": "9"}}, success}}}
		if _, err := client(t, github, func(o *register.Options) { o.Log = zerolog.New(&log) }).RegistrationToken(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `"reason":"502 Bad Gateway","attempt":1,"wait":`) || !strings.Contains(lines[1], `"reason":"429 Too Many Requests","attempt":2,"wait":`) {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

// limiter admits so many calls in each minute, as a secondary limit does.
type limiter struct {
	perMinute  int
	retryAfter bool

	mu            sync.Mutex
	began         time.Time
	used, refused int
}

func (l *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.began) >= time.Minute {
		l.began, l.used = now, 0
	}
	l.used++
	answer := success
	if l.used > l.perMinute {
		l.refused++
		answer = reply{status: 403, body: `{"message":"You have exceeded a secondary rate limit."}`}
		if l.retryAfter {
			rest := time.Until(l.began.Add(time.Minute))
			answer.header = map[string]string{"Retry-After": fmt.Sprint(int(rest/time.Second) + 1)}
		}
	}
	return (&script{replies: map[string][]reply{tokenCall: {answer}}}).RoundTrip(r)
}

// TestStorm starts 500 clients in the same second at a server that admits 80
// calls a minute: all of them get their token within 15 minutes.
func TestStorm(t *testing.T) {
	const lives = 500
	for _, retryAfter := range []bool{true, false} {
		t.Run(fmt.Sprintf("Retry-After %v", retryAfter), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &limiter{perMinute: 80, retryAfter: retryAfter}
				began := time.Now()
				var wait sync.WaitGroup
				failed := make(chan error, lives)
				for range lives {
					wait.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
						defer cancel()
						if _, err := client(t, github).RegistrationToken(ctx); err != nil {
							failed <- err
						}
					})
				}
				wait.Wait()
				close(failed)
				for err := range failed {
					t.Error(err)
				}
				t.Logf("%.1f refused calls a life, the last after %s", float64(github.refused)/lives, time.Since(began).Round(time.Second))
				if github.refused > 4*lives {
					t.Errorf("%d refused calls", github.refused)
				}
			})
		})
	}
}
