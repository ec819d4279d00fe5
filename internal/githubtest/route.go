package githubtest

import (
	"net/http"
	"net/url"
	"strings"
)

// request is a call that has been taken apart.
type request struct {
	operation  string
	method     string
	path       string // without the API's prefix
	query      string
	values     url.Values
	header     http.Header
	body       []byte
	scope      string   // what the path names: acme, acme/coach, enterprises/acme
	parts      []string // what stands for the * of the pattern
	runnerSide bool
	context    <-chan struct{}
}

// operations are the calls that are known, by method and path. S is a scope's
// prefix, * one segment.
var operations = []struct{ name, method, path string }{
	{"registration-token", "POST", "S/actions/runners/registration-token"},
	{"remove-token", "POST", "S/actions/runners/remove-token"},
	{"generate-jitconfig", "POST", "S/actions/runners/generate-jitconfig"},
	{"runner-downloads", "GET", "S/actions/runners/downloads"},
	{"list-runners", "GET", "S/actions/runners"},
	{"get-runner", "GET", "S/actions/runners/*"},
	{"delete-runner", "DELETE", "S/actions/runners/*"},
	{"list-groups", "GET", "S/actions/runner-groups"},
	{"get-account", "GET", "/users/*"},
	{"get-organization", "GET", "/orgs/*"},
	{"installation", "GET", "S/installation"},
	{"access-token", "POST", "/app/installations/*/access_tokens"},

	{"runner:behaviour", "GET", "/_runner/behaviour"},
	{"runner:register", "POST", "/_runner/register"},
	{"runner:remove", "POST", "/_runner/remove"},
	{"runner:session", "POST", "/_runner/session"},
	{"runner:end-session", "DELETE", "/_runner/session"},
	{"runner:message", "POST", "/_runner/message"},
	{"runner:finish", "POST", "/_runner/finish"},
}

// apiPrefix is where a GitHub Enterprise Server has its API.
const apiPrefix = "/api/v3"

func (s *Server) route(r *http.Request, body []byte) request {
	path, ok := strings.CutPrefix(r.URL.Path, apiPrefix)
	q := request{method: r.Method, path: path, query: r.URL.RawQuery, values: r.URL.Query(), header: r.Header, body: body, context: r.Context().Done()}
	if !ok {
		q.path = r.URL.Path
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
			q.operation, q.parts, q.scope = o.name, parts, scope
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
