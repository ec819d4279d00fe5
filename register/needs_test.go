package register_test

import (
	"context"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// Each refusal names what the refused call itself needs.
func TestNeedsOfOtherCalls(t *testing.T) {
	for _, row := range []struct {
		call, want string
		do         func(context.Context, *register.Client) error
	}{
		{"GET /orgs/acme/actions/permissions/self-hosted-runners", `the credentials may not see the organization's policy for runners: needed is the scope admin:org (classic token) or the organization permission "Actions policies", read (fine-grained token, App)`,
			func(ctx context.Context, c *register.Client) error { _, err := c.RunnerPolicy(ctx); return err }},
		{"GET /repos/acme/coach/actions/runs?per_page=100&status=queued", `the credentials may not see runs and jobs: needed is the scope repo (classic token) or the repository permission "Actions", read (fine-grained token, App)`,
			func(ctx context.Context, c *register.Client) (failure error) {
				for _, err := range c.Runs(ctx, "acme/coach", "queued", "") {
					failure = err
				}
				return failure
			}},
		{"GET /repos/acme/coach/actions/runs/7/jobs?per_page=100", `the credentials may not see runs and jobs: needed is the scope repo (classic token) or the repository permission "Actions", read (fine-grained token, App)`,
			func(ctx context.Context, c *register.Client) error {
				_, err := c.JobQueued(ctx, "acme/coach", 7, 1)
				return err
			}},
		{"POST /repos/acme/coach/actions/runs/7/cancel", `the credentials may not cancel runs: needed is the scope repo (classic token) or the repository permission "Actions", read and write (fine-grained token, App)`,
			func(ctx context.Context, c *register.Client) error { return c.CancelRun(ctx, "acme/coach", 7) }},
		{"GET /repos/acme/coach", `the credentials may not see the repository: needed is the scope repo (classic token) or the repository permission "Metadata", read (fine-grained token, App)`,
			func(ctx context.Context, c *register.Client) error {
				_, err := c.Repository(ctx, "acme/coach")
				return err
			}},
		{"GET /orgs/acme/actions/runner-groups/3/repositories?per_page=100", "the credentials may not manage the runners of the organization acme: needed is " + needOrganization,
			func(ctx context.Context, c *register.Client) error { _, err := c.GroupRepositories(ctx, 3); return err }},
	} {
		t.Run(row.call, func(t *testing.T) {
			github := &script{replies: map[string][]reply{row.call: {{status: 403, body: `{"message":"Resource not accessible by personal access token"}`}}}}
			err := row.do(within(t, time.Minute), client(t, github))
			mustBe(t, err, register.ErrCredentials)
			equal(t, "message", err.Error(), "GitHub refuses the credentials: "+row.call+": 403 Resource not accessible by personal access token: "+row.want)
		})
	}
}

// What the fake of these tests hands out is read as GitHub's description has it.
func TestAccountAndVersions(t *testing.T) {
	github := &script{replies: map[string][]reply{
		"GET /user": {{status: 200, body: `{"login":"somebody"}`, header: map[string]string{"X-OAuth-Scopes": "admin:org, repo", "GitHub-Authentication-Token-Expiration": "2026-12-01 10:00:00 UTC"}}},
		"GET /orgs/acme/actions/runners/downloads":            {{status: 200, body: `[{"os":"linux","architecture":"x64","filename":"actions-runner-linux-x64-2.336.0.tar.gz"},{"os":"win","architecture":"x64","filename":"actions-runner-win-x64-2.336.0.zip"}]`}},
		"GET /orgs/acme/actions/runners/deprecations/2.300.0": {{status: 200, body: `{"runner_version":"2.300.0","registration_deprecates_at":"2026-01-02T03:04:05Z","runtime_deprecates_at":null}`}},
		"GET /rate_limit": {{status: 200, body: `{"resources":{"core":{"limit":5000,"remaining":4321,"reset":1800000000}}}`}},
		"POST /repos/acme/coach/actions/runs/7/cancel": {{status: 409, body: `{"message":"Cannot cancel a workflow run that is completed."}`}},
	}}
	c := client(t, github)
	ctx := within(t, time.Minute)
	caller, err := c.Caller(ctx)
	if err != nil || caller.Login != "somebody" || caller.Kind != "classic token" || len(caller.Scopes) != 2 || !caller.Expires.Equal(time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("caller %+v, %v", caller, err)
	}
	downloads, err := c.Downloads(ctx)
	if err != nil || len(downloads) != 2 || downloads[0].Version() != "2.336.0" || downloads[1].Version() != "2.336.0" {
		t.Errorf("downloads %+v, %v", downloads, err)
	}
	d, err := c.Deprecation(ctx, "2.300.0")
	if err != nil || d.Registration == nil || d.Registration.Year() != 2026 || d.Runtime != nil {
		t.Errorf("deprecation %+v, %v", d, err)
	}
	limit, err := c.RateLimit(ctx)
	if err != nil || limit.Remaining != 4321 || limit.Limit != 5000 || limit.Reset.Unix() != 1800000000 {
		t.Errorf("limit %+v, %v", limit, err)
	}
	if err := c.CancelRun(ctx, "acme/coach", 7); err != nil {
		t.Errorf("a run that has completed: %v", err)
	}
}

// A list whose next page is one that was read ends, with what to look at.
func TestPagesThatGoRound(t *testing.T) {
	page := "GET /orgs/acme/actions/runners?per_page=100"
	github := &script{replies: map[string][]reply{page: {{status: 200, body: `{"total_count":1,"runners":[{"id":1,"name":"r-1"}]}`,
		header: map[string]string{"Link": "<" + api + "/orgs/acme/actions/runners?per_page=100>; rel=\"next\""}}}}}
	seen, failure := 0, error(nil)
	for _, err := range client(t, github).Runners(within(t, time.Minute)) {
		if err != nil {
			failure = err
			continue
		}
		seen++
	}
	mustBe(t, failure, register.ErrConfiguration)
	equal(t, "runners", seen, 1)
	equal(t, "calls", len(github.names()), 1)
}
