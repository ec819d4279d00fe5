package register_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/register"
)

// FuzzKey: whatever is given as a key, the error is the same one, so it shows
// nothing of it.
func FuzzKey(f *testing.F) {
	f.Add(pkcs1(appKey()))
	f.Add(strings.Replace(pkcs1(appKey()), "RSA ", "", 1))
	f.Add(pkcs1(appKey())[:900])
	f.Add("-----BEGIN " + "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END " + "RSA PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, key string) {
		_, err := register.NewApp("4711", secret.New(key), 0)
		if err != nil && err.Error() != "the configuration is wrong: GITHUB_APP_PRIVATE_KEY is no RSA private key in PEM: use the downloaded .pem file whole" {
			t.Errorf("error %q", err)
		}
	})
}

// FuzzRefusal: whatever GitHub, or what pretends to be it, answers, the error is
// one printable line of bounded length.
func FuzzRefusal(f *testing.F) {
	f.Add(401, []byte(`{"message":"Bad credentials"}`), "AB:CD", "")
	f.Add(403, []byte(`{"message":"\u001b[31mred"}`), "\x1b]0;x\a", "required; url=https://github.test/\u202e")
	f.Add(422, []byte(`{"message":"Validation Failed","errors":[{"field":"name","code":"invalid"},"x",7,null]}`), "", "")
	f.Add(404, []byte(`[]`), "", "partial-results; organizations=1,2")
	f.Add(301, []byte(`null`), "", "")
	f.Fuzz(func(t *testing.T, status int, body []byte, requestID, sso string) {
		if status < 300 || status > 999 {
			status = 422
		}
		header := map[string]string{"X-GitHub-Request-Id": requestID, "X-GitHub-SSO": sso, "X-OAuth-Scopes": sso, "Location": sso}
		github := &script{replies: map[string][]reply{tokenCall: {{status: status, body: string(body), header: header}}}}
		var err error
		synctest.Test(t, func(t *testing.T) {
			_, err = client(t, github).RegistrationToken(within(t, time.Minute))
		})
		if err == nil {
			t.Fatal("no error")
		}
		text := err.Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("unprintable: %q", text)
		}
		if n := utf8.RuneCountInString(text); n > 2000 {
			t.Errorf("%d characters", n)
		}
	})
}
