package monitor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/register"
)

// A repository that GitHub cannot answer for costs the others nothing.
func TestOneRepositoryFails(t *testing.T) {
	s := &stub{repositories: names(5, "acme/r%d"), runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "online"}}}
	m, c := newStubbed(t, s)
	broken := true
	s.fail = func(ctx context.Context, call string) error {
		if !broken || !strings.HasPrefix(call, "runs acme/r0") {
			return nil
		}
		deadline, _ := ctx.Deadline() // a call is tried again until its time is over
		c.t = c.t.Add(time.Until(deadline))
		return &register.Error{Method: "GET", Path: "/repos/acme/r0/actions/runs", Status: 502, Message: "Bad Gateway", Kind: register.ErrUnreachable}
	}
	longest := time.Duration(0)
	for range 30 {
		pass(t, m, c, time.Minute)
		for name, r := range m.repositories {
			if name != "acme/r0" && m.now().Sub(m.began) > 2*time.Minute {
				longest = max(longest, m.now().Sub(r.seen))
			}
		}
	}
	o := m.Overview()
	if longest > 75*time.Second || s.count("runs acme/r0") > 12 {
		t.Errorf("the others were not looked at for %s; the broken one was tried %d times", longest, s.count("runs acme/r0"))
	}
	if _, ok := m.ready(); !ok || o.StaleSince != nil || len(o.Problems) != 1 || !o.Problems[0].Now {
		t.Errorf("stale since %v, problems %+v", o.StaleSince, o.Problems)
	}
	broken = false
	pass(t, m, c, 6*time.Minute)
	if o := m.Overview(); o.Problems[0].Now || m.repositories["acme/r0"].seen.IsZero() {
		t.Errorf("after it: %+v", o.Problems)
	}
}

// Where nothing but refusals come, what is shown is old, and it is said what to do.
func TestNothingButRefusals(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   *register.Error
		calls int // at most, in half an hour
	}{
		{"no permission", &register.Error{Status: 403, Kind: register.ErrCredentials, Message: "Resource not accessible", Remedy: "give it"}, 1000},
		{"not found", &register.Error{Status: 404, Kind: register.ErrNotFound, Message: "Not Found", Remedy: "give it"}, 1000},
		{"not to be seen", &register.Error{Status: 404, Kind: register.ErrHidden, Message: "Not Found", Remedy: "give it"}, 1000},
		{"not there", &register.Error{Status: 404, Kind: register.ErrAbsent, Message: "Not Found", Remedy: "give it"}, 12},
		{"not let in", &register.Error{Status: 403, Kind: register.ErrBarred, Message: "SAML", Remedy: "give it"}, 20},
		{"a proxy", &register.Error{Status: 403, Kind: register.ErrConfiguration, Message: "Forbidden", Remedy: "give it"}, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stub{repositories: names(3, "acme/r%d"), runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "online"}}}
			m, c := newStubbed(t, s)
			pass(t, m, c, 5*time.Minute)
			last, before := c.t, len(s.asked)
			s.err = test.err
			pass(t, m, c, 30*time.Minute)
			o := m.Overview()
			if _, ok := m.ready(); ok || o.StaleSince == nil || o.StaleSince.After(last) || !strings.Contains(o.StaleReason, test.err.Message) {
				t.Errorf("stale since %v: %s", o.StaleSince, o.StaleReason)
			}
			if len(o.Problems) == 0 || !o.Problems[0].Now || o.Problems[0].Remedy != "give it" || len(s.asked)-before > test.calls {
				t.Errorf("problems %+v after %d calls", o.Problems, len(s.asked)-before)
			}
			s.err = nil
			pass(t, m, c, 15*time.Minute)
			if o := m.Overview(); o.StaleSince != nil || o.Problems[0].Now || len(o.Unknown) != 0 {
				t.Errorf("after it: stale since %v, unknown %v, problems %+v", o.StaleSince, o.Unknown, o.Problems)
			}
		})
	}
}

// A target that GitHub has not got is told at once and with what to do, and seldom
// asked for.
func TestNoSuchTarget(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   Kind
		scope  register.Scope
		make   func(*world)
		remedy string
	}{
		{"acmee", OfOrganization, register.Organization("acmee"), func(w *world) { w.AddOrganization("acmee") }, "there is no organization acmee: check the spelling of GITHUB_ORGANIZATION"},
		{"acme/coachh", OfRepository, register.Repository("acme/coachh"), func(w *world) { w.AddRepository("acme/coachh") }, "there is no repository acme/coachh, or the credentials cannot see it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log strings.Builder
			w := newWorld(t, func(o *Options) {
				o.Kind, o.Name, o.Log = test.kind, test.name, zerolog.New(&log)
			}, func(o *Options) { o.GitHub = clientOf(o, test.scope) })
			w.AddToken(githubtest.Token{Value: token})
			w.pass(30 * time.Second)
			o := w.m.Overview()
			if len(o.Problems) != 1 || !o.Problems[0].Now || !strings.Contains(o.Problems[0].Remedy, test.remedy) || o.StaleSince == nil {
				t.Fatalf("stale since %v, problems %+v", o.StaleSince, o.Problems)
			}
			if !slices.ContainsFunc(o.Unknown, func(u Unknown) bool { return u.Permission == "access to "+test.name+", or its name corrected" }) {
				t.Errorf("unknown is %+v", o.Unknown)
			}
			w.pass(time.Hour - time.Minute)
			if o := w.m.Overview(); len(o.Problems) != 1 || strings.Count(log.String(), test.remedy) != 1 || !strings.Contains(log.String(), `"level":"warn"`) {
				t.Errorf("problems %+v, log %s", o.Problems, log.String())
			}
			if n := len(w.Calls("get-account")); n > 6 || len(w.Calls("")) > 20 {
				t.Errorf("in an hour it was asked %d times whose name it is, and %d calls were made", n, len(w.Calls("")))
			}
			test.make(w)
			w.pass(11 * time.Minute)
			if o := w.m.Overview(); o.StaleSince != nil || o.Problems[0].Now || o.Runners == nil || len(o.Unknown) > 0 {
				t.Errorf("once it is there: stale since %v, unknown %v, problems %+v", o.StaleSince, o.Unknown, o.Problems)
			}
		})
	}
}

// Repositories that are named are looked at, whatever is wrong with the target.
func TestNoSuchTargetBesideNamedRepositories(t *testing.T) {
	absent := &register.Error{Kind: register.ErrAbsent, Remedy: "check its name"}
	s := &stub{runnersErr: absent, fail: func(_ context.Context, call string) error {
		if call == "groups" {
			return absent
		}
		return nil
	}}
	m, c := newStubbed(t, s, func(o *Options) { o.Kind, o.Repositories = OfOrganization, []string{"acme/coach"} })
	s.waiting(1, "acme/coach", c.t)
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); o.Queue == nil || o.Queue.Total != 1 || o.Runners != nil {
		t.Errorf("queue %+v, runners %+v", o.Queue, o.Runners)
	}
}

// The wait that a limit asks for is kept between calls.
func TestLimitsAreKept(t *testing.T) {
	s := &stub{repositories: names(3, "acme/r%d")}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	s.err = &register.Error{Status: 429, Kind: register.ErrUnreachable, Message: "slow down", Wait: 20 * time.Minute}
	pass(t, m, c, time.Minute)
	before := len(s.asked)
	pass(t, m, c, 18*time.Minute)
	if n := len(s.asked) - before; n != 0 {
		t.Errorf("%d calls in the wait that GitHub asks for", n)
	}
	s.err = nil
	pass(t, m, c, 3*time.Minute)
	if len(s.asked) == before {
		t.Error("none after it")
	}
}

// What is not for these credentials is seldom asked, and a failure takes nothing
// away.
func TestDeniedAndFailedLists(t *testing.T) {
	s := &stub{repositories: names(1, "acme/r%d"), runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "online", Version: ptr("2.336.0")}}}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	broken := ""
	var how error
	s.fail = func(_ context.Context, call string) error {
		if strings.HasPrefix(call, broken) {
			return how
		}
		return nil
	}
	broken, how = "groups", &register.Error{Status: 502, Kind: register.ErrUnreachable}
	pass(t, m, c, 15*time.Minute)
	if o := m.Overview(); len(o.Groups) != 1 {
		t.Errorf("the groups are gone: %+v", o.Groups)
	}
	broken, how = "runners", &register.Error{Status: 403, Kind: register.ErrCredentials}
	pass(t, m, c, time.Minute)
	before := s.count("runners")
	pass(t, m, c, 30*time.Minute)
	if n := s.count("runners") - before; n > 3 || m.Overview().Runners != nil {
		t.Errorf("asked %d times in half an hour", n)
	}
	broken = "deprecation"
	pass(t, m, c, 7*time.Hour)
	if d := m.versions["2.336.0"]; d == nil || !d.unknown {
		t.Errorf("the dates of the version: %+v", d)
	}
}

func TestKindsOfFailures(t *testing.T) {
	limit := &register.Error{Status: 403, Kind: register.ErrUnreachable}
	for _, test := range []struct {
		err           error
		mayNot, ofOne bool
	}{
		{&register.Error{Status: 403, Kind: register.ErrCredentials}, true, false},
		{&register.Error{Status: 404, Kind: register.ErrNotFound}, true, true},
		{&register.Error{Status: 404, Kind: register.ErrHidden}, true, true},
		{&register.Error{Status: 403, Kind: register.ErrBarred}, false, false},
		{&register.Error{Status: 404, Kind: register.ErrConfiguration}, false, true}, // no answer of GitHub's form
		{&register.Error{Status: 403, Kind: register.ErrConfiguration}, false, false},
		{limit, false, false},
		{&register.Error{Status: 429, Kind: register.ErrUnreachable}, false, false},
		{&register.Error{Status: 401, Kind: register.ErrCredentials}, false, false},
		{&register.Error{Status: 502, Kind: register.ErrUnreachable}, false, true},
		{&register.Error{Kind: register.ErrUnreachable}, false, false}, // no answer
		{errors.New("else"), false, false},
	} {
		if mayNot(test.err) != test.mayNot || isOfOne(test.err) != test.ofOne {
			t.Errorf("%v: may not %t, of one %t", test.err, mayNot(test.err), isOfOne(test.err))
		}
	}
}
