package githubtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func (s *Server) now() time.Time { return time.Now().Add(s.options.Skew) }

// anonymous is the token of a call without one.
const anonymous TokenKind = "anonymous"

func (s *Server) authenticate(q request) (*Token, response) {
	header := q.header.Get("Authorization")
	if header == "" && q.needs == nobody {
		return &Token{Kind: anonymous}, response{}
	}
	if value, remote := strings.CutPrefix(header, "RemoteAuth "); remote {
		return s.byRegistration(q, value)
	}
	value, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		value, ok = strings.CutPrefix(header, "token ")
	}
	token := s.tokens[value]
	switch {
	case header == "":
		return nil, refuse(http.StatusUnauthorized, "Requires authentication")
	case !ok || token == nil || !token.Expires.IsZero() && s.now().After(token.Expires):
		return nil, refuse(http.StatusUnauthorized, "Bad credentials")
	case q.needs == aUser && token.appID != "":
		return nil, refuse(http.StatusForbidden, "Resource not accessible by integration")
	}
	return token, response{}
}

// byRegistration lets config.sh look for groups and runners with its registration
// token.
func (s *Server) byRegistration(q request, value string) (*Token, response) {
	t, known := s.registrations[value]
	if !known || s.now().After(t.expires) || !slices.Contains([]string{"list-groups", "list-runners"}, q.operation) {
		return nil, notFound()
	}
	return &Token{Value: value, Kind: Classic, Scopes: []string{"admin:org", "repo", "manage_runners:enterprise"}, Account: t.scope}, response{}
}

// right is what a call needs: a classic token's scope, and a permission of the
// others.
type right struct{ classic, permission string }

// rightOf is the right for a need within a scope's kind. An empty permission
// cannot be granted to fine-grained tokens and Apps at all.
func rightOf(n need, sc *scope) right {
	switch n {
	case runners:
		return map[string]right{
			"organization": {"admin:org", "organization_self_hosted_runners"},
			"repository":   {"repo", "administration"},
			"enterprise":   {"manage_runners:enterprise", ""},
		}[sc.kind]
	case policies:
		return right{"admin:org", "organization_administration"}
	case workflows:
		return right{"repo", "actions"}
	}
	return right{"repo", "metadata"}
}

// authorize answers who may not do this here. What a caller may not even see is
// not found; what it may see but not manage is forbidden.
func (s *Server) authorize(q request, sc *scope, token *Token) response {
	need := rightOf(q.needs, sc)
	owner, _, _ := strings.Cut(sc.name, "/")
	switch {
	case token.Account != "" && !strings.EqualFold(token.Account, owner) && !strings.EqualFold(token.Account, sc.name):
		return refuse(http.StatusNotFound, "Not Found")
	case token.SAML:
		return refuse(http.StatusForbidden, "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization.").
			with("X-GitHub-SSO", "required; url=https://github.com/orgs/"+owner+"/sso?authorization_request=AAAA")
	case token.classic() && q.needs == metadata && (!sc.private || slices.Contains(token.Scopes, "repo")):
		return response{}
	case token.classic() && slices.Contains(token.Scopes, need.classic):
		return response{}
	case token.classic() && sc.private:
		return refuse(http.StatusNotFound, "Not Found")
	case token.classic():
		return refuse(http.StatusForbidden, "Must have admin rights to Repository.")
	case q.needs == metadata:
		return response{} // every installation and fine-grained token has it
	}
	if level := token.Permissions[need.permission]; level == "write" || level == "read" && q.method == http.MethodGet {
		return response{}
	}
	who := "personal access token"
	if token.appID != "" {
		who = "integration"
	}
	return refuse(http.StatusForbidden, "Resource not accessible by "+who)
}

// tellRights adds the headers that name what a token has and what a call takes.
func tellRights(answer response, q request, sc *scope, token *Token) response {
	need := rightOf(q.needs, sc)
	if token.classic() {
		return answer.with("X-OAuth-Scopes", strings.Join(token.Scopes, ", ")).with("X-Accepted-OAuth-Scopes", need.classic)
	}
	level := "read"
	if q.method != http.MethodGet {
		level = "write"
	}
	return answer.with("X-Accepted-GitHub-Permissions", need.permission+"="+level)
}

// quota is what a caller has used of its primary rate limit.
type quota struct {
	began time.Time
	used  int
}

// The calls that a caller has in an hour.
const (
	hourly          = 5000
	hourlyAnonymous = 60
)

func (s *Server) hourly(token *Token) int {
	switch {
	case token.Kind == anonymous:
		return hourlyAnonymous
	case s.options.CallsPerHour > 0:
		return s.options.CallsPerHour
	}
	return hourly
}

// spend takes one call off a caller's hour; the lock is held. Asking for the
// limits is free.
func (s *Server) spend(q request, token *Token) (u *quota, over response) {
	u = s.quotas[token.Value]
	if u == nil || s.now().Sub(u.began) >= time.Hour {
		u = &quota{began: s.now()}
		s.quotas[token.Value] = u
	}
	if q.operation == "rate-limit" {
		return u, response{}
	}
	if u.used >= s.hourly(token) {
		return u, refuse(http.StatusForbidden, "API rate limit exceeded for user ID 1.")
	}
	u.used++
	return u, response{}
}

func (s *Server) tellQuota(answer response, u *quota, token *Token) response {
	limit := s.hourly(token)
	return answer.with("X-RateLimit-Limit", strconv.Itoa(limit)).with("X-RateLimit-Remaining", strconv.Itoa(limit-u.used)).
		with("X-RateLimit-Used", strconv.Itoa(u.used)).with("X-RateLimit-Resource", "core").
		with("X-RateLimit-Reset", strconv.FormatInt(u.began.Add(time.Hour).Unix(), 10))
}

// asApp answers the calls that an App makes as itself.
func (s *Server) asApp(q request) response {
	app, refused := s.verifyJWT(strings.TrimPrefix(q.header.Get("Authorization"), "Bearer "))
	if refused.status != 0 {
		return refused
	}
	switch q.operation {
	case "app":
		return response{status: http.StatusOK, body: s.describeApp(app)}
	case "installation":
		for account, id := range app.Installations {
			if owner, _, _ := strings.Cut(q.scope, "/"); strings.EqualFold(account, q.scope) || strings.EqualFold(account, owner) {
				return response{status: http.StatusOK, body: s.describeInstallation(app, account, id)}
			}
		}
		return refuse(http.StatusNotFound, "Not Found")
	}
	id, _ := strconv.ParseInt(q.parts[0], 10, 64)
	if s.installations[id] != app.ID {
		return refuse(http.StatusNotFound, "Not Found")
	}
	t := &Token{Value: s.secret("ghs_" + app.ID + "_"), Kind: FineGrained, Permissions: app.Permissions, Expires: s.now().Add(s.options.InstallationTokenLife), appID: app.ID}
	for account, installation := range app.Installations {
		if installation == id {
			t.Account = account
		}
	}
	s.tokens[t.Value] = t
	return response{status: http.StatusCreated, body: map[string]any{
		"token": t.Value, "expires_at": t.Expires.UTC().Format(time.RFC3339), "permissions": orEmpty(app.Permissions), "repository_selection": "all",
	}}
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
