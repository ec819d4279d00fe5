package register_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// TestClock shows from which difference on a refused JWT is called a matter of
// the clock: a little less than what the JWT itself allows for.
func TestClock(t *testing.T) {
	for _, row := range []struct {
		ahead time.Duration
		says  string // "" if the clock is not at fault
	}{
		{0, ""},
		{55 * time.Second, ""},
		{56 * time.Second, "1m0s ahead of"},
		{5 * time.Minute, "5m0s ahead of"},
		{-5 * time.Minute, ""}, // the JWT is good for 8 minutes
		{-7*time.Minute - 55*time.Second, ""},
		{-7*time.Minute - 56*time.Second, "8m0s behind"},
		{-26 * time.Hour, "26h0m0s behind"},
	} {
		t.Run(row.ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				date := map[string]string{"Date": time.Now().Add(-row.ahead).UTC().Format(http.TimeFormat)}
				github := &script{replies: map[string][]reply{accessCall: {{status: 401, body: `{"message":"Bad"}`, header: date}}}}
				_, err := client(t, github, asApp(t, 42)).RegistrationToken(within(t, time.Minute))
				mustBe(t, err, register.ErrCredentials)
				want := "check that GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY belong together and that the key has not been deleted in the App's settings"
				if row.says != "" {
					want = "this machine's clock is " + row.says + " GitHub's, so the App's JWT is not valid there: set the clock (NTP)"
				}
				equal(t, "message", err.Error(), "GitHub refuses the credentials: "+accessCall+": 401 Bad: "+want)
			})
		})
	}
	// A token has no clock: the same answer is about the token itself.
	refused := reply{status: 401, body: `{"message":"Bad"}`, header: map[string]string{"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}}
	_, err := client(t, &script{replies: map[string][]reply{tokenCall: {refused}}}).RegistrationToken(within(t, time.Minute))
	if err == nil || strings.Contains(err.Error(), "clock") {
		t.Errorf("error %v", err)
	}
}

// TestRenewalRefused: what ends the call is why there is no new token, not that
// the old one was refused.
func TestRenewalRefused(t *testing.T) {
	github := &script{replies: map[string][]reply{
		accessCall: {access("first", time.Now()), {status: 403, body: `{"message":"This installation has been suspended"}`}},
		tokenCall:  {{status: 401, body: `{"message":"Bad credentials"}`}},
	}}
	_, err := client(t, github, asApp(t, 42)).RegistrationToken(within(t, time.Minute))
	mustBe(t, err, register.ErrCredentials)
	equal(t, "message", err.Error(), "GitHub refuses the credentials: "+accessCall+": 403 This installation has been suspended: ask an organization owner to unsuspend the App's installation")
	if want := []string{accessCall, tokenCall, accessCall}; !slices.Equal(github.names(), want) {
		t.Errorf("calls %q", github.names())
	}
}

// TestTokenAfterAFailure: a failed request for a token leaves nothing
// behind: the next call asks again, and does not look for the installation.
func TestTokenAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		github := &script{replies: map[string][]reply{
			installationCall: {{status: 200, body: `{"id":42}`}},
			accessCall:       {{status: 403, body: `{"message":"This installation has been suspended"}`}, access("first", time.Now())},
			tokenCall:        {success},
		}}
		c := client(t, github, asApp(t, 0))
		_, err := c.RegistrationToken(within(t, time.Minute))
		mustBe(t, err, register.ErrCredentials)
		if _, err := c.RegistrationToken(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
		if want := []string{installationCall, accessCall, accessCall, tokenCall}; !slices.Equal(github.names(), want) {
			t.Errorf("calls %q", github.names())
		}
	})
}

// TestInstallationWithoutID: an answer of another form is not taken for number 0.
func TestInstallationWithoutID(t *testing.T) {
	github := &script{replies: map[string][]reply{installationCall: {{status: 200, body: `{}`}}}}
	_, err := client(t, github, asApp(t, 0)).RegistrationToken(within(t, time.Minute))
	mustBe(t, err, register.ErrConfiguration)
	equal(t, "message", err.Error(), "the configuration is wrong: "+installationCall+": 200 the answer is not of the documented form: check that GITHUB_API_URL is the address of GitHub's REST API")
	equal(t, "calls", len(github.names()), 1)
}
