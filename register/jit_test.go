package register_test

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

var (
	jitSuccess = reply{status: 201, body: `{"runner":{"id":8},"encoded_jit_config":"e30="}`}
	conflict   = reply{status: 409, body: `{"message":"Already exists - A runner with the name *** already exists."}`}
	missing    = reply{status: 404, body: `{"message":"Not Found"}`}
	groups     = reply{status: 200, body: `{"total_count":2,"runner_groups":[{"id":1,"name":"Default","default":true},{"id":3,"name":"Trusted"}]}`}
)

func TestJITConfig(t *testing.T) {
	for _, row := range []struct {
		name, group string
		scope       register.Scope // zero: organization acme
		replies     map[string][]reply
		calls       []string
		groupID     string // in the last request for a configuration
		taken       bool
		kind        error
		message     string
	}{
		{name: "one call", replies: map[string][]reply{jitCall: {jitSuccess}}, calls: []string{jitCall}, groupID: "1"},
		{name: "default group", group: "Default", replies: map[string][]reply{jitCall: {jitSuccess}}, calls: []string{jitCall}, groupID: "1"},
		{name: "group by name, without case", group: "trusted", replies: map[string][]reply{groupsCall: {groups}, jitCall: {jitSuccess}}, calls: []string{groupsCall, jitCall}, groupID: "3"},
		{name: "a default group of another id", replies: map[string][]reply{jitCall: {missing, jitSuccess},
			groupsCall: {{status: 200, body: `{"runner_groups":[{"id":12,"name":"Default","default":true}]}`}}}, calls: []string{jitCall, groupsCall, jitCall}, groupID: "12"},
		{name: "a repository has no groups", group: "trusted", scope: register.Repository("acme/coach"),
			replies: map[string][]reply{"POST /repos/acme/coach/actions/runners/generate-jitconfig": {jitSuccess}},
			calls:   []string{"POST /repos/acme/coach/actions/runners/generate-jitconfig"}, groupID: "1"},
		{name: "unknown group", group: "none", replies: map[string][]reply{groupsCall: {groups}}, calls: []string{groupsCall}, kind: register.ErrConfiguration,
			message: `the configuration is wrong: the organization acme has no runner group "none": set RUNNER_GROUP to one that exists (Default, Trusted), or create it in the settings under Actions, Runner groups`},
		{name: "a group that it may not use", group: "trusted", replies: map[string][]reply{groupsCall: {groups}, jitCall: {missing}}, calls: []string{groupsCall, jitCall, groupsCall}, kind: register.ErrConfiguration,
			message: `the configuration is wrong: ` + jitCall + `: 404 Not Found: the credentials may not register runners in the group "trusted": needed is ` + needOrganization},
		{name: "no organization", replies: map[string][]reply{jitCall: {missing}, groupsCall: {missing}, "GET /users/acme": {{status: 200, body: `{"type":"User"}`}}},
			calls: []string{jitCall, groupsCall, "GET /users/acme"}, kind: register.ErrConfiguration,
			message: "the configuration is wrong: " + groupsCall + ": 404 Not Found: acme is a personal account, which cannot have organization runners: remove GITHUB_ORGANIZATION and set GITHUB_REPOSITORY=acme/REPOSITORY, or create an organization"},
		{name: "no labels", replies: map[string][]reply{jitCall: {{status: 422, body: `{"message":"Invalid property /labels: 1 item required; only 0 were supplied"}`}}}, calls: []string{jitCall}, kind: register.ErrConfiguration,
			message: "the configuration is wrong: " + jitCall + ": 422 Invalid property /labels: 1 item required; only 0 were supplied: correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"},
		{name: "no configuration in the answer", replies: map[string][]reply{jitCall: {{status: 201, body: `{"runner":{}}`}}}, calls: []string{jitCall}, kind: register.ErrConfiguration,
			message: "the configuration is wrong: " + jitCall + ": 201 the answer is not of the documented form: check that GITHUB_API_URL is the address of GitHub's REST API"},

		{name: "the name is taken", replies: map[string][]reply{jitCall: {conflict}}, calls: []string{jitCall}, taken: true},
		{name: "taken by its own, whose answer was lost", replies: map[string][]reply{jitCall: {{err: io.ErrUnexpectedEOF}, conflict}}, calls: []string{jitCall, jitCall}, taken: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if row.scope == (register.Scope{}) {
					row.scope = register.Organization("acme")
				}
				github := &script{replies: row.replies}
				config, taken, err := client(t, github, scoped(row.scope)).JITConfig(within(t, 15*time.Minute), "r-1", row.group, []string{"self-hosted", "docker"}, "_work")
				if row.calls != nil && !slices.Equal(github.names(), row.calls) {
					t.Errorf("calls %q", github.names())
				}
				equal(t, "taken", taken, row.taken)
				mustBe(t, err, row.kind)
				if err != nil {
					equal(t, "message", err.Error(), row.message)
					return
				}
				if taken {
					return
				}
				equal(t, "configuration", config.Reveal(), "e30=")
				last := github.calls[len(github.calls)-1]
				equal(t, "body", last.body, `{"name":"r-1","runner_group_id":`+row.groupID+`,"labels":["self-hosted","docker"],"work_folder":"_work"}`)
				equal(t, "content type", last.header.Get("Content-Type"), "application/json")
			})
		})
	}
}
