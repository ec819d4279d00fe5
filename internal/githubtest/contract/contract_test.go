package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
)

// What breaks the description is found: a check that finds nothing in bad calls
// would prove nothing of good ones.
func TestViolations(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	call := func(method, path string, status int, request, response string) githubtest.Call {
		return githubtest.Call{Method: method, Path: path, Status: status,
			Request: githubtest.Message{Header: http.Header{}, Body: []byte(request)}, Response: githubtest.Message{Header: json, Body: []byte(response)}}
	}
	token := `{"token":"x","expires_at":"2026-08-01T00:00:00.000-08:00"}`
	for _, row := range []struct {
		name string
		call githubtest.Call
		want string // "": no violation
	}{
		{"a good call", call("POST", "/orgs/acme/actions/runners/registration-token", 201, "", token), ""},
		{"no such path", call("POST", "/orgs/acme/actions/runners/token", 201, "", token), "no such method"},
		{"no such path at all", call("GET", "/teams", 200, "", "[]"), "no such path"},
		{"no such method", call("PUT", "/orgs/acme/actions/runners/registration-token", 201, "", token), "no such method"},
		{"an answer without a field", call("POST", "/orgs/acme/actions/runners/registration-token", 201, "", `{"token":"x"}`), "expires_at"},
		{"a code that GitHub does not give", call("POST", "/orgs/acme/actions/runners/registration-token", 200, "", token), "status is not supported"},
		{"a code that GitHub gives without describing it", call("POST", "/orgs/acme/actions/runners/registration-token", 403, "", `{}`), ""},
		{"a bad id", call("GET", "/orgs/acme/actions/runners/one", 404, "", `{}`), "runner_id"},
		{"a literal beside a parameter", call("GET", "/orgs/acme/actions/runners/downloads", 200, "", `[]`), ""},
		{"no such query parameter", call("GET", "/orgs/acme/actions/runners?names=a", 200, "", `{"total_count":0,"runners":[]}`), `"names"`},
		{"a request without a field", call("POST", "/orgs/acme/actions/runners/generate-jitconfig", 422, `{"name":"a","labels":["b"]}`, `{"message":"m","documentation_url":"d"}`), "runner_group_id"},
		{"a wrong type", call("GET", "/orgs/acme/actions/runners/7", 200, "", `{"id":7,"name":"a","os":"linux","status":"online","busy":"no","labels":[]}`), "busy"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var found []string
			for _, err := range contract.Violations(row.call) {
				found = append(found, err.Error())
			}
			text := strings.Join(found, "\n")
			if row.want == "" && text != "" || !strings.Contains(text, row.want) {
				t.Errorf("found %q, want %q", text, row.want)
			}
		})
	}
}

// An injected fault's answer is nobody's promise.
func TestInjectedAnswersAreNotChecked(t *testing.T) {
	c := githubtest.Call{Method: "GET", Path: "/rate_limit", Status: 200, Injected: true, Response: githubtest.Message{Body: []byte("<html>")}}
	if found := contract.Violations(c); len(found) > 0 {
		t.Error(found)
	}
	c.Injected = false
	if found := contract.Violations(c); len(found) == 0 {
		t.Error("the same answer from the fake itself is not found")
	}
}
