package config_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/virtuoso902/org-runner/internal/config"
)

// inUTF16 is a text as PowerShell's > writes it.
func inUTF16(text string) string {
	data := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		data = append(data, byte(unit), byte(unit>>8))
	}
	return string(data)
}

// A credential of a wrong form is named before it is sent anywhere, with what to do,
// whether it comes in a variable or in a file, and it is not shown.
func TestCredentialsOfAWrongForm(t *testing.T) {
	const (
		pat          = "ghp_hush0hush1hush2hush3hush4hush5hush6x"
		registration = "AHUSHHUSHHUSHHUSHHUSHHUSHHUSH"
		another      = "A0hush123hush456hush789hush012hus"
		old          = "0123456789abcdef0123456789abcdef01234567"
		jwt          = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodXNoIn0.aHVzaA"
	)
	code := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	key := rsaKey(t, 1)
	block, _ := pem.Decode([]byte(key))
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)}))
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: block.Bytes}))
	encrypted8 := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes}))
	oneLine := strings.ReplaceAll(strings.TrimSpace(key), "\n", `\n`)
	body := code(string(block.Bytes))

	// What goes for every credential of one word.
	type row struct{ text, cause, remedy string }
	every := map[string]row{
		"bearer":           {"Bearer " + pat, "HTTP header", "leave that word out"},
		"token":            {"token " + pat, "HTTP header", "leave that word out"},
		"a header":         {"Authorization: Bearer " + pat, "HTTP header", "leave that word out"},
		"a name":           {"GITHUB_TOKEN=" + pat, "variable's name", "the value alone"},
		"an export":        {"export GITHUB_TOKEN=" + pat, "variable's name", "the value alone"},
		"double quotes":    {`"` + pat + `"`, "quotes", "remove"},
		"single quotes":    {`'` + pat + `'`, "quotes", "remove"},
		"one quote":        {`"` + pat, "quotes", "remove"},
		"printed quotes":   {"“" + pat + "”", "quotes", "remove"},
		"inner blanks":     {pat + " " + pat, "white space", "copy"},
		"a comment":        {pat + " # of the bot", "white space", "copy"},
		"a line end":       {pat[:20] + "\n" + pat[20:], "white space", "copy"},
		"an invisible":     {pat + "\u200b", "no credential has", "plain text"},
		"a path":           {"/run/secrets/hush", "is a path", "_FILE to it"},
		"a path at home":   {"~/hush.txt", "is a path", "_FILE to it"},
		"a relative path":  {"./secrets/hush", "is a path", "_FILE to it"},
		"a path in a row":  {"secrets/hush", "is a path", "_FILE to it"},
		"a file's name":    {"hush.pem", "is a path", "_FILE to it"},
		"a Windows path":   {`C:\secrets\hush.txt`, "is a path", "_FILE to it"},
		"a file's address": {"file:///run/secrets/hush", "", ""},
		"a reference":      {"$GITHUB_TOKEN", "reference", "itself"},
		"another":          {"${{ secrets.HUSH }}", "reference", "itself"},
		"of a vault":       {"op://vault/hush/token", "reference", "itself"},
		"a placeholder":    {"<your-token>", "placeholder", "itself"},
		"x":                {"ghp_xxxxxxxxxxxxxxxxxxxx", "placeholder", "itself"},
		"a mask":           {"***", "placeholder", "itself"},
		"a variable":       {"GITHUB_TOKEN", "name of a variable", "itself"},
		"a comma":          {pat + ",", "comma", "value alone"},
		"a user":           {"x-access-token:" + pat, "colon", "value alone"},
		"of an address":    {"ghp%5Fhush0hush1", "as in an address", "as it is"},
		"binary":           {"\x30\x82\x04\xa4\xff\xfe\x80hush", "is binary", "PEM"},
		"brackets":         {"[" + pat + "]", "bracket", "value alone"},
		"JSON":             {`{"token":"` + pat + `"}`, "JSON", "take the credential"},
		"a mark":           {"\ufeff" + pat, "byte order mark", "plain text"},
		"a JWT":            {jwt, "JWT", "GITHUB_APP_ID"},
		"an App's id":      {"123456", "id of a GitHub App", "GITHUB_APP_ID"},
		"a client id":      {"Iv23liHUSHHUSHHUSH", "id of a GitHub App", "GITHUB_APP_ID"},
		"a key":            {oneLine, "GitHub App", "GITHUB_APP_PRIVATE_KEY"},
		"a key in base64":  {code(key), "in base64", "GITHUB_APP_PRIVATE_KEY"},
		"a key's body":     {body, "without its lines", ".pem"},
		"a public key":     {public, "public key", "authorizes nothing"},
		"a certificate":    {certificate, "certificate", "authorizes nothing"},
		"an SSH key":       {"ssh-rsa AAAAB3NzaC1yc2E hush", "public key", "authorizes nothing"},
		"of GitLab":        {"glpat-hushhushhushhushhush", "another service", "GitHub's"},
		"UTF-16":           {inUTF16(pat), "UTF-16", "ascii"},
	}
	api := map[string]row{
		"a registration token":  {registration, "is a registration token, not a token for GitHub's API", "RUNNER_TOKEN"},
		"another one":           {another, "is a registration token, not", "RUNNER_TOKEN"},
		"one in base64":         {code(registration), "registration token in base64", "base64 -d"},
		"a JIT configuration":   {jit, "is a JIT configuration, not", "RUNNER_JITCONFIG"},
		"a token in base64":     {code(pat), "is a token in base64", "base64 -d"},
		"with a line end in it": {code(pat + "\n"), "is a token in base64", "base64 -d"},
		"twice":                 {code(code(pat)), "is a token in base64", "base64 -d"},
		"an old one in base64":  {code(old), "is a token in base64", "base64 -d"},
	}
	for _, variable := range []struct {
		name string
		more map[string]row
	}{
		{"GITHUB_TOKEN", api},
		{"MONITOR_GITHUB_TOKEN", api},
		{"RUNNER_TOKEN", map[string]row{
			"a token":             {pat, "is a token for GitHub's API, not a registration token", "GITHUB_TOKEN"},
			"a fine-grained one":  {"github_pat_hushhushhush", "is a token for GitHub's API", "GITHUB_TOKEN"},
			"a JIT configuration": {jit, "is a JIT configuration, not a registration token", "RUNNER_JITCONFIG"},
			"in base64":           {code(registration), "registration token in base64", "base64 -d"},
		}},
		{"RUNNER_JITCONFIG", map[string]row{
			"a token":              {pat, "is a token for GitHub's API, not a JIT configuration", "GITHUB_TOKEN"},
			"a registration token": {registration, "is a registration token, not a JIT configuration", "RUNNER_TOKEN"},
			"twice":                {code(jit), "once more", "base64 -d"},
			"GitHub's answer":      {`{"runner":{},"encoded_jit_config":"` + jit + `"}`, "JSON", "take the credential"},
			"a part of it":         {jit[:len(jit)/2], "is not a JIT configuration", "whole"},
		}},
		{"GITHUB_APP_PRIVATE_KEY", map[string]row{
			"a path":            {"/run/secrets/hush.pem", "is a path", "GITHUB_APP_PRIVATE_KEY_FILE to it"},
			"a relative path":   {"hush.pem", "is a path", "GITHUB_APP_PRIVATE_KEY_FILE to it"},
			"base64":            {code(key), "is a key in base64", "base64 -d"},
			"one line, base64":  {code(oneLine), "is a key in base64", "base64 -d"},
			"base64 with lines": {code(key)[:76] + "\n" + code(key)[76:], "is a key in base64", "base64 -d"},
			"its body":          {body, "without its lines", ".pem"},
			"a public key":      {public, "is a public key", ".pem"},
			"a certificate":     {certificate, "is a certificate", ".pem"},
			"encrypted":         {encrypted, "passphrase", "openssl rsa"},
			"encrypted, PKCS#8": {encrypted8, "passphrase", "openssl rsa"},
			"of another kind":   {ecKey(t), "is not an RSA key", ".pem"},
			"a token":           {pat, "is a token for GitHub's API, not the private key", "GITHUB_TOKEN"},
			"a client secret":   {old, "client secret", ".pem"},
			"a fingerprint":     {"SHA256:hushhushhush=", "fingerprint", ".pem"},
			"a name":            {"GITHUB_APP_PRIVATE_KEY=" + code(key), "variable's name", "the value alone"},
			"line ends lost":    {strings.ReplaceAll(key, "\n", " "), "line ends are lost", `\n`},
			"damaged":           {key[:len(key)/2] + key[len(key)/2+9:], "", ".pem"},
			"a part":            {key[:len(key)/2], "no PEM", ".pem"},
			"UTF-16":            {inUTF16(key), "UTF-16", "ascii"},
			"DER":               {string(block.Bytes), "is binary", "-inform der"},
			"a name and PEM":    {"GITHUB_APP_PRIVATE_KEY=" + oneLine, "variable's name", "the value alone"},
			"of an address":     {url.PathEscape(key), "as in an address", "as it is"},
			"a mark":            {"\ufeff" + oneLine, "byte order mark", "plain text"},
			"a reference":       {"vault:secret/hush", "reference", "itself"},
		}},
	} {
		rows := variable.more
		if variable.name != "GITHUB_APP_PRIVATE_KEY" {
			for name, r := range every {
				rows[name] = r
			}
		}
		for name, r := range rows {
			for _, inFile := range []bool{false, true} {
				blamed, given := variable.name, variable.name+"="+r.text
				m := machine()
				if inFile {
					if blamed += "_FILE"; !slices.Contains(config.Names(), blamed) || name == "a mark" {
						continue // a mark in a file is Notepad's, and no problem
					}
					path := filepath.Join(t.TempDir(), "secret")
					if err := os.WriteFile(path, []byte(r.text), 0o400); err != nil {
						t.Fatal(err)
					}
					given = blamed + "=" + path
				} else if strings.Contains(r.text, "\x00") {
					continue // no variable can hold it
				}
				m.Monitor = variable.name == "MONITOR_GITHUB_TOKEN"
				environ := []string{organization, given}
				if variable.name == "GITHUB_APP_PRIVATE_KEY" {
					environ = append(environ, "GITHUB_APP_ID=1")
				}
				_, err := config.Parse(environ, m)
				var problems config.Problems
				if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Variable != blamed ||
					!strings.Contains(problems[0].Cause, r.cause) || !strings.Contains(problems[0].Remedy, r.remedy) {
					t.Errorf("%s: %s, want %q, %q; got\n%v", blamed, name, r.cause, r.remedy, err)
					continue
				}
				for _, leak := range []string{"hush", "HUSH", "aHVzaA", body[:40], jit, "Z2hwX2h1c2"} {
					if strings.Contains(strings.ReplaceAll(err.Error(), "/secret", ""), leak) {
						t.Errorf("%s: %s: %q is shown in %v", blamed, name, leak, err)
					}
				}
			}
		}
	}
}

// What is right stays right, whatever it looks like.
func TestUnusualTokensAreTaken(t *testing.T) {
	for _, text := range []string{"0123456789abcdef0123456789abcdef01234567", "v1.0123456789abcdef0123456789abcdef01234567", "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
		"ghs_123_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "github_pat_11AAAAAAA0aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "gho_xXxXaXxX", "abc"} {
		if c := parse(t, organization, "GITHUB_TOKEN="+text); c.Credentials.Token.Reveal() != text {
			t.Errorf("%s became another", text)
		}
	}
	if c := parse(t, organization, "RUNNER_TOKEN=AABF3JGZDX3P5PMEXLND6TS6FCWO6"); c.Credentials.Kind != config.RegistrationToken {
		t.Error("a registration token is not taken")
	}
}
