package register_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

const (
	installationCall = "GET /orgs/acme/installation"
	accessCall       = "POST /app/installations/42/access_tokens"
)

var appKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs1(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: data}))
}

// asApp gives a client the App 4711 instead of a token.
func asApp(t *testing.T, installation int64) func(*register.Options) {
	t.Helper()
	app, err := register.NewApp("4711", secret.New(pkcs1(appKey())), installation)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *register.Options) { o.Credentials = app }
}

// access is GitHub's answer with an installation token that is good for an hour.
func access(token string, from time.Time) reply {
	return reply{status: 201, body: fmt.Sprintf(`{"token":%q,"expires_at":%q}`, token, from.Add(time.Hour).Format(time.RFC3339))}
}

func TestKeys(t *testing.T) {
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, key string
		ok        bool
	}{
		{"PKCS#1", pkcs1(appKey()), true},
		{"PKCS#8", pkcs8(t, appKey()), true},
		{"CRLF", strings.ReplaceAll(pkcs1(appKey()), "\n", "\r\n"), true},
		{"elliptic", pkcs8(t, elliptic256), false},
		{"none", "", false},
		{"one line", strings.ReplaceAll(pkcs1(appKey()), "\n", ""), false},
		{"cut off", pkcs1(appKey())[:400], false},
		{"damaged", strings.Replace(pkcs1(appKey()), "MII", "XXX", 1), false},
	} {
		_, err := register.NewApp("4711", secret.New(row.key), 0)
		if row.ok && err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if !row.ok {
			if err == nil {
				t.Fatalf("%s: no error", row.name)
			}
			equal(t, row.name, err.Error(), "the configuration is wrong: GITHUB_APP_PRIVATE_KEY is no RSA private key in PEM: use the downloaded .pem file whole")
			mustBe(t, err, register.ErrConfiguration)
		}
	}
}

// TestApp follows an App from its first call over five days.
func TestApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		long := "ghs_4711_" + strings.Repeat("x", 5000)
		github := &script{replies: map[string][]reply{
			installationCall: {{status: 200, body: `{"id":42}`}},
			accessCall:       {access(long, began), access("second", began.Add(56*time.Minute)), access("third", began.Add(120*time.Hour))},
			tokenCall:        {success},
		}}
		var secrets []string
		c := client(t, github, asApp(t, 0), func(o *register.Options) {
			o.Secret = func(s secret.String) { secrets = append(secrets, s.Reveal()) }
		})
		ask := func(want ...string) {
			t.Helper()
			before := len(github.names())
			if _, err := c.RegistrationToken(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			if got := github.names()[before:]; !slices.Equal(got, want) {
				t.Errorf("after %s: calls %q, want %q", time.Since(began), got, want)
			}
		}
		ask(installationCall, accessCall, tokenCall)
		equal(t, "authorization", github.calls[2].authorization, "Bearer "+long)
		ask(tokenCall)
		time.Sleep(54 * time.Minute)
		ask(tokenCall)
		time.Sleep(2 * time.Minute) // four minutes before its end
		ask(accessCall, tokenCall)
		time.Sleep(5 * 24 * time.Hour)
		ask(accessCall, tokenCall)

		for _, c := range github.calls {
			if c.name != tokenCall {
				checkJWT(t, c)
			}
		}
		for _, c := range github.calls {
			if sent := strings.TrimPrefix(c.authorization, "Bearer "); !slices.Contains(secrets, sent) {
				t.Errorf("%s was sent what the masker does not know", c.name)
			}
		}
	})
}

// checkJWT holds a JWT against what GitHub wants of it.
func checkJWT(t *testing.T, c call) {
	t.Helper()
	var claims jwt.RegisteredClaims
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation()).
		ParseWithClaims(strings.TrimPrefix(c.authorization, "Bearer "), &claims, func(*jwt.Token) (any, error) { return &appKey().PublicKey, nil })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "issuer", claims.Issuer, "4711")
	equal(t, "issued", claims.IssuedAt.Sub(c.at), -time.Minute)
	equal(t, "expires", claims.ExpiresAt.Sub(c.at), 8*time.Minute)
}

func TestAppFindsItsInstallation(t *testing.T) {
	for _, row := range []struct {
		scope        register.Scope
		installation int64
		want         []string
	}{
		{register.Organization("acme"), 0, []string{"GET /orgs/acme/installation", accessCall}},
		{register.Repository("acme/coach"), 0, []string{"GET /repos/acme/coach/installation", accessCall}},
		{register.Organization("acme"), 42, []string{accessCall}},
	} {
		github := &script{replies: map[string][]reply{
			"GET /orgs/acme/installation":        {{status: 200, body: `{"id":42}`}},
			"GET /repos/acme/coach/installation": {{status: 200, body: `{"id":42}`}},
			accessCall:                           {access("first", time.Now())},
		}}
		// The runner is not there; what counts are the calls before.
		if _, err := client(t, github, scoped(row.scope), asApp(t, row.installation)).DeleteRunner(within(t, time.Minute), 7); err != nil {
			t.Error(err)
		}
		if got := github.names(); !slices.Equal(got[:len(got)-1], row.want) {
			t.Errorf("%s: calls %q", row.scope, got)
		}
	}
}

// TestAppRefused: the exact messages, and that none of them looks like a runner
// that is gone.
func TestAppRefused(t *testing.T) {
	const badJWT = `{"message":"'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"}`
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the test's clock
	clock := func(ahead time.Duration) map[string]string {
		return map[string]string{"Date": now.Add(-ahead).Format(http.TimeFormat)}
	}
	wrong := "the configuration is wrong: "
	refused := "GitHub refuses the credentials: "
	together := ": 401 Bad: check that GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together and that the key has not been deleted in the App's settings"
	for _, row := range []struct {
		name         string
		scope        register.Scope
		installation int64
		replies      map[string][]reply
		kind         error
		want         string
	}{
		{"enterprise", register.Enterprise("big"), 0, nil, register.ErrConfiguration, wrong + "a GitHub App cannot manage an enterprise's runners: use GITHUB_TOKEN with the scope manage_runners:enterprise"},
		{"enterprise, installation given", register.Enterprise("big"), 42, nil, register.ErrConfiguration, wrong + "a GitHub App cannot manage an enterprise's runners: use GITHUB_TOKEN with the scope manage_runners:enterprise"},
		{"not installed", register.Organization("acme"), 0, nil, register.ErrConfiguration,
			wrong + installationCall + ": 404 Not Found: the App is not installed for the organization acme: install it there (App settings, Install App), or correct the target's name"},
		{"wrong installation", register.Organization("acme"), 42, nil, register.ErrConfiguration,
			wrong + accessCall + ": 404 Not Found: the App has no installation 42: correct GITHUB_APP_INSTALLATION_ID, or leave it empty: it is looked up"},
		{"suspended", register.Organization("acme"), 42, map[string][]reply{accessCall: {{status: 403, body: `{"message":"This installation has been suspended"}`}}}, register.ErrCredentials,
			refused + accessCall + ": 403 This installation has been suspended: ask an organization owner to unsuspend the App's installation"},
		{"wrong key", register.Organization("acme"), 42, map[string][]reply{accessCall: {{status: 401, body: `{"message":"Bad"}`, header: clock(30 * time.Second)}}}, register.ErrCredentials, refused + accessCall + together},
		{"no date", register.Organization("acme"), 42, map[string][]reply{accessCall: {{status: 401, body: `{"message":"Bad"}`}}}, register.ErrCredentials, refused + accessCall + together},
		{"clock ahead", register.Organization("acme"), 42, map[string][]reply{accessCall: {{status: 401, body: badJWT, header: clock(3 * time.Minute)}}}, register.ErrCredentials,
			refused + accessCall + ": 401 'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued: this machine's clock is 3m0s ahead of GitHub's, so the App's JWT is not valid there: set the clock (NTP)"},
		{"clock behind", register.Organization("acme"), 0, map[string][]reply{installationCall: {{status: 401, body: `{"message":"Bad"}`, header: clock(-2 * time.Hour)}}}, register.ErrCredentials,
			refused + installationCall + ": 401 Bad: this machine's clock is 2h0m0s behind GitHub's, so the App's JWT is not valid there: set the clock (NTP)"},
		{"no token in the answer", register.Organization("acme"), 42, map[string][]reply{accessCall: {{status: 201, body: `{}`}}}, register.ErrConfiguration,
			wrong + accessCall + ": 201 the answer is not of the documented form: check that GITHUB_API_URL is the address of GitHub's REST API"},
		{"no permission", register.Organization("acme"), 42, map[string][]reply{accessCall: {access("first", now)}, "DELETE " + runnerPath: {{status: 403, body: `{"message":"Resource not accessible by integration"}`}}}, register.ErrCredentials,
			refused + "DELETE " + runnerPath + ": 403 Resource not accessible by integration: the credentials may not manage the runners of the organization acme: needed is " + needOrganization},
		{"refused twice", register.Organization("acme"), 42, map[string][]reply{accessCall: {access("first", now)}, "DELETE " + runnerPath: {{status: 401, body: `{"message":"Bad credentials"}`}}}, register.ErrCredentials,
			refused + "DELETE " + runnerPath + ": 401 Bad credentials: the App's installation is being changed: see whether it is still installed and not suspended, and try again"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &script{replies: row.replies}
				_, err := client(t, github, scoped(row.scope), asApp(t, row.installation)).DeleteRunner(within(t, time.Minute), 7)
				if err == nil {
					t.Fatal("no error")
				}
				equal(t, "message", err.Error(), row.want)
				mustBe(t, err, row.kind)
				equal(t, "calls for a token", github.times(accessCall) <= 2, true)
			})
		})
	}
}

// TestRevokedToken: a token that is refused before its time is replaced, once.
func TestRevokedToken(t *testing.T) {
	github := &script{replies: map[string][]reply{
		accessCall: {access("first", time.Now()), access("second", time.Now())},
		tokenCall:  {{status: 401, body: `{"message":"Bad credentials"}`}, success},
	}}
	if _, err := client(t, github, asApp(t, 42)).RegistrationToken(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if want := []string{accessCall, tokenCall, accessCall, tokenCall}; !slices.Equal(github.names(), want) {
		t.Errorf("calls %q", github.names())
	}
	equal(t, "authorization", github.calls[3].authorization, "Bearer second")
}

// TestOneTokenForAll: calls at the same time share one request for a token.
func TestOneTokenForAll(t *testing.T) {
	github := &script{replies: map[string][]reply{accessCall: {access("first", time.Now())}, tokenCall: {success}}}
	c := client(t, github, asApp(t, 42))
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := c.RegistrationToken(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	equal(t, "requests for a token", github.times(accessCall), 1)
	equal(t, "calls", github.times(tokenCall), 20)
}

// TestStopDoesNotWaitForAnotherCall: while one call waits for the App's token, a
// stop's call ends with its own budget, and a cancelled one at once.
func TestStopDoesNotWaitForAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		github := &script{replies: map[string][]reply{accessCall: {{hang: true}}}}
		c := client(t, github, asApp(t, 42))
		patient, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _, _ = c.RegistrationToken(patient) }()
		synctest.Wait()

		began := time.Now()
		_, err := c.DeleteRunner(within(t, 2*time.Second), 7)
		mustBe(t, err, register.ErrUnreachable)
		equal(t, "time", time.Since(began), 2*time.Second)

		stop := errors.New("stopped by SIGTERM")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if _, err := c.DeleteRunner(ctx, 7); !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
		end()
		<-done
	})
}

// Of an App, who it is and what its installation may do.
func TestAppAsCaller(t *testing.T) {
	github := &script{replies: map[string][]reply{
		"GET /app":       {{status: 200, body: `{"slug":"fleet-app"}`}},
		installationCall: {{status: 200, body: `{"id":42}`}},
		accessCall: {{status: 201, body: `{"token":"ghs_x","expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) +
			`","permissions":{"organization_self_hosted_runners":"read","metadata":"read"}}`}},
	}}
	caller, err := client(t, github, asApp(t, 0)).Caller(within(t, time.Minute))
	if err != nil || caller.Login != "fleet-app" || caller.Kind != "App" || caller.Permissions["organization_self_hosted_runners"] != "read" {
		t.Errorf("caller %+v, %v", caller, err)
	}
}
