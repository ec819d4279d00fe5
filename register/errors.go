package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The kinds of refusals; errors.Is finds them.
var (
	ErrCredentials   = errors.New("GitHub refuses the credentials")  // exit code 77
	ErrConfiguration = errors.New("the configuration is wrong")      // exit code 78
	ErrUnreachable   = errors.New("GitHub could not be reached")     // exit code 69
	ErrNotFound      = errors.New("GitHub has no such thing")        // part of a caller's logic
	errConflict      = errors.New("GitHub has one of that name")     // 409
	errBusy          = errors.New("GitHub says it is running a job") // 422 of a DELETE
)

const requestIDHeader = "X-GitHub-Request-Id"

// Error is GitHub's refusal of one call.
type Error struct {
	Method, Path string
	Status       int
	Message      string // GitHub's, made printable
	RequestID    string // X-GitHub-Request-Id: what GitHub's support asks for
	Remedy       string // what to do
	Kind         error  // one of the Err…
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, e.Message)
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	if e.Kind != nil {
		text = e.Kind.Error() + ": " + text
	}
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Unwrap makes errors.Is(err, ErrCredentials) and the like work.
func (e *Error) Unwrap() error { return e.Kind }

// printable takes what could steer a terminal out of text that others wrote, and
// bounds its length.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	const longest = 300
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return strings.TrimSpace(text)
}

// message reads GitHub's error body: a message, and with 422 a list of strings
// or objects.
func message(a *answer) string {
	var body struct {
		Message string
		Errors  []json.RawMessage
	}
	if json.Unmarshal(a.body, &body) != nil || body.Message == "" {
		return http.StatusText(a.status)
	}
	text := body.Message
	for _, raw := range body.Errors {
		var one struct{ Resource, Field, Code, Message string }
		var plain string
		switch {
		case json.Unmarshal(raw, &plain) == nil:
			text += "; " + plain
		case json.Unmarshal(raw, &one) == nil && one.Message != "":
			text += "; " + one.Message
		case one.Field != "":
			text += "; " + one.Field + " " + one.Code
		}
	}
	return printable(text)
}

// refusal makes the error of an answer that is none of the good ones. For an
// organization that is not found it asks GitHub one more thing: whether the
// name is a personal account.
func (c *Client) refusal(ctx context.Context, method, path string, a *answer) error {
	e := &Error{Method: method, Path: path, Status: a.status, Message: message(a), RequestID: printable(a.header.Get(requestIDHeader))}
	switch a.status {
	case http.StatusUnauthorized:
		e.Kind, e.Remedy = ErrCredentials, c.unauthorized(a)
	case http.StatusForbidden:
		e.Kind, e.Remedy = ErrCredentials, c.forbidden(method, a)
	case http.StatusNotFound:
		e.Kind = ErrNotFound
		if c.isScopes(path) {
			e.Kind = ErrConfiguration
			e.Remedy = c.notFound(ctx, a)
		}
	case http.StatusConflict:
		e.Kind = errConflict
	case http.StatusUnprocessableEntity:
		e.Kind = ErrConfiguration
		e.Remedy = "correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"
		if method == http.MethodDelete {
			e.Kind, e.Remedy = errBusy, ""
		}
	case http.StatusTooManyRequests:
		e.Kind, e.Remedy = ErrUnreachable, "wait, or give this fleet credentials of its own: limits are counted for each user and App"
	default:
		e.Kind, e.Remedy = ErrConfiguration, "check that GITHUB_API_URL is the address of GitHub's REST API"
		if a.status >= 500 {
			e.Kind, e.Remedy = ErrUnreachable, "see githubstatus.com, and try again"
		}
	}
	return e
}

// isScopes tells whether a path's 404 is about the scope itself, and not about a
// runner in it or an App's installation for it.
func (c *Client) isScopes(path string) bool {
	rest, ok := strings.CutPrefix(path, c.options.Scope.path())
	if !ok || rest == "/installation" {
		return false
	}
	return !strings.HasPrefix(rest, "/actions/runners/") || rest == "/actions/runners/registration-token"
}

// clockSlack is how far two clocks may be apart in a JWT's life before GitHub
// refuses it.
const clockSlack = 45 * time.Second

func (c *Client) unauthorized(a *answer) string {
	if c.options.Credentials.kind() == "App" {
		if skew := time.Since(a.date); !a.date.IsZero() && skew.Abs() > clockSlack {
			direction := "ahead of"
			if skew < 0 {
				direction = "behind"
			}
			return fmt.Sprintf("this machine's clock is %s %s GitHub's, so the App's token is not valid there: set the clock (NTP)", skew.Abs().Round(time.Second), direction)
		}
		return "check that GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together and that the key has not been deleted in the App's settings"
	}
	return "the token is wrong, expired or revoked: make a new one and set GITHUB_TOKEN; " + c.need()
}

// need says what a token for this scope must have.
func (c *Client) need() string {
	switch c.options.Scope.kind {
	case "organization":
		return `it needs the scope admin:org (classic), or the organization permission "Self-hosted runners", read and write (fine-grained token or App)`
	case "repository":
		return `it needs the scope repo (classic), or the repository permission "Administration", read and write (fine-grained token or App)`
	}
	return "it needs the scope manage_runners:enterprise (classic token): nothing else may manage an enterprise's runners"
}

func (c *Client) forbidden(method string, a *answer) string {
	if sso := a.header.Get("X-GitHub-SSO"); sso != "" {
		if _, address, ok := strings.Cut(sso, "url="); ok {
			return "the organization demands SAML single sign-on for this token: authorize it within one hour at " + printable(address)
		}
		return "the organization demands SAML single sign-on for this token: authorize it under Settings, Developer settings, Personal access tokens, Configure SSO"
	}
	text := strings.ToLower(message(a))
	switch {
	case strings.Contains(text, "ip allow list"):
		return "the organization admits only certain addresses: add this machine's to its IP allow list"
	case strings.Contains(text, "suspended"):
		return "ask an organization owner to unsuspend the App's installation"
	case strings.Contains(text, "user-agent"), strings.Contains(text, "administrative rules"):
		return "something between this container and GitHub removes the User-Agent header: check HTTPS_PROXY"
	}
	remedy := "the credentials may not manage runners of the " + c.options.Scope.String() + ": " + c.need()
	if has, ok := a.header["X-Oauth-Scopes"]; ok {
		remedy += "; this token has " + list(has)
		if accepted := a.header.Get("X-Accepted-Oauth-Scopes"); accepted != "" {
			remedy += ", GitHub accepts " + printable(accepted)
		}
	}
	if accepted := a.header.Get("X-Accepted-Github-Permissions"); accepted != "" {
		remedy += "; GitHub names " + printable(accepted)
	}
	return remedy
}

func list(values []string) string {
	if text := printable(strings.Join(values, ", ")); text != "" {
		return text
	}
	return "no scopes"
}

// notFound explains the 404 of a scope: GitHub says it both for what does not
// exist and for what the credentials may not see.
func (c *Client) notFound(ctx context.Context, a *answer) string {
	name := c.options.Scope.name
	switch c.options.Scope.kind {
	case "repository":
		return fmt.Sprintf("there is no repository %s, or the credentials cannot see it: check GITHUB_REPOSITORY (owner/name), and that the token covers it; %s", name, c.need())
	case "enterprise":
		return fmt.Sprintf("there is no enterprise %s, or the credentials cannot see it: check GITHUB_ENTERPRISE (the slug, as in github.com/enterprises/SLUG); %s", name, c.need())
	}
	switch c.accountType(ctx, name) {
	case "User":
		return fmt.Sprintf("%s is a personal account, which cannot have organization runners: remove GITHUB_ORGANIZATION and set GITHUB_REPOSITORY=%s/REPOSITORY, or create an organization", name, name)
	case "Organization":
		remedy := fmt.Sprintf("the organization %s exists, but the credentials may not manage its runners: %s, and its owner must be an organization owner", name, c.need())
		if has, ok := a.header["X-Oauth-Scopes"]; ok {
			remedy += "; this token has " + list(has)
		}
		return remedy
	}
	return fmt.Sprintf("there is no organization %s: check the spelling of GITHUB_ORGANIZATION, as in github.com/NAME", name)
}

// accountType asks GitHub what a name is: "User", "Organization", or "" when it
// does not tell. One attempt within 5 s: it only makes a message better.
func (c *Client) accountType(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	token, err := c.options.Credentials.token(ctx)
	if err != nil {
		return ""
	}
	a, err := c.request(ctx, token, http.MethodGet, "/users/"+name, nil)
	if err != nil || a.status != http.StatusOK {
		return ""
	}
	var account struct{ Type string }
	if json.Unmarshal(a.body, &account) != nil || !slices.Contains([]string{"User", "Organization"}, account.Type) {
		return ""
	}
	return account.Type
}
