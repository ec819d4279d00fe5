//go:build linux

package runner

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/secret"
)

const (
	refusedLine = "Http response code: Forbidden from 'Post https://api.github.com/actions/runners/register' (Request Id: AB12)"
	diagLine    = "[RUNNER 2026-11-25 10:39:49Z INFO Listener] Runner execution has finished with return code 1"
)

// What config.sh and the listener print when they fail, and what an error says of it.
func TestWhyAChildFailed(t *testing.T) {
	for _, row := range []struct {
		name   string
		lines  []string
		status int // the wait status
		kind   error
		want   []string // in the error
	}{
		{"GitHub's message", []string{refusedLine, `{"message":"Resource not accessible","documentation_url":"x"}`, "Response status code does not indicate success: 403 (Forbidden).", diagLine}, 1 << 8,
			ErrCredentials, []string{"Post https://api.github.com/actions/runners/register: 403 Resource not accessible (request AB12)"}},
		{"in more than one line", []string{refusedLine, "{", `  "message": "Too old"`, "}", diagLine}, 1 << 8, ErrCredentials, []string{"403 Too old"}},
		{"no JSON", []string{refusedLine, "<html>", "Response status code does not indicate success: 403 (Forbidden)."}, 1 << 8, ErrCredentials, []string{"403 Forbidden"}},
		{"an unknown status", []string{"Http response code: 520 from 'POST https://a.test/b' (Request Id: )", "Response status code does not indicate success: 520."}, 1 << 8, ErrUnreachable, []string{"520"}},
		{"no request id", []string{"Http response code: NotFound from 'POST https://a.test/b'"}, 1 << 8, ErrConfiguration, []string{"POST https://a.test/b: 404 Not Found: "}},
		{"classic", []string{"Forbidden", diagLine}, 1 << 8, ErrCredentials, []string{"403 Forbidden"}},
		{"classic, in trouble", []string{"An error occurred: x", "Internal Server Error", diagLine}, 1 << 8, ErrUnreachable, []string{"500 Internal Server Error"}},
		{"too old", []string{refusedLine, `{"message":"Runner version v2.300.0 is deprecated and cannot register"}`}, 1 << 8, ErrDeprecated, []string{"RUNNER_VERSION"}},
		{"the network", []string{"An error occurred while sending the request.", diagLine}, 1 << 8, ErrUnreachable, []string{"HTTPS_PROXY"}},
		{"no name", []string{"Name or service not known (github.corp:443)"}, 1 << 8, ErrUnreachable, []string{"github.corp"}},
		{"a torn line", []string{"Something is wrong. " + diagLine, diagLine}, 1 << 8, ErrRunner, []string{"exit code 1: Something is wrong."}},
		{"the banner", []string{"real words", "|                       " + diagLine}, 1 << 8, ErrRunner, []string{"real words"}},
		{"no space", []string{"Unhandled exception. System.IO.IOException: No space left on device : '/x'", " ---> System.Exception: inner", "   at System.IO.File.Open()",
			"/home/runner/config.sh: line 81: 27496 Aborted                 ./bin/Runner.Listener configure \"$@\""}, 134 << 8, ErrRunner,
			[]string{"exit code 134: System.IO.IOException: No space left on device : '/x': free space"}},
		{"core dumped", []string{"Process terminated. Couldn't find a valid ICU package installed on the system.", "   at System.Environment.FailFast(System.String)",
			"config.sh: line 81: 27496 Aborted                 (core dumped) ./bin/Runner.Listener configure \"$@\""}, 134 << 8, ErrRunner, []string{"valid ICU package", "libicu"}},
		{"nothing", []string{diagLine}, 1 << 8, ErrRunner, []string{"it said nothing"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			lines := newLineQueue()
			s := &scanner{next: &strings.Builder{}, found: lines.add, last: &lines.last}
			if _, err := s.Write([]byte(strings.Join(row.lines, "\n") + "\n")); err != nil {
				t.Fatal(err)
			}
			err := (&Life{}).configFailed(syscall.WaitStatus(row.status), &lines.last)
			if !errors.Is(err, row.kind) {
				t.Errorf("kind of %v", err)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
			for _, bad := range []string{"[RUNNER", "Aborted", "   at"} {
				if strings.Contains(err.Error(), bad) {
					t.Errorf("%q is in %v", bad, err)
				}
			}
		})
	}
}

// A ready token that is no good any more is refused as one that does not exist.
func TestReadyTokenIsRefused(t *testing.T) {
	lines := newLineQueue()
	lines.last.set([]byte("Response status code does not indicate success: 404 (Not Found)."))
	l := &Life{}
	l.Token = secret.New("A123")
	if err := l.configFailed(1<<8, &lines.last); !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), "RUNNER_TOKEN") {
		t.Errorf("%v", err)
	}
}
