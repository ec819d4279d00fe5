package register_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// A long list is read page by page, on from the one that each page names.
func TestPageByPage(t *testing.T) {
	runs := "/repos/acme/coach/actions/runs?created=2026-01-01..2026-01-02&per_page=100"
	second := "/orgs/acme/actions/runners?per_page=100&page=2"
	github := &script{replies: map[string][]reply{
		"GET /orgs/acme/actions/runners?per_page=100": {{status: 200, body: `{"total_count":3,"runners":[{"id":1},{"id":2}]}`, header: map[string]string{"Link": "<" + api + second + `>; rel="next"`}}},
		"GET " + second: {{status: 200, body: `{"total_count":3,"runners":[{"id":3}]}`}},
		"GET /orgs/acme/repos?per_page=100&sort=pushed": {{status: 200, body: `[{"id":7,"full_name":"acme/coach"}]`}},
		"GET " + runs: {{status: 200, body: `{"total_count":1234,"workflow_runs":[{"id":9}]}`}},
	}}
	c := client(t, github)
	first, err := c.RunnersPage(t.Context(), "")
	if err != nil || len(first.List) != 2 || first.Total != 3 || first.Next != second {
		t.Fatalf("%+v, %v", first, err)
	}
	last, err := c.RunnersPage(t.Context(), first.Next)
	if err != nil || len(last.List) != 1 || last.List[0].ID != 3 || last.Next != "" {
		t.Errorf("%+v, %v", last, err)
	}
	repositories, err := c.RepositoriesPage(t.Context(), "")
	if err != nil || len(repositories.List) != 1 || repositories.Next != "" {
		t.Errorf("%+v, %v", repositories, err)
	}
	of, err := c.RunsPage(t.Context(), "acme/coach", "", "2026-01-01..2026-01-02", "")
	if err != nil || len(of.List) != 1 || of.Total != 1234 {
		t.Errorf("%+v, %v", of, err)
	}
}

// Who is not let in at all is told apart from who lacks a permission.
func TestBarred(t *testing.T) {
	const call = "GET /orgs/acme/actions/runners?per_page=100"
	for _, row := range []struct {
		reply          reply
		barred, hidden bool
	}{
		{reply{status: 403, body: `{"message":"Resource protected by organization SAML enforcement."}`, header: map[string]string{"X-GitHub-SSO": "required; url=https://github.com/x"}}, true, false},
		{reply{status: 404, body: `{"message":"Not Found"}`, header: map[string]string{"X-GitHub-SSO": "required; url=https://github.com/x"}}, true, false},
		{reply{status: 403, body: `{"message":"This installation has been suspended"}`}, true, false},
		{reply{status: 403, body: `{"message":"Although you appear to have the correct authorization credentials, the organization has an IP allow list enabled"}`}, true, false},
		{reply{status: 403, body: `{"message":"Resource not accessible by personal access token"}`}, false, false},
		{reply{status: 404, body: `{"message":"Not Found"}`}, false, true},
	} {
		github := &script{replies: map[string][]reply{call: {row.reply}, "GET /users/acme": {{status: 404, body: `{"message":"Not Found"}`}}}}
		_, err := client(t, github).RunnersPage(t.Context(), "")
		if errors.Is(err, register.ErrBarred) != row.barred || errors.Is(err, register.ErrHidden) != row.hidden || errors.Is(err, register.ErrCredentials) == row.hidden {
			t.Errorf("%s: %v", row.reply.body, err)
		}
	}
}

// A limit that outlasts a call says how long, so that the next one is not made in it.
func TestLimitsTellTheWait(t *testing.T) {
	for _, row := range []struct {
		reply reply
		want  time.Duration
	}{
		{reply{status: 429, body: `{"message":"slow down"}`, header: map[string]string{"Retry-After": "300"}}, 5 * time.Minute},
		{reply{status: 403, body: `{"message":"You have exceeded a secondary rate limit."}`}, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := client(t, &script{replies: map[string][]reply{"GET /orgs/acme/actions/runners?per_page=100": {row.reply}}}).RunnersPage(ctx, "")
			var e *register.Error
			if !errors.As(err, &e) || e.Wait != row.want {
				t.Errorf("%v: waits %v", err, e)
			}
		})
	}
}

// A version is what runners say of themselves, and one segment of the path.
func TestVersionInThePath(t *testing.T) {
	github := &script{replies: map[string][]reply{"GET /orgs/acme/actions/runners/deprecations/..%2Fx%3Fy": {{status: 200, body: `{}`}}}}
	if _, err := client(t, github).Deprecation(t.Context(), "../x?y"); err != nil {
		t.Error(err, github.names())
	}
}
