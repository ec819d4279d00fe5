package githubtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
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
		return refuse(http.StatusNotFound, "Not Found")
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

// answer carries an operation out; the lock is held.
func (s *Server) answer(q request) response {
	if q.operation == "installation" || q.operation == "access-token" {
		return s.asApp(q)
	}
	token, refused := s.authenticate(q)
	if refused.status != 0 {
		return refused
	}
	if q.scope == "" {
		return s.aboutAccount(q)
	}
	sc := s.scopes[strings.ToLower(q.scope)]
	if sc == nil {
		return refuse(http.StatusNotFound, "Not Found")
	}
	if refused := s.authorize(q, sc, token); refused.status != 0 {
		return refused
	}
	answer := s.inScope(q, sc)
	if token.Kind == Classic {
		answer = answer.with("X-Oauth-Scopes", strings.Join(token.Scopes, ", "))
	}
	return answer
}

func (s *Server) authenticate(q request) (*Token, response) {
	value, ok := strings.CutPrefix(q.header.Get("Authorization"), "Bearer ")
	if !ok {
		value, ok = strings.CutPrefix(q.header.Get("Authorization"), "token ")
	}
	token := s.tokens[value]
	if !ok || token == nil || !token.Expires.IsZero() && s.now().After(token.Expires) {
		return nil, refuse(http.StatusUnauthorized, "Bad credentials")
	}
	return token, response{}
}

func (s *Server) now() time.Time { return time.Now().Add(s.options.Skew) }

// right is what a scope's runner calls need.
type right struct{ classic, permission string }

var rights = map[string]right{
	"organization": {"admin:org", "organization_self_hosted_runners"},
	"repository":   {"repo", "administration"},
	"enterprise":   {"manage_runners:enterprise", ""},
}

func (s *Server) authorize(q request, sc *scope, token *Token) response {
	need := rights[sc.kind]
	if token.SAML {
		return refuse(http.StatusForbidden, "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization.").
			with("X-GitHub-SSO", "required; url=https://github.com/orgs/"+sc.name+"/sso?authorization_request=AAAA")
	}
	owner, _, _ := strings.Cut(sc.name, "/")
	if token.Account != "" && !strings.EqualFold(token.Account, owner) && !strings.EqualFold(token.Account, sc.name) {
		return refuse(http.StatusNotFound, "Not Found")
	}
	if token.Kind == Classic {
		if !slices.Contains(token.Scopes, need.classic) {
			return refuse(http.StatusForbidden, "Must have admin rights to Repository.").
				with("X-Oauth-Scopes", strings.Join(token.Scopes, ", ")).with("X-Accepted-Oauth-Scopes", need.classic)
		}
		return response{}
	}
	level := token.Permissions[need.permission]
	if level == "write" || level == "read" && q.method == http.MethodGet {
		return response{}
	}
	who := "personal access token"
	if token.appID != "" {
		who = "integration"
	}
	return refuse(http.StatusForbidden, "Resource not accessible by "+who).
		with("X-Accepted-GitHub-Permissions", need.permission+"=write")
}

func (s *Server) aboutAccount(q request) response {
	name := q.parts[0]
	kind := s.accounts[strings.ToLower(name)]
	if kind == "" || q.operation == "get-organization" && kind != "Organization" {
		return refuse(http.StatusNotFound, "Not Found")
	}
	return response{status: http.StatusOK, body: map[string]any{"login": name, "id": 1, "type": kind}}
}

func (s *Server) inScope(q request, sc *scope) response {
	switch q.operation {
	case "registration-token", "remove-token":
		return response{status: http.StatusCreated, body: map[string]any{
			"token": s.issue(sc.name), "expires_at": s.now().Add(time.Hour).Format("2006-01-02T15:04:05.000-07:00"),
		}}
	case "generate-jitconfig":
		return s.jitConfig(q, sc)
	case "list-runners":
		all := s.listRunners(sc.name)
		if name := q.values.Get("name"); name != "" {
			all = slices.DeleteFunc(all, func(r Runner) bool { return !strings.EqualFold(r.Name, name) })
		}
		return s.page(q, "runners", len(all), func(i int) any { return describe(&all[i]) })
	case "list-groups":
		if sc.kind == "repository" {
			return refuse(http.StatusNotFound, "Not Found")
		}
		return s.page(q, "runner_groups", len(sc.groups), func(i int) any {
			g := sc.groups[i]
			return map[string]any{"id": g.ID, "name": g.Name, "visibility": g.Visibility, "default": g.ID == 1, "inherited": false,
				"runners_url": s.url + "/", "allows_public_repositories": false}
		})
	case "get-runner", "delete-runner":
		id, err := strconv.ParseInt(q.parts[0], 10, 64)
		r := s.runners[id]
		if err != nil || r == nil || !strings.EqualFold(r.Scope, sc.name) {
			return refuse(http.StatusNotFound, "Not Found")
		}
		if q.operation == "get-runner" {
			r.Online = r.Online && r.session == nil || s.connected(r)
			return response{status: http.StatusOK, body: describe(r)}
		}
		if r.Busy || s.now().Before(r.busyUntil) {
			return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("Runner %q is currently running a job and cannot be deleted.", r.Name))
		}
		delete(s.runners, id)
		return response{status: http.StatusNoContent}
	}
	return refuse(http.StatusNotFound, "Not Found")
}

// describe is a runner as the API shows it.
func describe(r *Runner) map[string]any {
	status := "offline"
	if r.Online {
		status = "online"
	}
	labels := []any{}
	for i, l := range r.Labels {
		labels = append(labels, map[string]any{"id": i + 1, "name": l, "type": "custom"})
	}
	var version any
	if r.Version != "" {
		version = r.Version
	}
	return map[string]any{"id": r.ID, "name": r.Name, "os": "linux", "status": status, "busy": r.Busy, "labels": labels,
		"runner_group_id": r.GroupID, "ephemeral": r.Ephemeral, "version": version}
}

// page answers a list with at most 100 of n on a page, and links to the next.
func (s *Server) page(q request, key string, n int, item func(int) any) response {
	number := func(name string, standard, most int) int {
		if v, err := strconv.Atoi(q.values.Get(name)); err == nil && v > 0 {
			return min(v, most)
		}
		return standard
	}
	size, page := number("per_page", 30, 100), number("page", 1, 1<<30)
	items := []any{}
	for i := (page - 1) * size; i < min(page*size, n); i++ {
		items = append(items, item(i))
	}
	answer := response{status: http.StatusOK, body: map[string]any{"total_count": n, key: items}}
	if page*size < n {
		next := url.Values{}
		for k, v := range q.values {
			next[k] = v
		}
		next.Set("page", strconv.Itoa(page+1))
		answer = answer.with("Link", fmt.Sprintf(`<%s%s%s?%s>; rel="next"`, s.url, apiPrefix, q.path, next.Encode()))
	}
	return answer
}

func (s *Server) jitConfig(q request, sc *scope) response {
	var in struct {
		Name       string   `json:"name"`
		GroupID    *int64   `json:"runner_group_id"`
		Labels     []string `json:"labels"`
		WorkFolder string   `json:"work_folder"`
	}
	if json.Unmarshal(q.body, &in) != nil {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	switch {
	case in.GroupID == nil:
		return refuse(http.StatusUnprocessableEntity, "Invalid input: object is missing required key: runner_group_id")
	case len(in.Labels) == 0:
		return refuse(http.StatusUnprocessableEntity, "Invalid property /labels: 1 item required; only 0 were supplied")
	case len(in.Labels) > 100 || in.Name == "" || utf8.RuneCountInString(in.Name) > 64:
		return refuse(http.StatusUnprocessableEntity, "Validation Failed")
	case !slices.ContainsFunc(sc.groups, func(g Group) bool { return g.ID == *in.GroupID }):
		return refuse(http.StatusNotFound, "Not Found")
	}
	for _, r := range s.runners {
		if strings.EqualFold(r.Scope, sc.name) && strings.EqualFold(r.Name, in.Name) {
			return refuse(http.StatusConflict, "Already exists - A runner with the name *** already exists.")
		}
	}
	r := &Runner{ID: s.id(), Scope: sc.name, Name: in.Name, Labels: in.Labels, GroupID: *in.GroupID, Ephemeral: true, JIT: true, WorkDir: in.WorkFolder, credential: s.secretless()}
	s.runners[r.ID] = r
	settings, _ := json.Marshal(map[string]string{"AgentId": fmt.Sprint(r.ID), "AgentName": r.Name, "Ephemeral": "True", "GitHubUrl": "", "ServerUrl": s.url, "WorkFolder": in.WorkFolder})
	encoded := map[string]string{}
	for name, content := range map[string]string{".runner": string(settings), ".credentials": `{"data":{"token":"` + r.credential + `"}}`, ".credentials_rsaparams": `{"d":"` + random(64) + `"}`} {
		encoded[name] = base64.StdEncoding.EncodeToString([]byte(content))
	}
	text, _ := json.Marshal(encoded)
	config := base64.StdEncoding.EncodeToString(text)
	s.secrets = append(s.secrets, config)
	return response{status: http.StatusCreated, body: map[string]any{"runner": describe(r), "encoded_jit_config": config}}
}

// secretless is a listener's own credential. Its job can always read it, because
// the official runner keeps it in a file of the job's user; so it does not count
// among the secrets.
func (s *Server) secretless() string { return "own-" + random(20) }

// asApp answers the calls that an App makes as itself.
func (s *Server) asApp(q request) response {
	app, refused := s.verifyJWT(strings.TrimPrefix(q.header.Get("Authorization"), "Bearer "))
	if refused.status != 0 {
		return refused
	}
	if q.operation == "installation" {
		for account, id := range app.Installations {
			if owner, _, _ := strings.Cut(q.scope, "/"); strings.EqualFold(account, q.scope) || strings.EqualFold(account, owner) {
				return response{status: http.StatusOK, body: map[string]any{"id": id}}
			}
		}
		return refuse(http.StatusNotFound, "Not Found")
	}
	id, _ := strconv.ParseInt(q.parts[0], 10, 64)
	if s.installations[id] != app.ID {
		return refuse(http.StatusNotFound, "Not Found")
	}
	t := &Token{Value: s.secret("ghs_" + app.ID + "_"), Kind: FineGrained, Permissions: app.Permissions, Expires: s.now().Add(time.Hour), appID: app.ID}
	for account, installation := range app.Installations {
		if installation == id {
			t.Account = account
		}
	}
	s.tokens[t.Value] = t
	return response{status: http.StatusCreated, body: map[string]any{"token": t.Value, "expires_at": t.Expires.Format(time.RFC3339), "permissions": app.Permissions}}
}

// verifyJWT checks a JWT as GitHub does: RS256, not issued in the future, and
// not good for more than ten minutes, on GitHub's clock.
func (s *Server) verifyJWT(text string) (App, response) {
	bad := func(message string) (App, response) { return App{}, refuse(http.StatusUnauthorized, message) }
	s.secrets = append(s.secrets, text)
	for _, app := range s.apps {
		var claims jwt.RegisteredClaims
		_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation()).
			ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return app.Key, nil })
		if err != nil || claims.Issuer != app.ID {
			continue
		}
		now := s.now()
		switch {
		case claims.IssuedAt == nil || claims.IssuedAt.After(now):
			return bad("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
		case claims.ExpiresAt == nil || claims.ExpiresAt.Before(now):
			return bad("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
		case claims.ExpiresAt.Sub(now) > 10*time.Minute:
			return bad("'Expiration time' claim ('exp') is too far in the future")
		}
		return app, response{}
	}
	return bad("A JSON web token could not be decoded")
}

// JITConfig hands out a ready JIT configuration, as a script of an operator's
// would request it.
func (s *Server) JITConfig(scope, name string, labels ...string) string {
	body, _ := json.Marshal(map[string]any{"name": name, "runner_group_id": 1, "labels": labels, "work_folder": "_work"})
	var answer response
	s.change(func() { answer = s.jitConfig(request{body: body}, s.scopes[strings.ToLower(scope)]) })
	content, _ := answer.body.(map[string]any)
	config, _ := content["encoded_jit_config"].(string)
	return config
}
