package githubtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
)

// Every operation, for every kind of scope, answers as GitHub's description
// says: contract.Check sees to it.
func TestEveryOperationKeepsTheContract(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	contract.Check(t, w.Server)
	group := w.AddGroup("acme", githubtest.Group{Name: "fleet", Visibility: "selected", Repositories: []string{"acme/coach"}})
	w.Deprecate("2.328.0", githubtest.Deprecation{Registration: time.Now().Add(time.Hour)})
	expect := func(method, path string, body any, status int) answer {
		t.Helper()
		a := w.call(method, path, body)
		if a.status != status {
			t.Errorf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
		}
		return a
	}
	for scope, name := range map[string]string{"/orgs/acme": "acme", "/repos/acme/coach": "acme/coach", "/enterprises/corp": "enterprises/corp"} {
		runners := scope + "/actions/runners"
		expect("POST", runners+"/registration-token", nil, 201)
		expect("POST", runners+"/remove-token", nil, 201)
		expect("GET", runners+"/downloads", nil, 200)
		if a := expect("GET", runners+"/deprecations/2.328.0", nil, 200); a.get("registration_deprecates_at") == "<nil>" {
			t.Errorf("the version's dates are %s", a.body)
		}
		expect("GET", runners+"/deprecations/2.336.0", nil, 200)
		jit := expect("POST", runners+"/generate-jitconfig", map[string]any{"name": "jit", "runner_group_id": 1, "labels": []string{"A", "b"}}, 201)
		expect("GET", runners+"/"+jit.get("runner.id"), nil, 200)
		id := w.AddRunner(githubtest.Runner{Scope: name, Name: "old", Labels: []string{"self-hosted", "gpu"}, Version: "2.330.0", Online: true})
		one := fmt.Sprintf("%s/%d", runners, id)
		expect("GET", runners+"?per_page=1", nil, 200)
		expect("GET", one, nil, 200)
		expect("GET", one+"/labels", nil, 200)
		expect("POST", one+"/labels", map[string]any{"labels": []string{"tpu", "GPU"}}, 200)
		expect("DELETE", one+"/labels/gpu", nil, 200)
		expect("DELETE", one+"/labels/gpu", nil, 404)
		expect("DELETE", one+"/labels/self-hosted", nil, 422)
		expect("PUT", one+"/labels", map[string]any{"labels": []string{"only"}}, 200)
		if a := expect("GET", one+"/labels", nil, 200); a.get("total_count") != "2" {
			t.Errorf("labels are %s", a.body)
		}
		expect("DELETE", one+"/labels", nil, 200)
		expect("DELETE", one, nil, 204)
		expect("DELETE", one, nil, 404)
	}
	expect("GET", "/orgs/acme/actions/runner-groups", nil, 200)
	expect("GET", "/enterprises/corp/actions/runner-groups", nil, 200)
	expect("GET", "/orgs/acme/actions/runner-groups?visible_to_repository=mcp", nil, 200)
	made := expect("POST", "/orgs/acme/actions/runner-groups", map[string]any{"name": "new", "visibility": "all"}, 201)
	expect("DELETE", "/orgs/acme/actions/runner-groups/"+made.get("id"), nil, 204)
	expect("GET", fmt.Sprint("/orgs/acme/actions/runner-groups/", group), nil, 200)
	if a := expect("GET", fmt.Sprint("/orgs/acme/actions/runner-groups/", group, "/repositories"), nil, 200); a.get("total_count") != "1" {
		t.Errorf("the group's repositories: %s", a.body)
	}
	expect("PUT", "/orgs/acme/actions/permissions/self-hosted-runners", map[string]any{"enabled_repositories": "none"}, 204)
	if a := expect("GET", "/orgs/acme/actions/permissions/self-hosted-runners", nil, 200); a.get("enabled_repositories") != "none" {
		t.Errorf("the policy: %s", a.body)
	}
	for _, path := range []string{"/user", "/users/jane", "/users/acme", "/orgs/acme", "/orgs/acme/repos", "/repos/acme/coach", "/rate_limit"} {
		expect("GET", path, nil, 200)
	}
	expect("GET", "/orgs/jane", nil, 404)
	expect("GET", "/users/nobody", nil, 404)

	job := w.Enqueue(githubtest.Job{Repository: "acme/coach"})
	repo := "/repos/acme/coach/actions"
	run := expect("GET", repo+"/runs?status=queued", nil, 200).list("workflow_runs")[0]["id"]
	expect("GET", repo+"/runs?status=completed", nil, 200)
	expect("GET", fmt.Sprintf("%s/runs/%.0f/jobs", repo, run), nil, 200)
	expect("GET", fmt.Sprint(repo, "/jobs/", job), nil, 200)
	expect("POST", fmt.Sprintf("%s/runs/%.0f/cancel", repo, run), nil, 202)
	expect("POST", fmt.Sprintf("%s/runs/%.0f/cancel", repo, run), nil, 409)
	if a := expect("GET", fmt.Sprint(repo, "/jobs/", job), nil, 200); a.get("conclusion") != "cancelled" {
		t.Errorf("the cancelled job: %s", a.body)
	}
}

func TestWhoMayCall(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	w.AddPublicRepository("acme/site")
	add := func(value string, change func(*githubtest.Token)) {
		one := githubtest.Token{Value: value, Scopes: []string{}, Kind: githubtest.FineGrained}
		change(&one)
		w.AddToken(one)
	}
	add("repo-only", func(o *githubtest.Token) { o.Kind, o.Scopes = githubtest.Classic, []string{"repo"} })
	add("no-scope", func(o *githubtest.Token) { o.Kind = githubtest.Classic })
	add("oauth", func(o *githubtest.Token) { o.Kind, o.Scopes = githubtest.OAuth, []string{"admin:org"} })
	add("saml", func(o *githubtest.Token) { o.Kind, o.Scopes, o.SAML = githubtest.Classic, []string{"admin:org"}, true })
	add("expired", func(o *githubtest.Token) { o.Kind, o.Expires = githubtest.Classic, time.Now().Add(-time.Second) })
	add("fine-read", func(o *githubtest.Token) {
		o.Permissions = map[string]string{"organization_self_hosted_runners": "read"}
	})
	add("fine-write", func(o *githubtest.Token) {
		o.Permissions = map[string]string{"organization_self_hosted_runners": "write"}
	})
	add("others", func(o *githubtest.Token) {
		o.Account, o.Permissions = "jane", map[string]string{"organization_self_hosted_runners": "write"}
	})
	list, register := "GET /orgs/acme/actions/runners", "POST /orgs/acme/actions/runners/registration-token"
	for _, row := range []struct {
		token, call string
		status      int
		says        string // in the message
		header      string // Name: value that the answer has
	}{
		{"nonsense", list, 401, "Bad credentials", ""},
		{"expired", list, 401, "Bad credentials", ""},
		{"", list, 401, "Requires authentication", ""},
		{"repo-only", register, 403, "Must have admin rights to Repository.", "X-Oauth-Scopes: repo"},
		{"repo-only", register, 403, "", "X-Accepted-Oauth-Scopes: admin:org"},
		{"oauth", register, 201, "", "X-Oauth-Scopes: admin:org"},
		{"saml", register, 403, "SAML enforcement", "X-Github-Sso: required; url=https://github.com/orgs/acme/sso?authorization_request=AAAA"},
		{"fine-read", list, 200, "", "X-Accepted-Github-Permissions: organization_self_hosted_runners=read"},
		{"fine-read", register, 403, "Resource not accessible by personal access token", "X-Accepted-Github-Permissions: organization_self_hosted_runners=write"},
		{"fine-write", register, 201, "", ""},
		{"fine-write", "POST /enterprises/corp/actions/runners/registration-token", 403, "Resource not accessible", ""},
		{"others", register, 404, "Not Found", ""},
		{"no-scope", "GET /repos/acme/coach", 404, "Not Found", ""},
		{"no-scope", "GET /repos/acme/site", 200, "", ""},
		{"no-scope", "POST /repos/acme/coach/actions/runners/registration-token", 404, "Not Found", ""},
		{"no-scope", "POST /repos/acme/site/actions/runners/registration-token", 403, "Must have admin rights", ""},
		{token, "POST /orgs/nobody/actions/runners/registration-token", 404, "Not Found", ""},
		{token, register + "/", 404, "Not Found", ""},
		{"", "GET /users/jane", 200, "", "X-Ratelimit-Limit: 60"},
		{"nonsense", "GET /users/jane", 401, "Bad credentials", ""},
	} {
		t.Run(row.token+" "+row.call, func(t *testing.T) {
			method, path, _ := strings.Cut(row.call, " ")
			authorization := "Authorization: Bearer " + row.token
			if row.token == "" {
				authorization = "Authorization: "
			}
			a := w.call(method, path, nil, authorization)
			if a.status != row.status || !strings.Contains(string(a.body), row.says) {
				t.Errorf("%d %s", a.status, a.body)
			}
			if name, value, ok := strings.Cut(row.header, ": "); ok && a.header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, a.header.Get(name), value)
			}
			if a.header.Get("X-GitHub-Request-Id") == "" || a.header.Get("Date") == "" {
				t.Errorf("headers %v", a.header)
			}
		})
	}
}

func TestWhatEveryRequestNeeds(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	for header, status := range map[string]int{
		"User-Agent: ":                     403,
		"User-Agent: Go-http-client/1.1":   403,
		"X-GitHub-Api-Version: 2021-01-01": 400,
		"X-GitHub-Api-Version: 2026-03-10": 200,
		"Authorization: token " + token:    200,
	} {
		if a := w.call("GET", "/orgs/acme/actions/runners", nil, header); a.status != status {
			t.Errorf("%s: %d, want %d", header, a.status, status)
		}
	}
}

func TestJITConfigurationRules(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "taken"})
	good := func(change string, value any) map[string]any {
		in := map[string]any{"name": "new", "runner_group_id": 1, "labels": []string{"Self-Hosted", "GPU"}}
		if value == nil {
			delete(in, change)
		} else {
			in[change] = value
		}
		return in
	}
	long := strings.Repeat("x", 65)
	for _, row := range []struct {
		body   any
		status int
		says   string
	}{
		{"{", 400, "Problems parsing JSON"},
		{"[]", 400, "Body should be a JSON object"},
		{good("labels", "x"), 422, "Invalid request"},
		{good("runner_group_id", nil), 422, "missing required key: runner_group_id"},
		{good("name", nil), 422, "missing required key: name"},
		{good("labels", nil), 422, "missing required key: labels"},
		{good("labels", []string{}), 422, "1 item required; only 0 were supplied"},
		{good("name", long), 422, "Validation Failed"},
		{good("runner_group_id", 2), 403, "GitHub-hosted"},
		{good("runner_group_id", 77), 404, "Not Found"},
		{good("name", "TAKEN"), 409, "Already exists - A runner with the name *** already exists."},
		{good("work_folder", "_work"), 201, `"labels":[{"id":1,"name":"self-hosted","type":"read-only"},{"id":2,"name":"gpu","type":"read-only"}]`},
	} {
		a := w.call("POST", "/orgs/acme/actions/runners/generate-jitconfig", row.body)
		if a.status != row.status || !strings.Contains(string(a.body), row.says) {
			t.Errorf("%v: %d %s, want %d %s", row.body, a.status, a.body, row.status, row.says)
		}
	}
}

// Ten thousand runners, by the pages that the answers link to.
func TestPages(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	const n = 10_000
	w.AddRunners(n, githubtest.Runner{Scope: "acme", Name: "many", Online: true, Version: "2.336.0"})
	w.AddRunner(githubtest.Runner{Scope: "acme/coach", Name: "another's"})
	seen := map[string]bool{}
	pages := 0
	for path := "/orgs/acme/actions/runners?per_page=1000"; path != ""; pages++ {
		a := w.call("GET", path, nil)
		if a.get("total_count") != fmt.Sprint(n) {
			t.Fatalf("total_count %s", a.get("total_count"))
		}
		for _, r := range a.list("runners") {
			seen[r["name"].(string)] = true
		}
		path = ""
		for link := range strings.SplitSeq(a.header.Get("Link"), ", ") {
			if address, ok := strings.CutSuffix(link, `>; rel="next"`); ok {
				path = strings.TrimPrefix(address, "<"+w.URL()+"/api/v3")
			}
		}
	}
	if len(seen) != n || pages != n/100 {
		t.Errorf("%d runners on %d pages", len(seen), pages)
	}
	if a := w.call("GET", "/orgs/acme/actions/runners?name=MANY-77", nil); a.get("total_count") != "1" || a.header.Get("Link") != "" {
		t.Errorf("by name: %s, Link %q", a.body, a.header.Get("Link"))
	}
}

// What has not changed costs nothing.
func TestConditionalRequestsAndTheQuota(t *testing.T) {
	w := newWorld(t, githubtest.Options{CallsPerHour: 3})
	list := "/orgs/acme/actions/runners"
	first := w.call("GET", list, nil)
	tag := first.header.Get("ETag")
	if tag == "" || first.header.Get("X-RateLimit-Remaining") != "2" {
		t.Fatalf("headers %v", first.header)
	}
	for range 5 {
		if a := w.call("GET", list, nil, "If-None-Match: "+tag); a.status != http.StatusNotModified || len(a.body) > 0 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "new"})
	if a := w.call("GET", list, nil, "If-None-Match: "+tag); a.status != http.StatusOK {
		t.Errorf("a changed list: %d", a.status)
	}
	if a := w.call("GET", "/rate_limit", nil); a.get("resources.core.remaining") != "1" || a.get("resources.actions_runner_registration.limit") != "10000" {
		t.Errorf("the limits: %s", a.body)
	}
	w.call("GET", list, nil)
	a := w.call("GET", list, nil)
	if a.status != http.StatusForbidden || a.header.Get("X-RateLimit-Remaining") != "0" || a.header.Get("X-RateLimit-Reset") == "" || !strings.Contains(string(a.body), "API rate limit exceeded") {
		t.Errorf("over the limit: %d %v %s", a.status, a.header, a.body)
	}
}

func TestSecondaryLimit(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	for _, row := range []struct {
		status     int
		retryAfter bool
	}{{403, true}, {403, false}, {429, true}, {429, false}} {
		w.LimitWrites(2, time.Hour, row.status, row.retryAfter)
		var last answer
		for i := range 3 {
			last = w.call("POST", "/orgs/acme/actions/runners/remove-token", nil)
			if i < 2 && last.status != 201 {
				t.Fatalf("write %d: %d", i+1, last.status)
			}
		}
		if last.status != row.status || !strings.Contains(string(last.body), "secondary rate limit") || (last.header.Get("Retry-After") != "") != row.retryAfter {
			t.Errorf("%+v: %d %v %s", row, last.status, last.header, last.body)
		}
		if a := w.call("GET", "/orgs/acme/actions/runners", nil); a.status != 200 {
			t.Errorf("a read: %d", a.status)
		}
	}
}
