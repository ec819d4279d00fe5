package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

const (
	pollTimeoutV2      = 100 * time.Second
	pollTimeoutClassic = time.Minute
	// emptyPoll is more than the fake takes for an answer without news.
	emptyPoll = 6 * time.Second
	// silentTries is how often the v2 listener asks again, in 40 s, before a poll
	// counts as gone wrong; at fatalFailures of these it ends.
	silentTries   = 5
	fatalFailures = 10
)

// complain prints an error of the connection.
func complain(words string) {
	if !term.mute {
		fail("%s: Runner connect error: %s. Retrying until reconnected.", stamp(), words)
	}
}

// reason is an error in the words of the flow.
func (l *listener) reason(err error) string {
	var r refused
	switch {
	case !isRefused(err, &r):
		return "An error occurred while sending the request."
	case l.settings.UseV2Flow:
		return "Error: " + http.StatusText(r.status)
	case r.status == http.StatusConflict:
		return r.message()
	}
	return http.StatusText(r.status)
}

// poll asks once for a message; v2 asks again without a word.
func (l *listener) poll(ctx context.Context, job int64, m *message) error {
	timeout := pollTimeoutV2
	if !l.settings.UseV2Flow {
		timeout = pollTimeoutClassic
	}
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, max(pace(timeout), emptyPoll))
		err := l.ask(once, http.MethodPost, "message", map[string]any{"job": job}, m)
		cancel()
		if err != nil && l.settings.UseV2Flow && once.Err() == context.DeadlineExceeded && ctx.Err() == nil {
			return nil // an empty poll
		}
		if err == nil || ctx.Err() != nil || !l.settings.UseV2Flow || try == silentTries ||
			isKind(err, "RunnerNotFound") && l.behaviour.Deleted != githubtest.DeletedUnauthorized || isKind(err, "SessionExpired") || isStatus(err, http.StatusUnauthorized) {
			return err
		}
		wait(ctx, between(5*time.Second, 15*time.Second))
	}
}

// next waits for a message: an empty one too. When the listener is to end, ended
// is true and code its exit code.
func (l *listener) next() (m message, code int, ended bool) {
	for l.stop.Err() == nil {
		err := l.poll(l.stop, 0, &m)
		switch {
		case l.stop.Err() != nil && err != nil:
			return message{}, 0, false
		case err == nil:
			if l.lost && !l.settings.UseV2Flow {
				term.say("Runner reconnected.")
				l.lost = false
			}
			if m.Job != nil {
				l.lost, l.failures = false, 0
			}
			return m, 0, false
		case isKind(err, "SessionExpired"):
			var out struct{ Session string }
			if l.ask(l.stop, http.MethodPost, "session", nil, &out) == nil {
				l.session.Store(out.Session)
			}
			continue
		case isKind(err, "RunnerNotFound") && l.behaviour.Ghost:
			<-l.stop.Done()
			return message{}, 0, false
		case isKind(err, "RunnerNotFound") && l.behaviour.Deleted != githubtest.DeletedUnauthorized:
			return m, l.deleted()(), true
		case l.settings.UseV2Flow && isStatus(err, http.StatusUnauthorized):
			return m, fail("An error occurred: Get next message failed with non-retryable error."), true
		}
		if code, ended := l.pollFailed(err); ended {
			return m, code, true
		}
	}
	return m, 0, false
}

func (l *listener) pollFailed(err error) (code int, ended bool) {
	l.failures++
	words := l.reason(err)
	gone := isKind(err, "RunnerNotFound")
	var r refused
	switch {
	case gone:
		words = "Registration " + guid() + " was not found."
	case l.settings.UseV2Flow && isRefused(err, &r):
		words = "Failed to get job message. Request to " + l.settings.ServerURL + "/_broker/message failed with status: " + strings.ReplaceAll(http.StatusText(r.status), " ", "") + ". Error message " + words
	case !l.settings.UseV2Flow && errors.Is(err, context.DeadlineExceeded):
		words = "The HTTP request timed out after 00:01:00."
	}
	if l.settings.UseV2Flow && l.failures == fatalFailures && !gone {
		fail("An error occurred: %s", words)
		return codeRetryable, true
	}
	if !l.lost {
		complain(words)
		l.lost = true
	}
	switch {
	case !l.settings.UseV2Flow:
		wait(l.stop, between(15*time.Second, time.Minute))
	case l.failures <= 5:
		wait(l.stop, between(15*time.Second, 30*time.Second))
	default:
		wait(l.stop, between(30*time.Second, time.Minute))
	}
	return 0, false
}

// deleted says what a listener says whose runner GitHub has deleted, and returns
// what ends it: that waits for its job.
func (l *listener) deleted() (after func() int) {
	end := func(code int) func() int { return func() int { return code } }
	switch {
	case l.behaviour.Deleted == githubtest.DeletedSession:
		fail(deletedWords)
		if l.settings.UseV2Flow {
			return end(fail("An error occurred: Get next message failed with non-retryable error."))
		}
		fail("An error occurred: The runner %s was not found.", l.settings.AgentName)
		return end(codeRetryable)
	case l.behaviour.Deleted == githubtest.DeletedToken && !l.settings.UseV2Flow:
		return end(codeDone) // without words, and the files stay
	}
	// A stop's SIGINT comes just behind its DELETE.
	wait(l.stop, 20*time.Millisecond)
	if l.stop.Err() != nil && l.tokenRefused() {
		fail("An error occurred: Registration %s was not found.", guid())
		return end(codeRetryable)
	}
	fail("The runner no longer exists on the server. Cleaning up local configuration.")
	return func() int { forget(l.root); return codeDone }
}

// tokenRefused tells whether the listener hears of its deletion by the refusal of
// a new token: one time in eleven, and always just after a job.
func (l *listener) tokenRefused() bool {
	switch l.behaviour.TokenRefused {
	case "always":
		return true
	case "never":
		return false
	}
	return !l.jobEnded.IsZero() && time.Since(l.jobEnded) < pace(justAfterJob) || rand.N(11) == 0
}
