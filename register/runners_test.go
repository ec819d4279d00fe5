package register_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

func TestRequest(t *testing.T) {
	github := &script{replies: map[string][]reply{tokenCall: {success}}}
	var derived []string
	c := client(t, github, func(o *register.Options) {
		o.Secret = func(s secret.String) { derived = append(derived, s.Reveal()) }
		o.API, _ = url.Parse(api + "/") // a trailing slash does no harm
	})
	if _, err := c.RegistrationToken(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if len(github.calls) != 1 {
		t.Fatalf("calls %v", github.names())
	}
	seen := github.calls[0]
	equal(t, "body", seen.body, "")
	equal(t, "host", seen.host, api)
	for name, want := range map[string]string{"Authorization": "Bearer a-token", "Accept": "application/vnd.github+json",
		"User-Agent": "org-runner/test", "X-Github-Api-Version": "2022-11-28", "Content-Type": ""} {
		equal(t, name, seen.header.Get(name), want)
	}
	if !slices.Equal(derived, []string{"AREG"}) {
		t.Errorf("secrets %q", derived)
	}
}

func TestScopes(t *testing.T) {
	server, _ := url.Parse("https://github.test")
	for _, row := range []struct {
		scope           register.Scope
		path, url, name string
	}{
		{register.Organization("acme"), "/orgs/acme", "https://github.test/acme", "organization acme"},
		{register.Repository("acme/coach"), "/repos/acme/coach", "https://github.test/acme/coach", "repository acme/coach"},
		{register.Enterprise("big"), "/enterprises/big", "https://github.test/enterprises/big", "enterprise big"},
	} {
		equal(t, "address", row.scope.RunnerURL(server), row.url)
		equal(t, "name", row.scope.String(), row.name)
		github := &script{replies: map[string][]reply{"POST " + row.path + "/actions/runners/registration-token": {success}}}
		if _, err := client(t, github, scoped(row.scope)).RegistrationToken(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
	}
}

func TestFindRunner(t *testing.T) {
	const second = "/orgs/acme/actions/runners?per_page=100&name=r-1&page=2"
	link := map[string]string{"Link": "<" + api + "/x?page=9>; rel=\"last\", <" + api + second + `>; rel="next"`}
	for _, row := range []struct {
		name    string
		replies map[string][]reply
		id      int64
		calls   int
	}{
		{"there", map[string][]reply{findCall: {{status: 200, body: `{"total_count":1,"runners":[{"id":7,"name":"r-1"}]}`}}}, 7, 1},
		{"none", map[string][]reply{findCall: {{status: 200, body: `{"total_count":0,"runners":[]}`}}}, 0, 1},
		{"the whole name", map[string][]reply{findCall: {{status: 200, body: `{"total_count":2,"runners":[{"id":6,"name":"r-10"},{"id":5,"name":"r"}]}`}}}, 0, 1},
		{"without case", map[string][]reply{findCall: {{status: 200, body: `{"total_count":1,"runners":[{"id":7,"name":"R-1"}]}`}}}, 7, 1},
		{"next page", map[string][]reply{
			findCall:        {{status: 200, body: `{"total_count":2,"runners":[{"id":6,"name":"x"}]}`, header: link}},
			"GET " + second: {{status: 200, body: `{"total_count":2,"runners":[{"id":7,"name":"r-1"}]}`}}}, 7, 2},
		{"no further page than needed", map[string][]reply{findCall: {{status: 200, body: `{"total_count":2,"runners":[{"id":7,"name":"r-1"}]}`, header: link}}}, 7, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			github := &script{replies: row.replies}
			id, _, err := client(t, github).FindRunner(within(t, time.Minute), "r-1")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "id", id, row.id)
			equal(t, "calls", len(github.names()), row.calls)
		})
	}
}

func TestLists(t *testing.T) {
	const list = "GET /orgs/acme/actions/runners?per_page=100"
	for _, row := range []struct {
		name  string
		reply reply
		kind  error
	}{
		{"another server's page", reply{status: 200, body: `{"runners":[]}`, header: map[string]string{"Link": `<https://evil.test/orgs/acme>; rel="next"`}}, register.ErrConfiguration},
		{"a server that begins like ours", reply{status: 200, body: `{"runners":[]}`, header: map[string]string{"Link": "<" + api + `.evil.test/orgs/acme>; rel="next"`}}, register.ErrConfiguration},
		{"no list", reply{status: 200, body: `{}`}, register.ErrConfiguration},
		{"another list", reply{status: 200, body: `[]`}, register.ErrConfiguration},
		{"refusal", reply{status: 401, body: `{"message":"Bad credentials"}`}, register.ErrCredentials},
	} {
		t.Run(row.name, func(t *testing.T) {
			var last error
			github := &script{replies: map[string][]reply{list: {row.reply}}}
			for _, err := range client(t, github).Runners(within(t, time.Minute)) {
				last = err
			}
			mustBe(t, last, row.kind)
			equal(t, "calls", len(github.names()), 1)
		})
	}

	version := "2.336.0"
	github := &script{replies: map[string][]reply{list: {{status: 200, body: `{"total_count":1,"runners":[{"id":7,"name":"r-1","os":"linux","status":"online","busy":true,
		"ephemeral":true,"runner_group_id":3,"version":"2.336.0","labels":[{"id":1,"name":"docker","type":"custom"}]}]}`}}}}
	for r, err := range client(t, github).Runners(within(t, time.Minute)) {
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "version", *r.Version, version)
		equal(t, "label", r.Labels[0], register.Label{Name: "docker", Type: "custom"})
		r.Version, r.Labels = nil, nil
		if want := (register.Runner{ID: 7, Name: "r-1", OS: "linux", Status: "online", Busy: true, Ephemeral: true, GroupID: 3}); r.ID != want.ID || r.GroupID != want.GroupID || !r.Busy || !r.Ephemeral || r.Status != want.Status {
			t.Errorf("runner %+v, want %+v", r, want)
		}
	}
}

func TestRunnerState(t *testing.T) {
	for _, row := range []struct {
		reply reply
		want  string
	}{
		{reply{status: 200, body: `{"id":7,"status":"online","busy":false}`}, "online"},
		{reply{status: 200, body: `{"id":7,"status":"online","busy":true}`}, "busy"},
		{reply{status: 200, body: `{"id":7,"status":"offline","busy":true}`}, "offline"},
		{reply{status: 404, body: `{"message":"Not Found"}`}, "gone"},
	} {
		state, err := client(t, &script{replies: map[string][]reply{"GET " + runnerPath: {row.reply}}}).RunnerState(within(t, time.Minute), 7)
		if err != nil {
			t.Error(err)
		}
		equal(t, "state", state, row.want)
	}
	_, err := client(t, &script{replies: map[string][]reply{"GET " + runnerPath: {{status: 401, body: `{"message":"Bad credentials"}`}}}}).RunnerState(within(t, time.Minute), 7)
	mustBe(t, err, register.ErrCredentials)
	// A proxy's own 404 must not look like a runner that is gone.
	_, err = client(t, &script{replies: map[string][]reply{"GET " + runnerPath: {{status: 404, body: "no route"}}}}).RunnerState(within(t, time.Minute), 7)
	mustBe(t, err, register.ErrConfiguration)
}

func TestDeleteRunner(t *testing.T) {
	busy := reply{status: 422, body: `{"message":"Runner \"r-1\" is currently running a job and cannot be deleted."}`}
	gone := reply{status: 404, body: `{"message":"Not Found"}`}
	for _, row := range []struct {
		name    string
		replies []reply
		busy    bool
		kind    error
	}{
		{"idle", []reply{{status: 204}}, false, nil},
		{"busy", []reply{busy}, true, nil},
		{"gone", []reply{gone}, false, nil},
		{"lost answer", []reply{{err: io.ErrUnexpectedEOF}, gone}, false, nil},
		{"server error, then busy", []reply{{status: 502}, busy}, true, nil},
		{"refused", []reply{{status: 401, body: `{"message":"Bad credentials"}`}}, false, register.ErrCredentials},
		{"a proxy's page", []reply{{status: 404, body: "no route"}}, false, register.ErrConfiguration},
		{"down", []reply{{status: 500}}, false, register.ErrUnreachable},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy, err := client(t, &script{replies: map[string][]reply{"DELETE " + runnerPath: row.replies}}).DeleteRunner(within(t, 2*time.Second), 7)
				equal(t, "busy", busy, row.busy)
				if row.kind == nil && err != nil {
					t.Error(err)
				}
				mustBe(t, err, row.kind)
			})
		})
	}
}

// TestRedirects: followed on the same server, and the credentials go nowhere else.
func TestRedirects(t *testing.T) {
	const moved = "/organizations/5/actions/runners/registration-token"
	to := func(status int, address string) reply {
		return reply{status: status, body: `{"message":"Moved"}`, header: map[string]string{"Location": address}}
	}
	t.Run("a write is repeated, with its body", func(t *testing.T) {
		const moved = "/organizations/5/actions/runners/generate-jitconfig"
		github := &script{replies: map[string][]reply{jitCall: {to(307, api+moved)}, "POST " + moved: {jitSuccess}}}
		if _, _, err := client(t, github).JITConfig(within(t, time.Minute), "r-1", "", []string{"docker"}, "_work"); err != nil {
			t.Fatal(err)
		}
		equal(t, "authorization", github.calls[1].authorization, "Bearer a-token")
		equal(t, "body", github.calls[1].body, github.calls[0].body)
	})
	t.Run("a read is repeated", func(t *testing.T) {
		github := &script{replies: map[string][]reply{"GET " + runnerPath: {to(301, "/organizations/5/actions/runners/7")},
			"GET /organizations/5/actions/runners/7": {{status: 200, body: `{"id":7,"status":"online"}`}}}}
		state, err := client(t, github).RunnerState(within(t, time.Minute), 7)
		if err != nil || state != "online" {
			t.Errorf("%s, %v", state, err)
		}
	})
	for name, address := range map[string]string{"another host": "https://evil.test" + moved, "another port": api + ":8443" + moved, "without TLS": "http://api.github.test" + moved} {
		t.Run(name, func(t *testing.T) {
			github := &script{replies: map[string][]reply{tokenCall: {to(307, address)}, "POST " + moved: {success}}}
			_, err := client(t, github).RegistrationToken(within(t, time.Minute))
			mustBe(t, err, register.ErrConfiguration)
			equal(t, "calls", len(github.names()), 1)
			host := address[:len(address)-len(moved)]
			equal(t, "message", err.Error(), "the configuration is wrong: "+tokenCall+": redirected to another server, "+host+": correct GITHUB_SERVER_URL or GITHUB_API_URL: the credentials are sent nowhere else")
		})
	}
	t.Run("a write is not made a read", func(t *testing.T) {
		github := &script{replies: map[string][]reply{tokenCall: {to(302, moved)}}}
		_, err := client(t, github).RegistrationToken(within(t, time.Minute))
		mustBe(t, err, register.ErrConfiguration)
		equal(t, "calls", len(github.names()), 1)
	})
	t.Run("in a circle", func(t *testing.T) {
		github := &script{replies: map[string][]reply{tokenCall: {to(307, "/orgs/acme/actions/runners/registration-token")}}}
		_, err := client(t, github).RegistrationToken(within(t, time.Minute))
		mustBe(t, err, register.ErrConfiguration)
		equal(t, "calls", len(github.names()), 5)
	})
}

// TestLimitless: an answer without end is cut off.
func TestLimitless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := reply{status: 201, body: `"` + strings.Repeat("x", 17<<20) + `"`}
		_, err := client(t, &script{replies: map[string][]reply{tokenCall: {endless}}}).RegistrationToken(within(t, time.Second))
		mustBe(t, err, register.ErrUnreachable)
	})
}

func TestContextThatIsOver(t *testing.T) {
	stop := errors.New("stopped by SIGTERM")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := client(t, &script{}).DeleteRunner(ctx, 7); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}
