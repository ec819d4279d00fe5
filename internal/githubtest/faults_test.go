package githubtest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
)

func TestFaults(t *testing.T) {
	const operation = "registration-token"
	for _, row := range []struct {
		name    string
		fault   githubtest.Fault
		status  int // 0: no answer
		effects int // tokens handed out by the call that it hits
	}{
		{"status", githubtest.Fault{Status: 502, Message: "Server Error", Header: http.Header{"Retry-After": {"3"}}}, 502, 0},
		{"dropped before", githubtest.Fault{Drop: githubtest.DropBefore}, 0, 0},
		{"dropped after", githubtest.Fault{Drop: githubtest.DropAfter}, 0, 1},
		{"hang", githubtest.Fault{Hang: true}, 0, 0},
		{"garbage", githubtest.Fault{Garbage: true}, 200, 1},
		{"delay", githubtest.Fault{Delay: time.Millisecond}, 201, 1},
		{"a path of its own", githubtest.Fault{Method: "POST", Path: "/orgs/*/actions/runners/registration-token", Status: 500}, 500, 0},
		{"used-up primary limit", githubtest.PrimaryLimit(time.Now().Add(time.Hour)), 403, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, githubtest.Options{})
			contract.Check(t, w.Server)
			f := row.fault
			if f.Path == "" {
				f.Operation = operation
			}
			f.After, f.Times = 1, 1
			remove := w.Inject(f)
			secrets := len(w.Secrets())
			for i, want := range []int{201, row.status, 201} {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if row.fault.Hang && i == 1 {
					cancel()
					ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
				}
				a, err := w.try(ctx, "POST", "/orgs/acme/actions/runners/registration-token", nil)
				cancel()
				if a.status != want || (err != nil) != (want == 0) {
					t.Errorf("call %d: %d, %v; want %d", i+1, a.status, err, want)
				}
				for name := range row.fault.Header {
					if i == 1 && a.header.Get(name) == "" {
						t.Errorf("no %s", name)
					}
				}
			}
			if got := len(w.Secrets()) - secrets; got != 2+row.effects {
				t.Errorf("%d tokens were handed out, want %d", got, 2+row.effects)
			}
			if w.Count(operation) != 3 || f.Operation != "" && w.Hits(operation) != 1 {
				t.Errorf("%d calls, %d hits", w.Count(operation), w.Hits(operation))
			}
			remove()
		})
	}
}

// A call that hangs goes on when the fault is removed, or ends with the server.
func TestHangEnds(t *testing.T) {
	for _, end := range []func(w *world){func(w *world) { w.RemoveFaults() }, func(w *world) { w.Close() }} {
		s, err := githubtest.Start(githubtest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{s, t}
		w.Inject(githubtest.Fault{Operation: "rate-limit", Hang: true})
		ended := make(chan error, 1)
		go func() {
			_, err := w.try(context.Background(), "GET", "/rate_limit", nil)
			ended <- err
		}()
		w.until("the call", func() bool { return w.Count("rate-limit") == 1 })
		end(w)
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it was answered")
			}
		case <-time.After(patience):
			t.Error("it still hangs")
		}
	}
}

func TestDownAndBack(t *testing.T) {
	w := newWorld(t, githubtest.Options{OfflineAfter: 20 * time.Millisecond})
	w.online("one", nil)
	w.SetDown(true)
	if a, err := w.try(context.Background(), "GET", "/rate_limit", nil); err == nil {
		t.Errorf("it answers %d", a.status)
	}
	w.until("the runner offline, its poll broken off", func() bool { return !w.Runners()[0].Online })
	w.SetDown(false)
	if a := w.call("GET", "/rate_limit", nil); a.status != 200 {
		t.Errorf("not back: %d", a.status)
	}
}

func TestTLS(t *testing.T) {
	s, err := githubtest.Start(githubtest.Options{TLSHosts: []string{"127.0.0.1", "github.example"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CA()) {
		t.Fatal("the authority is no certificate")
	}
	request, err := http.NewRequest("GET", s.URL()+"/api/v3/rate_limit", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", "a-test")
	for _, known := range []bool{true, false} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
		if known {
			transport.TLSClientConfig.RootCAs = pool
		}
		response, err := transport.RoundTrip(request)
		if (err == nil) != known {
			t.Errorf("authority known %t: %v", known, err)
		}
		if err == nil {
			response.Body.Close()
		}
		transport.CloseIdleConnections()
	}
}

func TestApp(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, githubtest.Options{})
	contract.Check(t, w.Server)
	w.AddApp(githubtest.App{ID: "123", Key: &key.PublicKey, Installations: map[string]int64{"acme": 99}, Permissions: map[string]string{"organization_self_hosted_runners": "write"}})
	sign := func(key *rsa.PrivateKey, issuer string, issued, expires time.Duration) string {
		now := time.Now()
		text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
			Issuer: issuer, IssuedAt: jwt.NewNumericDate(now.Add(issued)), ExpiresAt: jwt.NewNumericDate(now.Add(expires)),
		}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + text
	}
	good := sign(key, "123", -time.Minute, 8*time.Minute)
	for _, row := range []struct {
		name, authorization string
		status              int
		says                string
	}{
		{"good", good, 200, `"id":123`},
		{"issued in the future", sign(key, "123", time.Minute, 8*time.Minute), 401, "'Issued at' claim ('iat')"},
		{"expired", sign(key, "123", -time.Hour, -time.Minute), 401, "'Expiration time' claim ('exp') must be a numeric value"},
		{"too long", sign(key, "123", -time.Minute, 11*time.Minute), 401, "too far in the future"},
		{"another key", sign(other, "123", -time.Minute, 8*time.Minute), 401, "A JSON web token could not be decoded"},
		{"another App", sign(key, "124", -time.Minute, 8*time.Minute), 401, "A JSON web token could not be decoded"},
		{"no JWT", "Authorization: Bearer x", 401, "A JSON web token could not be decoded"},
	} {
		if a := w.call("GET", "/app", nil, row.authorization); a.status != row.status || !strings.Contains(string(a.body), row.says) {
			t.Errorf("%s: %d %s", row.name, a.status, a.body)
		}
	}
	for path, status := range map[string]int{"/orgs/acme/installation": 200, "/repos/acme/coach/installation": 200, "/orgs/jane/installation": 404} {
		if a := w.call("GET", path, nil, good); a.status != status || status == 200 && a.get("id") != "99" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	grant := func() string {
		return "Authorization: Bearer " + w.call("POST", "/app/installations/99/access_tokens", nil, good).get("token")
	}
	register := func(authorization string) int {
		return w.call("POST", "/orgs/acme/actions/runners/registration-token", nil, authorization).status
	}
	token := grant()
	if register(token) != 201 || w.call("GET", "/user", nil, token).status != 403 {
		t.Error("what an installation token may do is not what it may")
	}
	w.ExpireInstallationTokens()
	if register(token) != 401 {
		t.Error("an expired installation token is good")
	}
	token = grant()
	w.Uninstall(99)
	if register(token) != 401 || w.call("GET", "/orgs/acme/installation", nil, good).status != 404 {
		t.Error("the App is still installed")
	}
	if a := w.call("POST", "/app/installations/99/access_tokens", nil, good); a.status != 404 {
		t.Errorf("a token of no installation: %d", a.status)
	}
}

// A clock that is ahead shows in the Date header and in what it refuses.
func TestSkew(t *testing.T) {
	w := newWorld(t, githubtest.Options{Skew: time.Hour})
	w.AddToken(githubtest.Token{Value: "short", Expires: time.Now().Add(30 * time.Minute)})
	a := w.call("GET", "/orgs/acme/actions/runners", nil, "Authorization: Bearer short")
	date, err := http.ParseTime(a.header.Get("Date"))
	if ahead := time.Until(date); a.status != 401 || err != nil || ahead < 50*time.Minute || ahead > 70*time.Minute {
		t.Errorf("%d, Date %s: %v", a.status, a.header.Get("Date"), err)
	}
}

// Everything that is secret is remembered, for tests that look for it.
func TestSecrets(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	registration := w.call("POST", "/orgs/acme/actions/runners/registration-token", nil)
	jit := w.call("POST", "/orgs/acme/actions/runners/generate-jitconfig", map[string]any{"name": "a", "runner_group_id": 1, "labels": []string{"b"}})
	for _, secret := range []string{token, registration.get("token"), jit.get("encoded_jit_config"), w.RegistrationToken("acme"), w.JITConfig("acme", "b", "c")} {
		if secret == "" || !slices.Contains(w.Secrets(), secret) {
			t.Errorf("%.12q is not among the secrets", secret)
		}
	}
	if expires, err := time.Parse(time.RFC3339, registration.get("expires_at")); err != nil || time.Until(expires) > 61*time.Minute || time.Until(expires) < 50*time.Minute {
		t.Errorf("it expires at %s: %v", registration.get("expires_at"), err)
	}
}

// Every fault can be written down, as a test's log does.
func TestCallsAreRemembered(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	body := map[string]any{"name": "a", "runner_group_id": 1, "labels": []string{"b"}}
	w.call("POST", "/orgs/acme/actions/runners/generate-jitconfig", body)
	w.call("GET", "/orgs/acme/actions/runners?per_page=1", nil)
	w.register("one", nil)
	calls := w.Calls("")
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
	var sent map[string]any
	if json.Unmarshal(calls[0].Request.Body, &sent) != nil || fmt.Sprint(sent["name"]) != "a" || calls[0].Status != 201 || calls[1].Path != "/orgs/acme/actions/runners?per_page=1" {
		t.Errorf("%+v", calls)
	}
	if w.Count("runner:register") != 1 || w.Count("list-runners") != 1 {
		t.Error("not counted")
	}
}
