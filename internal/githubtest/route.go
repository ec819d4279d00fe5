package githubtest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// request is a call that has been taken apart.
type request struct {
	operation  string
	needs      need
	method     string
	path       string // without the API's prefix
	query      string
	values     url.Values
	header     http.Header
	body       []byte
	scope      string   // what the path names: acme, acme/coach, enterprises/acme
	parts      []string // what stands for the * of the pattern
	runnerSide bool
	service    actions.Request // of a call to the Actions service
	context    <-chan struct{}
}

// need is what a caller has to be or to be allowed.
type need int

const (
	nobody    need = iota // anonymous calls too
	aUser                 // a user's token, not an installation's
	anApp                 // an App's JWT
	metadata              // to see the account or repository
	runners               // to manage the scope's self-hosted runners
	policies              // to manage the organization's Actions policies
	workflows             // to see, or write, the repository's Actions
)

// operations are the calls that are known, by method and path. S is a scope's
// prefix, * one segment; the first that fits counts.
var operations = []struct {
	name, method, path string
	needs              need
}{
	{"registration-token", "POST", "S/actions/runners/registration-token", runners},
	{"remove-token", "POST", "S/actions/runners/remove-token", runners},
	{"generate-jitconfig", "POST", "S/actions/runners/generate-jitconfig", runners},
	{"runner-downloads", "GET", "S/actions/runners/downloads", runners},
	{"runner-deprecation", "GET", "S/actions/runners/deprecations/*", runners},
	{"list-runners", "GET", "S/actions/runners", runners},
	{"get-runner", "GET", "S/actions/runners/*", runners},
	{"delete-runner", "DELETE", "S/actions/runners/*", runners},
	{"list-labels", "GET", "S/actions/runners/*/labels", runners},
	{"add-labels", "POST", "S/actions/runners/*/labels", runners},
	{"set-labels", "PUT", "S/actions/runners/*/labels", runners},
	{"remove-labels", "DELETE", "S/actions/runners/*/labels", runners},
	{"remove-label", "DELETE", "S/actions/runners/*/labels/*", runners},
	{"list-groups", "GET", "S/actions/runner-groups", runners},
	{"create-group", "POST", "S/actions/runner-groups", runners},
	{"get-group", "GET", "S/actions/runner-groups/*", runners},
	{"delete-group", "DELETE", "S/actions/runner-groups/*", runners},
	{"list-group-repositories", "GET", "S/actions/runner-groups/*/repositories", runners},
	{"get-runner-policy", "GET", "S/actions/permissions/self-hosted-runners", policies},
	{"set-runner-policy", "PUT", "S/actions/permissions/self-hosted-runners", policies},

	{"list-runs", "GET", "S/actions/runs", workflows},
	{"list-jobs", "GET", "S/actions/runs/*/jobs", workflows},
	{"cancel-run", "POST", "S/actions/runs/*/cancel", workflows},
	{"get-job", "GET", "S/actions/jobs/*", workflows},

	{"get-user", "GET", "/user", aUser},
	{"get-account", "GET", "/users/*", nobody},
	{"get-organization", "GET", "/orgs/*", nobody},
	{"list-repositories", "GET", "S/repos", metadata},
	{"get-repository", "GET", "/repos/*/*", metadata},
	{"rate-limit", "GET", "/rate_limit", nobody},

	{"app", "GET", "/app", anApp},
	{"installation", "GET", "S/installation", anApp},
	{"access-token", "POST", "/app/installations/*/access_tokens", anApp},

	{"runner:behaviour", "GET", "/_runner/behaviour", nobody},
	{"runner:register", "POST", "/_runner/register", nobody},
	{"runner:remove", "POST", "/_runner/remove", nobody},
	{"runner:session", "POST", "/_runner/session", nobody},
	{"runner:end-session", "DELETE", "/_runner/session", nobody},
	{"runner:message", "POST", "/_runner/message", nobody},
	{"runner:hold", "POST", "/_runner/hold", nobody},
	{"runner:acknowledge", "POST", "/_runner/acknowledge", nobody},
	{"runner:acquire", "POST", "/_runner/acquire", nobody},
	{"runner:renew", "POST", "/_runner/renew", nobody},
	{"runner:finish", "POST", "/_runner/finish", nobody},
}

// apiPrefix is where a GitHub Enterprise Server has its API.
const apiPrefix = "/api/v3"

func (s *Server) route(r *http.Request, body []byte) request {
	path, ok := strings.CutPrefix(r.URL.Path, apiPrefix)
	q := request{method: r.Method, path: path, query: r.URL.RawQuery, values: r.URL.Query(), header: r.Header, body: body, context: r.Context().Done()}
	if !ok {
		q.path = r.URL.Path
	}
	if name, _ := actions.Find(r.Method, r.URL.Path); name != "" && (name != "remove" || actions.Removes(r.Header)) {
		q.operation, q.runnerSide, q.service = actionsPrefix+name, true, actions.Request{Method: r.Method, Path: r.URL.Path, Query: q.values, Header: r.Header, Body: body}
		return q
	}
	q.runnerSide = strings.HasPrefix(q.path, "/_runner/")
	if !ok && !q.runnerSide {
		return q
	}
	scope, rest := cutScope(q.path)
	for _, o := range operations {
		if o.method != r.Method {
			continue
		}
		pattern, path := o.path, q.path
		if after, scoped := strings.CutPrefix(o.path, "S"); scoped {
			if scope == "" {
				continue
			}
			pattern, path = after, rest
		}
		if parts, ok := match(pattern, path); ok {
			q.operation, q.needs, q.parts, q.scope = o.name, o.needs, parts, scope
			break
		}
	}
	return q
}

// cutScope takes /orgs/NAME, /repos/OWNER/NAME or /enterprises/SLUG off.
func cutScope(path string) (scope, rest string) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 4)
	switch {
	case parts[0] == "orgs" && len(parts) > 2:
		return parts[1], "/" + strings.Join(parts[2:], "/")
	case parts[0] == "enterprises" && len(parts) > 2:
		return "enterprises/" + parts[1], "/" + strings.Join(parts[2:], "/")
	case parts[0] == "repos" && len(parts) > 3:
		return parts[1] + "/" + parts[2], "/" + parts[3]
	}
	return "", path
}

func match(pattern, path string) ([]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	var parts []string
	for i := range want {
		switch {
		case want[i] == "*" && got[i] != "":
			parts = append(parts, got[i])
		case want[i] != got[i]:
			return nil, false
		}
	}
	return parts, true
}
