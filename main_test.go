package main

import (
	"strings"
	"testing"
)

// Every call that needs neither GitHub nor a runner: its exit code, what it
// prints and where.
func TestRun(t *testing.T) {
	for _, row := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		stdout  []string
		stderr  []string
	}{
		{"help", []string{"help"}, nil, 0, []string{"org-runner [--env-file FILE] [command] [options]", "healthcheck", "GITHUB_ORGANIZATION"}, nil},
		{"--help", []string{"--help"}, nil, 0, []string{"org-runner [--env-file FILE] [command] [options]"}, nil},
		{"help of a command", []string{"help", "status"}, nil, 0, []string{"org-runner status: this container's runner", "docker compose exec"}, nil},
		{"help of no command", []string{"help", "statsu"}, nil, 64, nil, []string{`there is no command "statsu", did you mean "status"?`}},
		{"version", []string{"version"}, nil, 0, []string{"org-runner dev"}, nil},
		{"misspelt command", []string{"stauts"}, nil, 64, nil, []string{`did you mean "status"?`}},
		{"unknown command", []string{"xyzzy"}, nil, 64, nil, []string{`there is no command "xyzzy"; org-runner help`}},
		{"hidden command is not suggested", []string{"hok"}, nil, 64, nil, []string{`there is no command "hok"; org-runner help`}},
		{"hook without an argument", []string{"hook"}, nil, 64, nil, []string{"org-runner hook job-started"}},
		{"status with an unknown flag", []string{"status", "--yaml"}, nil, 64, nil, []string{"org-runner help status"}},
		{"status without a runner", []string{"status"}, []string{"RUNNER_HOME=/nowhere"}, 75, nil, []string{"no runner answers here", "is this its container"}},
		{"healthcheck without a runner", []string{"healthcheck"}, []string{"RUNNER_HOME=/nowhere"}, 1, []string{"no runner answers here"}, nil},
		{"hook without a life", []string{"hook", "job-started"}, []string{"GITHUB_REPOSITORY=acme/coach"}, 75,
			[]string{"this job does not run", "::error title=org-runner refused this job::", "was not started by the runner's worker"}, nil},
		{"status --json without a runner", []string{"status", "--json"}, []string{"RUNNER_HOME=/nowhere"}, 75, nil, []string{"no runner answers here"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(row.args, row.environ, strings.NewReader(""), &stdout, &stderr); code != row.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, row.code, &stdout, &stderr)
			}
			for _, want := range row.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("standard output lacks %q:\n%s", want, &stdout)
				}
			}
			for _, want := range row.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("standard error lacks %q:\n%s", want, &stderr)
				}
			}
			if len(row.stderr) == 0 && stderr.Len() > 0 {
				t.Errorf("standard error: %s", &stderr)
			}
		})
	}
}
