package register

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The kinds of errors; errors.Is finds them.
var (
	ErrCredentials   = errors.New("GitHub refuses the credentials") // exit code 77
	ErrConfiguration = errors.New("the configuration is wrong")     // exit code 78
	ErrUnreachable   = errors.New("GitHub could not be reached")    // exit code 69
	ErrNotFound      = errors.New("GitHub has no such thing")       // part of a caller's logic

	// ErrBarred are good credentials that are not let in: single sign-on, a list of
	// addresses, a suspended App. No permission would change it.
	ErrBarred error = &special{ErrCredentials.Error(), ErrCredentials}
	// ErrHidden is the target itself, which does not exist or cannot be seen: a 404.
	ErrHidden error = &special{ErrConfiguration.Error(), ErrConfiguration}
	// ErrAbsent is the target where it is known that no permission would show it: no
	// organization has the name, or GitHub does not even show that the repository is there.
	ErrAbsent error = &special{ErrConfiguration.Error(), ErrHidden}

	errBusy     = errors.New("GitHub says it is running a job") // 422 of a DELETE
	errLimited  = &special{"GitHub limits the calls", ErrUnreachable}
	errConflict = &special{"GitHub has a runner of that name already", ErrConfiguration} // 409
)

// special is a kind of error that is also one of a wider kind.
type special struct {
	text string
	kind error
}

func (s *special) Error() string { return s.text }
func (s *special) Unwrap() error { return s.kind }

// Error is a call that did not succeed: GitHub's refusal, or no answer at all.
type Error struct {
	Method, Path string
	Status       int           // 0: there was no answer
	Message      string        // GitHub's, made printable, or what went wrong on the way
	RequestID    string        // X-GitHub-Request-Id: what GitHub's support asks for
	Tries        int           // how many attempts failed before this was given up; 0: it was final at once
	Wait         time.Duration // that GitHub's limits ask for; 0: none
	Remedy       string        // what to do
	Kind         error         // one of the Err…
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%v: %s %s", e.Kind, e.Method, e.Path)
	switch {
	case e.Tries == 1:
		text += ", tried once"
	case e.Tries > 1:
		text += fmt.Sprintf(", tried %d times", e.Tries)
	}
	text += ": "
	if e.Status != 0 {
		text += fmt.Sprintf("%d ", e.Status)
	}
	text += e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Missing tells whether GitHub has answered that there is no such thing, or no such
// call on this server.
func (e *Error) Missing() bool { return e.Status == http.StatusNotFound }

// Refused tells whether GitHub has said that it does not do what it was asked for;
// otherwise it may have done it.
func (e *Error) Refused() bool {
	return e.Status >= 400 && e.Status < 500 && e.Tries == 0
}

// Unwrap makes errors.Is(err, ErrCredentials) and the like work.
func (e *Error) Unwrap() error { return e.Kind }

// malformed is the error of an answer in JSON that is not the documented one.
func malformed(method, path string, a *answer) error {
	return &Error{Method: method, Path: path, Status: a.status, RequestID: a.requestID(), Kind: ErrConfiguration,
		Message: "the answer is not of the documented form", Remedy: "check that GITHUB_API_URL is the address of GitHub's REST API"}
}

// longestText bounds what is shown of text that others wrote, in characters.
const longestText = 300

// printable takes what could steer a terminal or turn its text around out of
// text that others wrote, and bounds its length.
func printable(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(text) {
		if n++; n > longestText {
			return strings.TrimSpace(b.String()) + "…"
		}
		if r == utf8.RuneError {
			r = '?'
		} else if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// message reads GitHub's error body: a message, and with 422 a list of strings
// or objects. ours is false if the answer is no JSON object, which all of
// GitHub's API answers are: then something else has answered.
func message(a *answer) (text string, ours bool) {
	var body struct {
		Message string
		Errors  json.RawMessage // a list, with some refusals a string
	}
	if json.Unmarshal(a.body, &body) != nil {
		return http.StatusText(a.status), false
	}
	if body.Message == "" {
		return http.StatusText(a.status), true
	}
	text = body.Message
	var list []json.RawMessage
	if json.Unmarshal(body.Errors, &list) != nil {
		list = []json.RawMessage{body.Errors}
	}
	for _, raw := range list {
		if detail := detail(raw); detail != "" {
			text += "; " + detail
		}
	}
	return printable(text), true
}

// detail is one of the errors of a refusal.
func detail(raw json.RawMessage) string {
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var one struct{ Field, Code, Message string }
	_ = json.Unmarshal(raw, &one)
	if one.Message != "" {
		return one.Message
	}
	return strings.TrimSpace(one.Field + " " + one.Code)
}
