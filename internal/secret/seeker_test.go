package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/secret"
)

func TestSeekerFindsEveryWayOfWriting(t *testing.T) {
	const token = "ghp_0123456789abcdefABCDEF0123456789abcd"
	body := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a key of many bytes \x00\xff", 20)))
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + body[:64] + "\n" + body[64:128] + "\n" + body[128:] + "\n-----END RSA PRIVATE KEY-----\n"
	der, _ := base64.StdEncoding.DecodeString(body)
	asJSON, _ := json.Marshal(map[string]string{"key": key})
	var s secret.Seeker
	s.Add(secret.New(token))
	s.Add(secret.New(key))
	s.Add(secret.New("short"))
	s.Add(secret.String{})
	code := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"itself":                 token,
		"in quotes":              `"` + token + `"`,
		"with a line end":        token + "\r\n",
		"a header":               "Authorization: Bearer " + token,
		"an address":             "https://x-access-token:" + token + "@github.com/acme/coach",
		"base64":                 code([]byte(token)),
		"base64 for addresses":   base64.RawURLEncoding.EncodeToString([]byte(token)),
		"basic":                  "Basic " + code([]byte("x-access-token:"+token)),
		"basic, of another user": "AUTHORIZATION: basic " + code([]byte("me:"+token)),
		"a Docker configuration": `{"auths":{"ghcr.io":{"auth":"` + code([]byte("user:"+token)) + `"}}}`,
		"the same in base64":     code([]byte(`{"auths":{"ghcr.io":{"auth":"` + code([]byte("user:"+token)) + `"}}}`)),
		"glued":                  "x" + code([]byte(token)) + "yz",
		"hexadecimal":            hex.EncodeToString([]byte(token)),
		"a key":                  key,
		"one line":               strings.ReplaceAll(key, "\n", `\n`),
		"one line, quoted":       `"` + strings.ReplaceAll(key, "\n", `\n`) + `"`,
		"Windows line ends":      strings.ReplaceAll(key, "\n", "\r\n"),
		"blanks for line ends":   strings.ReplaceAll(key, "\n", " "),
		"without its armour":     body,
		"a key in base64":        code([]byte(key)),
		"a key in base64, lines": code([]byte(key))[:76] + "\n" + code([]byte(key))[76:],
		"one line in base64":     code([]byte(strings.ReplaceAll(key, "\n", `\n`))),
		"a key in JSON":          string(asJSON),
		"a key in an address":    url.QueryEscape(key),
		"DER in hexadecimal":     hex.EncodeToString(der),
		"a short one":            " short ",
	} {
		if !s.In(text) {
			t.Errorf("%s is not found", name)
		}
	}
	for _, text := range []string{"", "a shortage", "ghp_0123456789", "/usr/local/sbin:/usr/local/bin:/usr/bin:/home/runner/.local/bin", code([]byte("another secret of somebody else")), key[:60], "-----BEGIN RSA PRIVATE KEY-----"} {
		if s.In(text) {
			t.Errorf("%q is taken for a secret", text)
		}
	}
	var none secret.Seeker
	if none.In("") || none.In("x") {
		t.Error("something is found where there is nothing")
	}
}
