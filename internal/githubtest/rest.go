package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handle answers a call without a fault.
func (s *Server) handle(q request) response {
	if q.runnerSide {
		return s.handleRunner(q)
	}
	switch {
	case q.header.Get("User-Agent") == "" || strings.HasPrefix(q.header.Get("User-Agent"), "Go-http-client"):
		// GitHub refuses none at all; Go's own would hide that ours was forgotten.
		return refuse(http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
	case !slices.Contains([]string{"", "2022-11-28", "2026-03-10"}, q.header.Get("X-GitHub-Api-Version")):
		return refuse(http.StatusBadRequest, "Invalid API version")
	case q.operation == "":
		return notFound()
	}
	var answer response
	s.change(func() {
		s.sweep(time.Now())
		var over bool
		if answer, over = s.limited(q); over {
			return
		}
		answer = s.answer(q)
	})
	return answer
}

func notFound() response { return refuse(http.StatusNotFound, "Not Found") }

func ok(body any) response { return response{status: http.StatusOK, body: body} }

func noContent() response { return response{status: http.StatusNoContent} }

func unprocessable(message string) response {
	return refuse(http.StatusUnprocessableEntity, message)
}

// answer authenticates the caller, takes the call off its quota and carries it
// out; the lock is held.
func (s *Server) answer(q request) response {
	if q.needs == anApp {
		return s.asApp(q)
	}
	token, refused := s.authenticate(q)
	if refused.status != 0 {
		return refused
	}
	quota, over := s.spend(q, token)
	if over.status != 0 {
		return s.tellQuota(over, quota, token)
	}
	answer := s.authenticated(q, token).about(token)
	if tag := answer.tag(q); tag != "" {
		answer = answer.with("ETag", tag)
		if q.header.Get("If-None-Match") == tag {
			quota.used-- // what has not changed is free
			answer.status, answer.body = http.StatusNotModified, nil
		}
	}
	return s.tellQuota(answer, quota, token)
}

// about adds what GitHub tells a caller of its token: a classic one's scopes, and
// when any of them expires.
func (r response) about(token *Token) response {
	if token == nil {
		return r
	}
	if token.classic() && r.header.Get("X-OAuth-Scopes") == "" {
		r = r.with("X-OAuth-Scopes", strings.Join(token.Scopes, ", "))
	}
	if !token.Expires.IsZero() {
		r = r.with("GitHub-Authentication-Token-Expiration", token.Expires.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	return r
}

func (s *Server) authenticated(q request, token *Token) response {
	if q.scope == "" && q.operation != "get-repository" {
		return s.aboutAccount(q, token)
	}
	name := q.scope
	if name == "" {
		name = strings.Join(q.parts, "/")
	}
	sc := s.scopes[strings.ToLower(name)]
	if sc == nil {
		return notFound()
	}
	if refused := s.authorize(q, sc, token); refused.status != 0 {
		if refused.status == http.StatusNotFound {
			return refused // hidden, with all that belongs to it
		}
		return tellRights(refused, q, sc, token)
	}
	return tellRights(s.inScope(q, sc), q, sc, token)
}

// inScope carries out what belongs to an organization, repository or enterprise.
func (s *Server) inScope(q request, sc *scope) response {
	switch q.operation {
	case "registration-token", "remove-token":
		return response{status: http.StatusCreated, body: map[string]any{
			"token": s.issue(sc.name, q.operation == "registration-token"),
			// As in GitHub's own example: neither UTC nor whole seconds.
			"expires_at": s.now().Add(time.Hour).In(time.FixedZone("", -8*60*60)).Format("2006-01-02T15:04:05.000-07:00"),
		}}
	case "generate-jitconfig":
		return s.jitConfig(q, sc)
	case "runner-downloads":
		return ok(s.downloads())
	case "runner-deprecation":
		return ok(s.deprecation(q.parts[0]))
	case "list-runners":
		return s.runnersPage(q, sc)
	case "get-runner", "delete-runner", "list-labels", "add-labels", "set-labels", "remove-labels", "remove-label":
		id, err := strconv.ParseInt(q.parts[0], 10, 64)
		r := s.runners.byID[id]
		if err != nil || r == nil || !strings.EqualFold(r.Scope, sc.name) {
			return notFound()
		}
		return s.aboutRunner(q, r)
	case "list-groups", "create-group", "get-group", "delete-group", "list-group-repositories":
		return s.aboutGroups(q, sc)
	case "get-runner-policy", "set-runner-policy":
		return s.aboutPolicy(q, sc)
	case "list-runs", "list-jobs", "cancel-run", "get-job":
		return s.aboutRuns(q, sc)
	case "list-repositories":
		return s.repositories(q, sc)
	case "get-repository":
		return ok(s.describeRepository(sc, true))
	}
	return notFound()
}

// decode reads a JSON body as GitHub does; the response is its refusal.
func decode(q request, into any) response {
	var object map[string]any
	switch {
	case !json.Valid(q.body):
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	case json.Unmarshal(q.body, &object) != nil:
		return refuse(http.StatusBadRequest, "Body should be a JSON object")
	case json.Unmarshal(q.body, into) != nil:
		return unprocessable("Invalid request.")
	}
	return response{}
}

// paging reads per_page and page.
func paging(q request) (size, page int) {
	number := func(name string, standard, most int) int {
		if v, err := strconv.Atoi(q.values.Get(name)); err == nil && v > 0 {
			return min(v, most)
		}
		return standard
	}
	return number("per_page", 30, 100), number("page", 1, 1<<30)
}

// page answers a list with at most 100 of n on a page, and links to the others.
// An empty key makes a bare array.
func (s *Server) page(q request, key string, n int, item func(int) any) response {
	size, page := paging(q)
	items := []any{}
	for i := (page - 1) * size; i < min(page*size, n); i++ {
		items = append(items, item(i))
	}
	answer := ok(map[string]any{"total_count": n, key: items})
	if key == "" {
		answer = ok(items)
	}
	if links := s.links(q, page, (n+size-1)/size); links != "" {
		answer = answer.with("Link", links)
	}
	return answer
}

func (s *Server) links(q request, page, last int) string {
	var links []string
	link := func(rel string, to int) {
		values := url.Values{}
		for k, v := range q.values {
			values[k] = v
		}
		values.Set("page", strconv.Itoa(to))
		links = append(links, fmt.Sprintf(`<%s%s%s?%s>; rel="%s"`, s.url, apiPrefix, q.path, values.Encode(), rel))
	}
	if page > 1 && last > 1 {
		link("prev", min(page-1, last))
	}
	if page < last {
		link("next", page+1)
		link("last", last)
	}
	if page > 1 && last > 1 {
		link("first", 1)
	}
	return strings.Join(links, ", ")
}
