package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
)

// jit is a JIT configuration with nothing in it but a .runner.
var jit = base64.StdEncoding.EncodeToString([]byte(`{".runner":"e30="}`))

func rsaKey(t *testing.T, pkcs int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if pkcs == 8 {
		block.Type = "PRIVATE KEY"
		if block.Bytes, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
	}
	return string(pem.EncodeToMemory(block))
}

func ecKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func TestEveryWayToGiveCredentials(t *testing.T) {
	folder := t.TempDir()
	inFile := func(text string) string {
		file, err := os.CreateTemp(folder, "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return file.Name()
	}
	pkcs1, pkcs8 := rsaKey(t, 1), rsaKey(t, 8)
	for _, row := range []struct {
		environ []string
		kind    config.CredentialsKind
		secret  string
	}{
		{[]string{"GITHUB_TOKEN=abc"}, config.Token, "abc"},
		{[]string{"GITHUB_TOKEN_FILE=" + inFile("abc\n")}, config.Token, "abc"},
		{[]string{"GITHUB_TOKEN_FILE=" + inFile("\ufeffabc\r\n")}, config.Token, "abc"},
		{[]string{"GITHUB_TOKEN= abc\r"}, config.Token, "abc"},
		{[]string{"RUNNER_TOKEN=abc"}, config.RegistrationToken, "abc"},
		{[]string{"RUNNER_TOKEN_FILE=" + inFile("abc")}, config.RegistrationToken, "abc"},
		{[]string{"RUNNER_JITCONFIG=" + jit}, config.JITConfig, jit},
		{[]string{"RUNNER_JITCONFIG_FILE=" + inFile(jit+"\n")}, config.JITConfig, jit},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + pkcs1}, config.App, pkcs1},
		{[]string{"GITHUB_APP_ID=Iv1.abc", "GITHUB_APP_PRIVATE_KEY_FILE=" + inFile(pkcs8)}, config.App, pkcs8},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + strings.ReplaceAll(pkcs1, "\n", `\n`)}, config.App, pkcs1},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + strings.ReplaceAll(pkcs1, "\n", `\r\n`)}, config.App, pkcs1},
		{[]string{"GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + strings.ReplaceAll(pkcs1, "\n", "\n    ")}, config.App, pkcs1},
		{[]string{"GITHUB_APP_ID=1", `GITHUB_APP_PRIVATE_KEY="` + strings.ReplaceAll(pkcs8, "\n", `\n`) + `"`}, config.App, pkcs8},
	} {
		c := parse(t, append(row.environ, organization)...)
		got := c.Credentials.Token
		if row.kind == config.App {
			got = c.Credentials.AppKey
		}
		if c.Credentials.Kind != row.kind || strings.TrimSpace(got.Reveal()) != strings.TrimSpace(row.secret) {
			t.Errorf("%.40s: kind %v, secret of %d bytes, want %v of %d", row.environ, c.Credentials.Kind, len(got.Reveal()), row.kind, len(row.secret))
		}
		if strings.Contains(fmt.Sprintf("%+v", c), row.secret) {
			t.Errorf("%.40s: the configuration prints its secret", row.environ)
		}
	}
	if c := parse(t, "RUNNER_JITCONFIG="+jit); c.Registration != config.JIT {
		t.Error("a ready JIT configuration is not used as one")
	}
	forMonitor := machine()
	forMonitor.Monitor = true
	both := []string{"MONITOR_GITHUB_TOKEN=reads", "GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + pkcs1, organization}
	if c, err := config.Parse(both, forMonitor); err != nil || c.Credentials.Kind != config.Token || c.Credentials.Token.Reveal() != "reads" {
		t.Errorf("the monitor's own token: %v, %v", c.Credentials.Kind, err)
	}
	if c := parse(t, both...); c.Credentials.Kind != config.App || c.MonitorToken.Reveal() != "reads" {
		t.Errorf("a runner with the monitor's token beside its own credentials: %v", c.Credentials.Kind)
	}
	if _, err := config.Parse([]string{`MONITOR_GITHUB_TOKEN="a b"`, organization}, forMonitor); err == nil || !strings.Contains(err.Error(), "MONITOR_GITHUB_TOKEN has quotes") {
		t.Errorf("a malformed token of the monitor: %v", err)
	}
	open := inFile("abc")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if c := parse(t, "GITHUB_TOKEN_FILE="+open, organization); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "every user") {
		t.Errorf("a file that all can read: %v", c.Warnings)
	}
	asRunner := machine()
	asRunner.UID = 1001
	if c, err := config.Parse([]string{"GITHUB_TOKEN_FILE=" + inFile("abc"), organization}, asRunner); err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "jobs run as the user that reads") {
		t.Errorf("a file that jobs can read: %v, %v", c.Warnings, err)
	}
	withSudo := machine()
	withSudo.Sudo = func(user string) bool { return user == "runner" }
	if c, err := config.Parse([]string{"GITHUB_TOKEN_FILE=" + inFile("abc"), organization}, withSudo); err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "become root by sudo") {
		t.Errorf("of a user with sudo: %v, %v", c.Warnings, err)
	}
	if c, err := config.Parse([]string{token, organization}, withSudo); err != nil || len(c.Warnings) != 0 {
		t.Errorf("of a variable: %v, %v", c.Warnings, err)
	}
}

// Whatever is given, no message has anything of a credential: a mark is put at
// any place of it and looked for.
func FuzzParseNeverTellsASecret(f *testing.F) {
	const mark = "hush7hush7hush"
	f.Add("ghp_", "", "acme", "true", "10s")
	f.Add("-----BEGIN RSA PRIVATE KEY-----\n", "\n-----END RSA PRIVATE KEY-----", "https://x/y", "0", "10")
	f.Add(`"a `, ` b"`, "\x00", "\xff", "-1h")
	f.Add("eyJ", "=", "acme/coach", "", "")
	f.Fuzz(func(t *testing.T, before, after, name, word, length string) {
		if strings.Contains(name+word+length, mark) {
			return
		}
		m := machine()
		m.ReadFile = func(string) ([]byte, os.FileInfo, error) { return []byte(before + mark + after), nil, nil }
		rest := []string{"GITHUB_ORGANIZATION=" + name, "EPHEMERAL=" + word, "RUNNER_STOP_GRACE=" + length, "RUNNER_NAME=" + name, "LABELS=" + name, "ALLOWED_REPOSITORIES=" + name, "GITHUB_SERVER_URL=" + word, "RUNNER_WORKDIR=" + name}
		for _, variable := range config.Variables() {
			given := []string{variable.Name + "=" + before + mark + after}
			switch {
			case strings.HasSuffix(variable.Name, "_FILE"):
				given = []string{variable.Name + "=/run/secrets/x"}
			case !variable.Secret:
				continue
			}
			if strings.HasPrefix(variable.Name, "GITHUB_APP") {
				given = append(given, "GITHUB_APP_ID=1")
			}
			c, err := config.Parse(append(given, rest...), m)
			if shown := fmt.Sprintf("%v %+v", err, c); strings.Contains(shown, mark) {
				t.Errorf("%s shows in %s", variable.Name, shown)
			}
		}
	})
}
