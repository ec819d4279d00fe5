package main

import (
	"strings"
	"testing"
)

// Wrong variables: all of them, in one message, before anything is done.
func TestRunReportsAllProblems(t *testing.T) {
	var stdout, stderr strings.Builder
	environ := []string{"GITHUB_TOKEN=ghp_secret-of-a-test", "GITHUB_ORGANIZATION=acme", "GITHUB_REPOSITORY=acme/coach", "EPHEMERAL=ture", "RUNNER_STOP_GRACE=10"}
	if code := run(nil, environ, strings.NewReader(""), &stdout, &stderr); code != 78 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"GITHUB_REPOSITORY is set together with GITHUB_ORGANIZATION", `EPHEMERAL is "ture"`, "RUNNER_STOP_GRACE is \"10\"", "10s"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, &stderr)
		}
	}
	if strings.Contains(stderr.String(), "secret-of-a-test") {
		t.Error("the token is shown")
	}
	if code := run([]string{"run", "now"}, nil, strings.NewReader(""), &stdout, &stderr); code != 64 {
		t.Errorf("run with an argument: exit code %d", code)
	}
}
