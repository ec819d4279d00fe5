//go:build linux

package runner

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// limitedError is a rate limit: GitHub could not be reached in time, and wants more
// patience than a failure does.
type limitedError struct{ error }

func (e limitedError) Unwrap() error { return e.error }

// configFailed is the error of a config.sh that has ended with a failure: of the
// kind that GitHub's refusal has with our own calls, with its cause and a remedy.
func (l *Life) configFailed(status syscall.WaitStatus, said *lastLine) error {
	r := said.refused()
	words := said.get()
	switch {
	case said.died() != "":
		return fmt.Errorf("%w: config.sh ended with %s: %s%s", ErrRunner, describe(status), said.died(), remedyOf(said.died()))
	case r.status != 0:
		return l.refusedConfig(r)
	case isNetwork(words):
		return fmt.Errorf("%w: config.sh: %s: check this container's network, HTTPS_PROXY and GITHUB_SERVER_URL, and githubstatus.com", ErrUnreachable, words)
	case words == "":
		words = "it said nothing"
	}
	err := fmt.Errorf("%w: config.sh ended with %s: %s%s", ErrRunner, describe(status), words, remedyOf(words))
	if !l.Token.IsZero() {
		err = fmt.Errorf("%w: %s", err, readyTokenRemedy)
	}
	return err
}

const readyTokenRemedy = "a ready RUNNER_TOKEN is good for one hour and for one organization or repository only: request a new one, or give GITHUB_TOKEN instead"

// refusedConfig classifies a refusal as register does those of our own calls.
func (l *Life) refusedConfig(r refusal) error {
	text := "config.sh: "
	if r.call != "" {
		text += r.call + ": "
	}
	text += fmt.Sprint(r.status, " ")
	if r.message != "" {
		text += r.message
	} else {
		text += http.StatusText(r.status)
	}
	if r.requestID != "" {
		text += " (request " + r.requestID + ")"
	}
	said := strings.ToLower(r.message)
	switch {
	case strings.Contains(said, "version") && strings.Contains(said, "deprecated"):
		return fmt.Errorf("%w: %s: rebuild the image with the newest RUNNER_VERSION", ErrDeprecated, text)
	case r.status == http.StatusTooManyRequests, r.status == http.StatusForbidden && isLimit(said):
		return limitedError{fmt.Errorf("%w: %s: start fewer runners at once, or give this fleet credentials of its own: limits are counted for each user and each App", ErrUnreachable, text)}
	case r.status == http.StatusRequestTimeout, r.status >= 500 && r.status != http.StatusNotImplemented:
		return fmt.Errorf("%w: %s: see githubstatus.com, or ask who runs the server, and try again", ErrUnreachable, text)
	case r.status == http.StatusConflict:
		return errNameTaken
	case !l.Token.IsZero() && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusNotFound):
		return fmt.Errorf("%w: %s: %s", ErrCredentials, text, readyTokenRemedy)
	case r.status == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s: GitHub has just made the registration token that it refuses here: check that GITHUB_SERVER_URL and GITHUB_API_URL belong to the same server, and this machine's clock", ErrCredentials, text)
	case r.status == http.StatusForbidden:
		return fmt.Errorf("%w: %s: ask an owner of the organization whether its policy allows self-hosted runners, and its IP allow list this machine", ErrCredentials, text)
	case r.status == http.StatusNotFound:
		return fmt.Errorf("%w: %s: check that GITHUB_SERVER_URL and GITHUB_API_URL belong to the same server, and that %s exists there", ErrConfiguration, text, l.URL)
	}
	return fmt.Errorf("%w: %s: correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent", ErrConfiguration, text)
}

// isLimit recognises a rate limit by GitHub's words: config.sh prints no headers.
func isLimit(message string) bool {
	for _, sign := range []string{"secondary rate limit", "rate limit exceeded", "abuse detection"} {
		if strings.Contains(message, sign) {
			return true
		}
	}
	return false
}

// isNetwork recognises .NET's words for a server that could not be reached.
func isNetwork(words string) bool {
	words = strings.ToLower(words)
	for _, sign := range []string{
		"an error occurred while sending the request", "the ssl connection could not be established", "httpclient.timeout", "request timed out",
		"a task was canceled", "the operation was canceled", "the response ended prematurely", "unable to read data from the transport connection",
		"error while copying content to a stream", "connection refused", "connection reset", "connection timed out", "operation timed out", "no route to host",
		"network is unreachable", "name or service not known", "temporary failure in name resolution", "resource temporarily unavailable",
		"nodename nor servname", "the proxy tunnel request", "no such host", "broken pipe",
	} {
		if strings.Contains(words, sign) {
			return true
		}
	}
	return false
}

// remedyOf says what to do about what .NET dies of before it can do anything.
func remedyOf(cause string) string {
	const files = "give the container more open files (--ulimit nofile=65536)"
	has := func(sign string) bool { return strings.Contains(cause, sign) }
	switch {
	case has("No space left on device"):
		return ": free space on the disk that holds RUNNER_HOME"
	case has("ICU package"), has("libicu"), has("Libicu"):
		return ": install libicu in the image (bin/installdependencies.sh does), and " + files + " if it is there"
	case has("Could not load file or assembly"), has("Too many open files"):
		return ": " + files + "; if it has enough, unpack the official runner again"
	case has("Out of memory"), has("OutOfMemory"), has("GC heap initialization failed"):
		return ": give the container more memory"
	}
	return ""
}

const (
	// shortestConfig is what one config.sh needs to be worth its start.
	shortestConfig = 3 * time.Second
	// limitedPause is the least wait after a rate limit that names no time, as
	// GitHub wants it; longestPause the most after a failure.
	limitedPause = time.Minute
	longestPause = time.Minute
)

// pauseAfter is the wait before the next config.sh, which has asked GitHub three
// times by itself: with jitter, 2 s at the most after the first failure, then longer
// ones up to a minute; a minute at the least after a rate limit.
func pauseAfter(err error, failed int) time.Duration {
	doubled := min(failed-1, 5)
	var limited limitedError
	if errors.As(err, &limited) {
		return limitedPause<<doubled + jittered(limitedPause<<doubled)
	}
	return jittered(min(2*time.Second<<doubled, longestPause))
}
