package register_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const (
	needOrganization = `the scope admin:org (classic token) or the organization permission "Self-hosted runners", read and write (fine-grained token, App)`
	needRepository   = `the scope repo (classic token) or the repository permission "Administration", read and write (fine-grained token, App)`
	needEnterprise   = "the scope manage_runners:enterprise (classic token; nothing else may manage an enterprise's runners)"
)

// TestGuidance shows the exact message of every refusal, which is final at once.
func TestGuidance(t *testing.T) {
	repository, enterprise := register.Repository("acme/coach"), register.Enterprise("big")
	const repositoryToken = "POST /repos/acme/coach/actions/runners/registration-token"
	const enterpriseToken = "POST /enterprises/big/actions/runners/registration-token"
	notFound := reply{status: 404, body: `{"message":"Not Found","status":"404"}`, header: map[string]string{"X-GitHub-Request-Id": "AB:CD"}}
	classic := func(r reply, has, accepted string) reply {
		header := map[string]string{"X-OAuth-Scopes": has, "X-Accepted-OAuth-Scopes": accepted}
		for k, v := range r.header {
			header[k] = v
		}
		r.header = header
		return r
	}
	for _, row := range []struct {
		name    string
		scope   register.Scope // zero: organization acme
		replies map[string][]reply
		kind    error
		want    string
	}{
		{"401", register.Scope{}, map[string][]reply{tokenCall: {{status: 401, body: `{"message":"Bad credentials"}`, header: map[string]string{"X-GitHub-Request-Id": "AB:CD"}}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 401 Bad credentials (request AB:CD): the token is wrong, expired or revoked: make a new one and set GITHUB_TOKEN to it; needed is " + needOrganization},
		{"401 enterprise", enterprise, map[string][]reply{enterpriseToken: {{status: 401, body: `{"message":"Bad credentials"}`}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + enterpriseToken + ": 401 Bad credentials: the token is wrong, expired or revoked: make a new one and set GITHUB_TOKEN to it; needed is " + needEnterprise},
		{"403 classic", register.Scope{}, map[string][]reply{tokenCall: {classic(reply{status: 403, body: `{"message":"Must have admin rights to Repository."}`}, "repo, workflow", "admin:org")}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Must have admin rights to Repository.: the credentials may not manage the runners of the organization acme: needed is " + needOrganization + "; this token has repo, workflow, GitHub accepts admin:org"},
		{"403 classic without scopes", register.Scope{}, map[string][]reply{tokenCall: {classic(reply{status: 403, body: `{"message":"Must have admin rights to Repository."}`}, "", "admin:org")}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Must have admin rights to Repository.: the credentials may not manage the runners of the organization acme: needed is " + needOrganization + "; this token has no scopes, GitHub accepts admin:org"},
		{"403 fine-grained", register.Scope{}, map[string][]reply{tokenCall: {{status: 403, body: `{"message":"Resource not accessible by personal access token"}`, header: map[string]string{"X-Accepted-GitHub-Permissions": "organization_self_hosted_runners=write"}}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Resource not accessible by personal access token: the credentials may not manage the runners of the organization acme: needed is " + needOrganization + "; GitHub names organization_self_hosted_runners=write"},
		{"403 repository", repository, map[string][]reply{repositoryToken: {{status: 403, body: `{"message":"Resource not accessible by integration"}`}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + repositoryToken + ": 403 Resource not accessible by integration: the credentials may not manage the runners of the repository acme/coach: needed is " + needRepository},
		{"403 single sign-on", register.Scope{}, map[string][]reply{tokenCall: {{status: 403, body: `{"message":"Resource protected by organization SAML enforcement."}`, header: map[string]string{"X-GitHub-SSO": "required; url=https://github.test/orgs/acme/sso?authorization_request=AAAA"}}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Resource protected by organization SAML enforcement.: the organization demands SAML single sign-on for this token: authorize it within one hour at https://github.test/orgs/acme/sso?authorization_request=AAAA"},
		{"404 single sign-on", register.Scope{}, map[string][]reply{tokenCall: {{status: 404, body: `{"message":"Not Found"}`, header: map[string]string{"X-GitHub-SSO": "partial-results; organizations=1"}}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 404 Not Found: the organization demands SAML single sign-on for this token: authorize it under Settings, Developer settings, Personal access tokens, Configure SSO"},
		{"403 address", register.Scope{}, map[string][]reply{tokenCall: {{status: 403, body: `{"message":"Although you appear to have the correct authorization credentials, the acme organization has an IP allow list enabled"}`}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Although you appear to have the correct authorization credentials, the acme organization has an IP allow list enabled: the organization admits only certain addresses: add this machine's to its IP allow list"},
		{"403 User-Agent", register.Scope{}, map[string][]reply{tokenCall: {{status: 403, body: `{"message":"Request forbidden by administrative rules."}`}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 Request forbidden by administrative rules.: something between this container and GitHub removes the User-Agent header: check HTTPS_PROXY"},
		{"404 personal account", register.Scope{}, map[string][]reply{tokenCall: {notFound}, "GET /users/acme": {{status: 200, body: `{"type":"User"}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 404 Not Found (request AB:CD): acme is a personal account, which cannot have organization runners: remove GITHUB_ORGANIZATION and set GITHUB_REPOSITORY=acme/REPOSITORY, or create an organization"},
		{"404 hidden organization", register.Scope{}, map[string][]reply{tokenCall: {classic(notFound, "repo", "admin:org")}, "GET /users/acme": {{status: 200, body: `{"type":"Organization"}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 404 Not Found (request AB:CD): the organization acme exists, but the credentials may not manage its runners: needed is " + needOrganization + ", of one who owns the organization; this token has repo, GitHub accepts admin:org"},
		{"404 no organization", register.Scope{}, map[string][]reply{tokenCall: {notFound}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 404 Not Found (request AB:CD): there is no organization acme: check the spelling of GITHUB_ORGANIZATION, as in github.com/NAME"},
		{"404 nobody knows", register.Scope{}, map[string][]reply{tokenCall: {notFound}, "GET /users/acme": {{status: 503}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 404 Not Found (request AB:CD): there is no organization acme, or the credentials cannot see it: check the spelling of GITHUB_ORGANIZATION, as in github.com/NAME; needed is " + needOrganization},
		{"404 repository", repository, map[string][]reply{repositoryToken: {notFound}},
			register.ErrConfiguration, "the configuration is wrong: " + repositoryToken + ": 404 Not Found (request AB:CD): there is no repository acme/coach, or the credentials cannot see it: check GITHUB_REPOSITORY (owner/name), and that the token covers it; needed is " + needRepository},
		{"404 enterprise", enterprise, map[string][]reply{enterpriseToken: {notFound}},
			register.ErrConfiguration, "the configuration is wrong: " + enterpriseToken + ": 404 Not Found (request AB:CD): there is no enterprise big, or the credentials cannot see it: check GITHUB_ENTERPRISE (the slug, as in github.com/enterprises/SLUG); needed is " + needEnterprise},
		{"422", register.Scope{}, map[string][]reply{tokenCall: {{status: 422, body: `{"message":"Validation Failed","errors":["too long",{"resource":"Runner","field":"name","code":"invalid"},{"code":"custom","message":"no"}]}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 422 Validation Failed; too long; name invalid; no: correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"},
		{"422 with one error", register.Scope{}, map[string][]reply{tokenCall: {{status: 422, body: `{"message":"Invalid request","errors":"no"}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 422 Invalid request; no: correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"},
		{"not GitHub", register.Scope{}, map[string][]reply{tokenCall: {{status: 404, body: `<html>`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 404 Not Found: this answer did not come from GitHub's REST API: check GITHUB_API_URL and HTTPS_PROXY"},
		{"moved nowhere", register.Scope{}, map[string][]reply{tokenCall: {{status: 304, body: `{}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 304 Not Modified: this answer did not come from GitHub's REST API: check GITHUB_API_URL and HTTPS_PROXY"},
		{"another form", register.Scope{}, map[string][]reply{tokenCall: {{status: 201, body: `{"tokens":[]}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 201 the answer is not of the documented form: check that GITHUB_API_URL is the address of GitHub's REST API"},
		{"410", register.Scope{}, map[string][]reply{tokenCall: {{status: 410, body: `{"message":"This version is gone"}`}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 410 This version is gone: check that GITHUB_API_URL is the address of GitHub's REST API"},
		{"moved", register.Scope{}, map[string][]reply{tokenCall: {{status: 301, body: `{"message":"Moved Permanently"}`, header: map[string]string{"Location": api + "/organizations/5"}}}},
			register.ErrConfiguration, "the configuration is wrong: " + tokenCall + ": 301 Moved Permanently: it has moved to " + api + "/organizations/5: set the target's new name"},
		{"hostile message", register.Scope{}, map[string][]reply{tokenCall: {{status: 403, body: `{"message":"` + "\\u001b[2J\\u202emore" + strings.Repeat("x", 1000) + `, suspended"}`}}},
			register.ErrCredentials, "GitHub refuses the credentials: " + tokenCall + ": 403 [2J more" + strings.Repeat("x", 291) + "…: the credentials may not manage the runners of the organization acme: needed is " + needOrganization},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if row.scope == (register.Scope{}) {
					row.scope = register.Organization("acme")
				}
				github := &script{replies: row.replies}
				began := time.Now()
				_, err := client(t, github, scoped(row.scope)).RegistrationToken(within(t, time.Hour))
				if err == nil {
					t.Fatal("no error")
				}
				equal(t, "message", err.Error(), row.want)
				mustBe(t, err, row.kind)
				calls := 1
				if row.name == "not GitHub" {
					calls = 3 // once may be garbage
				}
				equal(t, "calls for the token", github.times(github.names()[0]), calls)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A target that is not there is told from one that is kept from these credentials.
func TestAbsent(t *testing.T) {
	runners := func(c *register.Client, ctx context.Context) error {
		_, err := c.RunnersPage(ctx, "")
		return err
	}
	repository := func(c *register.Client, ctx context.Context) error {
		_, err := c.Repository(ctx, "acme/coach")
		return err
	}
	missing := reply{status: 404, body: `{"message":"Not Found"}`}
	for _, row := range []struct {
		name    string
		scope   register.Scope
		ask     func(*register.Client, context.Context) error
		account reply
		absent  bool
	}{
		{"no organization", register.Organization("acme"), runners, missing, true},
		{"a person", register.Organization("acme"), runners, reply{status: 200, body: `{"type":"User"}`}, true},
		{"an organization", register.Organization("acme"), runners, reply{status: 200, body: `{"type":"Organization"}`}, false},
		{"nobody knows", register.Organization("acme"), runners, reply{status: 503}, false},
		{"a repository", register.Repository("acme/coach"), repository, missing, true},
		{"a repository's runners", register.Repository("acme/coach"), runners, missing, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &script{replies: map[string][]reply{"GET /users/acme": {row.account}}} // all else is 404
				err := row.ask(client(t, github, scoped(row.scope)), within(t, time.Minute))
				equal(t, "hidden", errors.Is(err, register.ErrHidden), true)
				equal(t, "absent", errors.Is(err, register.ErrAbsent), row.absent)
			})
		})
	}
}

func TestErrorIsAValue(t *testing.T) {
	github := &script{replies: map[string][]reply{tokenCall: {{status: 401, body: `{"message":"Bad credentials"}`, header: map[string]string{"X-GitHub-Request-Id": "AB:CD"}}}}}
	_, err := client(t, github).RegistrationToken(within(t, time.Minute))
	var e *register.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T", err)
	}
	e.Remedy = ""
	equal(t, "error", *e, register.Error{Method: "POST", Path: "/orgs/acme/actions/runners/registration-token", Status: 401,
		Message: "Bad credentials", RequestID: "AB:CD", Kind: register.ErrCredentials})
}
