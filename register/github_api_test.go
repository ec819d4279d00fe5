package register_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// fake starts the fake GitHub with an organization, a repository and an
// enterprise, and the App 4711 installed for the first.
func fake(t *testing.T, o githubtest.Options) *githubtest.Server {
	t.Helper()
	s, err := githubtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	t.Cleanup(func() { contract.Check(t, s) })
	s.AddOrganization("acme")
	s.AddRepository("acme/coach")
	s.AddEnterprise("big")
	s.AddToken(githubtest.Token{Value: "a-token", Kind: githubtest.Classic, Scopes: []string{"admin:org", "repo", "manage_runners:enterprise"}})
	s.AddApp(githubtest.App{ID: "4711", Key: &appKey().PublicKey, Installations: map[string]int64{}, Permissions: map[string]string{"organization_self_hosted_runners": "write", "administration": "write"}})
	s.Install("4711", "acme")
	return s
}

// on makes a client for the fake.
func on(t *testing.T, s *githubtest.Server, change ...func(*register.Options)) *register.Client {
	t.Helper()
	base, err := url.Parse(s.URL() + "/api/v3")
	if err != nil {
		t.Fatal(err)
	}
	options := register.Options{API: base, Scope: register.Organization("acme"), UserAgent: "org-runner/test",
		Credentials: register.Token(secret.New("a-token")), Log: zerolog.Nop()}
	for _, f := range change {
		f(&options)
	}
	return register.New(options)
}

// TestAgainstTheFake makes every call with every kind of credentials and scope.
func TestAgainstTheFake(t *testing.T) {
	for _, credentials := range []string{"token", "App"} {
		for _, scope := range []register.Scope{register.Organization("acme"), register.Repository("acme/coach"), register.Enterprise("big")} {
			if credentials == "App" && scope == register.Enterprise("big") {
				continue // refused: TestAppRefused
			}
			t.Run(fmt.Sprint(credentials, ", ", scope), func(t *testing.T) {
				s, ctx := fake(t, githubtest.Options{}), within(t, time.Minute)
				change := []func(*register.Options){scoped(scope)}
				if credentials == "App" {
					change = append(change, asApp(t, 0))
				}
				c := on(t, s, change...)
				if token, err := c.RegistrationToken(ctx); err != nil || token.IsZero() {
					t.Fatal(err)
				}
				if _, _, err := c.JITConfig(ctx, "r-1", "", []string{"self-hosted", "acme/coach"}, "_work"); err != nil {
					t.Fatal(err)
				}
				id, state, err := c.FindRunner(ctx, "r-1")
				if err != nil || id == 0 || state != "offline" {
					t.Fatalf("runner %d, %s, %v", id, state, err)
				}
				state, err = c.RunnerState(ctx, id)
				if err != nil || state != "offline" {
					t.Errorf("%s, %v", state, err)
				}
				if busy, err := c.DeleteRunner(ctx, id); busy || err != nil {
					t.Errorf("busy %v, %v", busy, err)
				}
				if state, err = c.RunnerState(ctx, id); err != nil || state != "gone" {
					t.Errorf("%s, %v", state, err)
				}
				equal(t, "calls for a configuration", s.Count("generate-jitconfig"), 1)
				equal(t, "calls for groups", s.Count("list-groups"), 0)
				equal(t, "runners left", len(s.Runners()), 0)
			})
		}
	}
}

// TestLostAnswers: a call whose effect happened but whose answer was lost leaves
// one runner, or none.
func TestLostAnswers(t *testing.T) {
	s, ctx := fake(t, githubtest.Options{}), within(t, time.Minute)
	c := on(t, s)
	s.Inject(githubtest.Fault{Operation: "generate-jitconfig", Times: 1, Drop: githubtest.DropAfter})
	s.Inject(githubtest.Fault{Operation: "delete-runner", Times: 1, Drop: githubtest.DropAfter})
	// Whose the runner is, its caller has to find out.
	if _, taken, err := c.JITConfig(ctx, "r-1", "", []string{"docker"}, "_work"); err != nil || !taken {
		t.Fatal(taken, err)
	}
	equal(t, "runners", len(s.Runners()), 1)
	id, _, err := c.FindRunner(ctx, "r-1")
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := c.DeleteRunner(ctx, id); busy || err != nil {
		t.Errorf("busy %v, %v", busy, err)
	}
	equal(t, "runners", len(s.Runners()), 0)
}

// TestGroup: the group that was asked for is the one that the runner is in.
func TestGroup(t *testing.T) {
	s, ctx := fake(t, githubtest.Options{}), within(t, time.Minute)
	id := s.AddGroup("acme", githubtest.Group{Name: "Trusted", Visibility: "all"})
	c := on(t, s)
	if _, _, err := c.JITConfig(ctx, "r-1", "trusted", []string{"docker"}, "_work"); err != nil {
		t.Fatal(err)
	}
	equal(t, "group", s.Runners()[0].GroupID, id)
	_, _, err := c.JITConfig(ctx, "r-2", "none", []string{"docker"}, "_work")
	mustBe(t, err, register.ErrConfiguration)
}

// TestPages: 250 runners are three pages.
func TestPages(t *testing.T) {
	s := fake(t, githubtest.Options{})
	var want []string
	for i := range 250 {
		want = append(want, fmt.Sprintf("r-%03d", i))
		s.AddRunner(githubtest.Runner{Scope: "acme", Name: want[i]})
	}
	var got []string
	for r, err := range on(t, s).Runners(within(t, time.Minute)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d runners", len(got))
	}
	equal(t, "calls", s.Count("list-runners"), 3)
}

// TestWrongClock: a clock that is minutes off is what the error names.
func TestWrongClock(t *testing.T) {
	s := fake(t, githubtest.Options{Skew: -5 * time.Minute})
	_, err := on(t, s, asApp(t, 0)).RegistrationToken(within(t, time.Minute))
	mustBe(t, err, register.ErrCredentials)
}
