package register_test

import (
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// Of the jobs that a runner has had in a run the newest counts, and one that runs
// has no conclusion.
func TestJobConclusion(t *testing.T) {
	const call = "GET /repos/acme/coach/actions/runs/7/jobs?per_page=100"
	for name, row := range map[string]struct{ jobs, want string }{
		"one":         {`{"runner_id":3,"status":"completed","conclusion":"failure","started_at":"2026-11-25T10:00:00Z"}`, "failure"},
		"the newest":  {`{"runner_id":3,"status":"completed","conclusion":"failure","started_at":"2026-11-25T10:00:00Z"},{"runner_id":3,"status":"completed","conclusion":"success","started_at":"2026-11-25T11:00:00Z"},{"runner_id":3,"status":"completed","conclusion":"cancelled","started_at":"2026-11-25T09:00:00Z"}`, "success"},
		"it runs":     {`{"runner_id":3,"status":"in_progress","conclusion":null,"started_at":"2026-11-25T10:00:00Z"}`, ""},
		"of others":   {`{"runner_id":4,"status":"completed","conclusion":"failure","started_at":"2026-11-25T10:00:00Z"}`, ""},
		"none at all": {``, ""},
	} {
		github := &script{replies: map[string][]reply{call: {{status: 200, body: `{"total_count":3,"jobs":[` + row.jobs + `]}`}}}}
		got, err := client(t, github).JobConclusion(within(t, time.Minute), "acme/coach", 7, 3)
		if err != nil || got != row.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, row.want)
		}
	}
	_, err := client(t, &script{}).JobConclusion(within(t, time.Minute), "acme/coach/../../orgs/acme", 7, 3)
	mustBe(t, err, register.ErrConfiguration)
}
