package register

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// refusal makes the error of an answer that is none of the good ones. For an
// organization that is not found it asks GitHub one more thing: whether the
// name is a personal account.
func (c *Client) refusal(ctx context.Context, method, path string, a *answer) error {
	text, ours := message(a)
	e := &Error{Method: method, Path: path, Status: a.status, Message: text, RequestID: a.requestID(), Kind: ErrConfiguration}
	switch {
	case a.status < 400 && a.header.Get("Location") != "":
		e.Remedy = "it has moved to " + printable(a.header.Get("Location")) + ": set the target's new name"
	case a.status < 400, !ours:
		e.Remedy = "this answer did not come from GitHub's REST API: check GITHUB_API_URL and HTTPS_PROXY"
	case a.status == http.StatusUnauthorized:
		e.Kind, e.Remedy = ErrCredentials, c.unauthorized(path, a)
	case a.status == http.StatusForbidden, a.status == http.StatusNotFound && a.header.Get("X-GitHub-SSO") != "":
		e.Kind, e.Remedy = ErrBarred, barred(text, a)
		if e.Remedy == "" {
			e.Kind, e.Remedy = ErrCredentials, c.forbidden(method, path, a)
		}
	case a.status == http.StatusNotFound && c.isScopes(path):
		e.Remedy, e.Kind = c.notFound(ctx, path, a)
	case a.status == http.StatusNotFound:
		e.Kind = ErrNotFound
	case a.status == http.StatusConflict:
		e.Kind, e.Remedy = errConflict, "set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random"
	case a.status == http.StatusUnprocessableEntity && method == http.MethodDelete:
		e.Kind = errBusy
	case a.status == http.StatusUnprocessableEntity:
		e.Remedy = "correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"
	default:
		e.Remedy = "check that GITHUB_API_URL is the address of GitHub's REST API"
	}
	return e
}

// isScopes tells whether a path's 404 is about the scope itself, and not about a
// runner or a group in it or an App's installation for it.
func (c *Client) isScopes(path string) bool {
	rest, ok := strings.CutPrefix(path, c.options.Scope.path())
	switch {
	case !ok || rest == "/installation":
		return false
	case rest == "/actions/runners/generate-jitconfig":
		return c.options.Scope.kind == "repository" // elsewhere it may be the group
	}
	return !strings.HasPrefix(rest, "/actions/runners/") || rest == "/actions/runners/registration-token"
}

// unauthorized explains a 401.
func (c *Client) unauthorized(path string, a *answer) string {
	asApp := path == "/app" || strings.HasPrefix(path, "/app/") || strings.HasSuffix(path, "/installation")
	switch {
	case asApp:
		if problem := clockProblem(time.Since(a.clock())); problem != "" {
			return problem
		}
		return "check that GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together and that the key has not been deleted in the App's settings"
	case c.options.Credentials.kind() == "App":
		return "the App's installation is being changed: see whether it is still installed and not suspended, and try again"
	}
	return "the token is wrong, expired or revoked: make a new one and set GITHUB_TOKEN to it; needed is " + c.need()
}

// clockProblem says by how much our clock is wrong if that is why GitHub refuses
// a JWT; ahead is how far ours is ahead of GitHub's, which tells whole seconds,
// some time ago: what is shown is rounded.
func clockProblem(ahead time.Duration) string {
	const slack = 5 * time.Second
	direction := "ahead of"
	switch {
	case ahead > jwtBackdate-slack: // issued in the future
	case ahead < -(jwtLife - jwtBackdate - slack): // expired
		direction = "behind"
	default:
		return ""
	}
	return fmt.Sprintf("this machine's clock is %s %s GitHub's, so the App's JWT is not valid there: set the clock (NTP)", ahead.Abs().Round(10*time.Second), direction)
}

// need says what credentials for this scope must have.
func (c *Client) need() string {
	switch c.options.Scope.kind {
	case "organization":
		return `the scope admin:org (classic token) or the organization permission "Self-hosted runners", read and write (fine-grained token, App)`
	case "repository":
		return `the scope repo (classic token) or the repository permission "Administration", read and write (fine-grained token, App)`
	}
	return "the scope manage_runners:enterprise (classic token; nothing else may manage an enterprise's runners)"
}

// otherNeed says what calls want that are not about runners; "" for those that
// are.
func otherNeed(method, path string) (what, need string) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.Contains(path, "/actions/permissions/"):
		return "see the organization's policy for runners", `the scope admin:org (classic token) or the organization permission "Actions policies", read (fine-grained token, App)`
	case strings.HasSuffix(path, "/cancel") && method == http.MethodPost:
		return "cancel runs", `the scope repo (classic token) or the repository permission "Actions", read and write (fine-grained token, App)`
	case strings.Contains(path, "/actions/runs"):
		return "see runs and jobs", `the scope repo (classic token) or the repository permission "Actions", read (fine-grained token, App)`
	case strings.HasSuffix(path, "/repos"), strings.HasPrefix(path, "/repos/") && strings.Count(path, "/") == 3:
		return "see the repository", `the scope repo (classic token) or the repository permission "Metadata", read (fine-grained token, App)`
	}
	return "", ""
}

// barred explains a 403 that is not about a permission; "" for others.
func barred(text string, a *answer) string {
	if sso := a.header.Get("X-GitHub-SSO"); sso != "" {
		if _, address, ok := strings.Cut(sso, "url="); ok {
			return "the organization demands SAML single sign-on for this token: authorize it within one hour at " + printable(address)
		}
		return "the organization demands SAML single sign-on for this token: authorize it under Settings, Developer settings, Personal access tokens, Configure SSO"
	}
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "ip allow list"):
		return "the organization admits only certain addresses: add this machine's to its IP allow list"
	case strings.Contains(text, "suspended"):
		return "ask an organization owner to unsuspend the App's installation"
	case strings.Contains(text, "user-agent"), strings.Contains(text, "administrative rules"):
		return "something between this container and GitHub removes the User-Agent header: check HTTPS_PROXY"
	}
	return ""
}

// forbidden explains a 403 of who lacks a permission.
func (c *Client) forbidden(method, path string, a *answer) string {
	remedy := "the credentials may not manage the runners of the " + c.options.Scope.String() + ": needed is " + c.need() + c.scopes(a)
	if what, need := otherNeed(method, path); need != "" {
		remedy = "the credentials may not " + what + ": needed is " + need + c.scopes(a)
	}
	if accepted := a.header.Get("X-Accepted-Github-Permissions"); accepted != "" {
		remedy += "; GitHub names " + printable(accepted)
	}
	return remedy
}

// scopes says what GitHub tells about a classic token.
func (c *Client) scopes(a *answer) string {
	has, told := a.header["X-Oauth-Scopes"]
	if !told {
		return ""
	}
	text := printable(strings.Join(has, ", "))
	if text == "" {
		text = "no scopes"
	}
	text = "; this token has " + text
	if accepted := printable(a.header.Get("X-Accepted-Oauth-Scopes")); accepted != "" {
		text += ", GitHub accepts " + accepted
	}
	return text
}

// notFound explains the 404 of a scope: GitHub says it both for what does not
// exist and for what the credentials may not see.
func (c *Client) notFound(ctx context.Context, path string, a *answer) (remedy string, kind error) {
	name := c.options.Scope.name
	switch c.options.Scope.kind {
	case "repository":
		kind = ErrHidden
		if path == c.options.Scope.path() {
			kind = ErrAbsent
		}
		return fmt.Sprintf("there is no repository %s, or the credentials cannot see it: check GITHUB_REPOSITORY (owner/name), and that the token covers it; needed is %s", name, c.need()+c.scopes(a)), kind
	case "enterprise":
		return fmt.Sprintf("there is no enterprise %s, or the credentials cannot see it: check GITHUB_ENTERPRISE (the slug, as in github.com/enterprises/SLUG); needed is %s", name, c.need()+c.scopes(a)), ErrHidden
	}
	switch c.accountType(ctx, name) {
	case "User":
		return fmt.Sprintf("%s is a personal account, which cannot have organization runners: remove GITHUB_ORGANIZATION and set GITHUB_REPOSITORY=%s/REPOSITORY, or create an organization", name, name), ErrAbsent
	case "Organization":
		return fmt.Sprintf("the organization %s exists, but the credentials may not manage its runners: needed is %s, of one who owns the organization%s", name, c.need(), c.scopes(a)), ErrHidden
	case "none":
		return fmt.Sprintf("there is no organization %s: check the spelling of GITHUB_ORGANIZATION, as in github.com/NAME", name), ErrAbsent
	}
	return fmt.Sprintf("there is no organization %s, or the credentials cannot see it: check the spelling of GITHUB_ORGANIZATION, as in github.com/NAME; needed is %s", name, c.need()+c.scopes(a)), ErrHidden
}

// accountType asks GitHub what a name is: User, Organization or none; "" when it
// does not tell within 5 s. It only makes a message better.
func (c *Client) accountType(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	token, err := c.options.Credentials.token(ctx)
	if err != nil {
		return ""
	}
	a, err := c.request(ctx, token, http.MethodGet, "/users/"+name, nil)
	if err != nil {
		return ""
	}
	if a.status == http.StatusNotFound {
		return "none"
	}
	var account struct{ Type string }
	_ = json.Unmarshal(a.body, &account)
	return account.Type
}
