package config_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/secret"
)

// pkcs1Of is a PKCS#8 key in PKCS#1.
func pkcs1Of(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}))
}

// What children get of an environment, and what is said of it. That nothing of a
// secret is left is tried with whole lives.
func TestChildrensEnvironment(t *testing.T) {
	pkcs8 := rsaKey(t, 8)
	for _, row := range []struct {
		name          string
		environ, want []string
		warns         string // "": nothing
	}{
		{"what is not ours", []string{"HOME=/root", "EMPTY=", "A=b=c", "broken"}, []string{"HOME=/root", "EMPTY=", "A=b=c"}, ""},
		{"compose's empty ones", []string{"HTTPS_PROXY=", "no_proxy= ", "ACTIONS_RUNNER_HOOK_JOB_STARTED=", "RUNNER_TOOL_CACHE="}, nil, ""},
		{"a line end of Windows", []string{"HTTPS_PROXY=http://proxy:3128\r"}, []string{"HTTPS_PROXY=http://proxy:3128"}, ""},
		{"the runner's options", []string{"ACTIONS_RUNNER_INPUT_WORK=x", "actions_runner_input_token=ghp_hushhush"}, nil, "ACTIONS_RUNNER_INPUT_WORK is not a variable of org-runner"},
		{"the token", []string{"GITHUB_PERSONAL_TOKEN=ghp_example"}, nil, "GITHUB_PERSONAL_TOKEN holds credentials of org-runner"},
		{"under another image's name", []string{"ACCESS_TOKEN=ghp_example"}, nil, "ACCESS_TOKEN holds credentials of org-runner"},
		{"twice the same name", []string{"TWICE=ghp_example", "TWICE=other"}, []string{"TWICE=other"}, "TWICE holds credentials of org-runner"},
		{"another token", []string{"NPM=npm_hushhushhushhushhush"}, []string{"NPM=npm_hushhushhushhushhush"}, "NPM looks like a credential"},
		{"another of GitHub's", []string{"DEPLOY=token ghp_hushhushhush"}, []string{"DEPLOY=token ghp_hushhushhush"}, "DEPLOY looks like a credential"},
		{"one in base64", []string{"DEPLOY=Z2hwX2h1c2hodXNoaHVzaGh1c2g="}, []string{"DEPLOY=Z2hwX2h1c2hodXNoaHVzaGh1c2g="}, "DEPLOY looks like a credential"},
		{"a key", []string{"SIGN=-----BEGIN OPENSSH PRIVATE KEY-----\\nhush"}, []string{"SIGN=-----BEGIN OPENSSH PRIVATE KEY-----\\nhush"}, "SIGN looks like a credential"},
		{"a password", []string{"DB=postgres://app:hushhush@db/app"}, []string{"DB=postgres://app:hushhush@db/app"}, "DB looks like a credential"},
		{"a certificate", []string{"CERT=-----BEGIN CERTIFICATE-----\\nMIIB"}, []string{"CERT=-----BEGIN CERTIFICATE-----\\nMIIB"}, ""},
		{"a proxy's password", []string{"HTTPS_PROXY=http://u:hushhush@proxy:3128"}, []string{"HTTPS_PROXY=http://u:hushhush@proxy:3128"}, ""},
	} {
		c := parse(t, append(row.environ, token, organization)...)
		if !slices.Equal(c.Environ, row.want) {
			t.Errorf("%s: %q, want %q", row.name, c.Environ, row.want)
		}
		if warnings := strings.Join(c.Warnings, "\n"); (row.warns == "") != (warnings == "") || !strings.Contains(warnings, row.warns) || strings.Contains(warnings, "hush") || strings.Contains(warnings, "Z2hw") || len(c.Warnings) > 1 {
			t.Errorf("%s: warnings %q, want %q", row.name, warnings, row.warns)
		}
	}
	if _, err := config.Parse([]string{"HTTPS_PROXY=http://u:ghp_example@proxy:3128", token, organization}, machine()); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY holds credentials of org-runner") {
		t.Errorf("a proxy with the token for its password: %v", err)
	}
	// The same key in its other form.
	c, err := config.Parse([]string{organization, "GITHUB_APP_ID=1", "GITHUB_APP_PRIVATE_KEY=" + pkcs8, "KEY=" + pkcs1Of(t, pkcs8)}, machine())
	if err != nil || len(c.Environ) != 0 {
		t.Errorf("%v; %d variables are left", err, len(c.Environ))
	}
}

func TestProxies(t *testing.T) {
	for value, reason := range map[string]string{
		"http://proxy:3128": "", "http://proxy.example.com": "", "https://u:p%40@proxy:443/": "", "socks5://10.0.0.1:1080": "", "proxy:3128": "", "proxy.example.com": "", "u:p@proxy:3128": "",
		"http://[::1]:3128": "", "10.0.0.1:3128": "", "HTTP://proxy:3128": "", "http://proxy": "",
		"nonsense": "without a scheme", "true": "without a scheme", "none": "without a scheme", "direct": "without a scheme", "http:/proxy:3128": "more than a host", "http//proxy:3128": "more than a host",
		"http:proxy:3128": "cannot be read", "://proxy:3128": "scheme", "http://": "no host", ":3128": "no host", "proxy:port": "cannot be read", "proxy:99999": "port", "proxy:0": "port", "ftp://proxy:21": "scheme",
		"http://u:hu#sh@proxy:3128": "", "http://u:hu/sh@proxy:3128": "", "http://proxy:3128,http://other:3128": "", "proxy 3128": "", "http://proxy:3128?x": "more than", "$PROXY": "", "<proxy>:3128": "",
		"proxy.example.com:3128/path": "more than", "a,b.c": "no host", "http://u:p@": "no host", "-x http://proxy:3128": "scheme",
	} {
		_, err := config.Parse([]string{token, organization, "HTTPS_PROXY=" + value}, machine())
		good := slices.Contains([]string{"http://proxy:3128", "http://proxy.example.com", "https://u:p%40@proxy:443/", "socks5://10.0.0.1:1080", "proxy:3128", "proxy.example.com", "u:p@proxy:3128", "http://[::1]:3128", "10.0.0.1:3128", "HTTP://proxy:3128", "http://proxy"}, value)
		switch {
		case good != (err == nil):
			t.Errorf("%s: %v", value, err)
		case err != nil && (!strings.Contains(err.Error(), "HTTPS_PROXY is no address of a proxy: ") || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "hu")):
			t.Errorf("%s: %v, want %q", value, err, reason)
		}
	}
	for _, row := range []struct {
		environ []string
		want    string
	}{
		{[]string{"HTTPS_PROXY=http://a:1", "https_proxy=http://b:1"}, "HTTPS_PROXY and https_proxy are not the same"},
		{[]string{"NO_PROXY=a", "no_proxy=b"}, "NO_PROXY and no_proxy are not the same"},
		{[]string{"ALL_PROXY=http://a:1"}, "ALL_PROXY is taken by neither"},
		{[]string{"ALL_PROXY=http://a:1", "HTTPS_PROXY=http://a:1", "https_proxy=http://a:1"}, ""},
	} {
		if c := parse(t, append(row.environ, token, organization)...); strings.Join(c.Warnings, "") != "" != (row.want != "") || !strings.Contains(strings.Join(c.Warnings, ""), row.want) {
			t.Errorf("%v: %q", row.environ, c.Warnings)
		}
	}
}

func TestWrittenLabels(t *testing.T) {
	for _, row := range []struct{ text, labels, word string }{
		{"gpu, linux ,x", "gpu,linux,x", ""},
		{"acme/coach,a.b_c-d", "acme/coach,a.b_c-d", ""},
		{"gpu linux", "gpu linux", "commas: gpu,linux"},
		{"gpu;linux", "gpu;linux", "commas: gpu,linux"},
		{"big runner,x", "big runner,x", "commas: big,runner"},
		{"a,,b", "a,b", "a comma too many"},
		{"a,b,", "a,b", "a comma too many"},
		{"[a, b]", "", "LABELS=a,b"},
		{`["a", 'b']`, "", "LABELS=a,b"},
		{"- a", "", "LABELS=a"},
		{"a, [b]", "", "without brackets and quotes"},
		{`a,"b"`, "", "without brackets and quotes"},
		{`'a','b'`, "", "without brackets and quotes"},
		{" , ", "", "has no label"},
	} {
		c, err := config.Parse([]string{token, organization, "LABELS=" + row.text}, machine())
		said := strings.Join(c.Warnings, "")
		if err != nil {
			said = err.Error()
		}
		if strings.Join(c.Labels, ",") != row.labels || (err == nil) != (row.labels != "") || !strings.Contains(said, row.word) || row.word == "" && said != "" {
			t.Errorf("%s: labels %q, %s", row.text, c.Labels, said)
		}
	}
}

// Of a proxy the password is a secret, as it is written, as it is meant, and as it
// is sent; an everyday word is one together with its user, or all that is printed
// would lose it.
func TestSecretsOfAnEnvironment(t *testing.T) {
	masker := &secret.Masker{}
	for _, s := range config.Secrets([]string{"HTTPS_PROXY=http://alice:sesame%2Fopen@proxy:3128", "http_proxy=bob:runner@proxy", `GITHUB_TOKEN="ghp_quoted-token"`, "MONITOR_GITHUB_TOKEN=ghp_monitors", "NO_PROXY=a:bcdefgh@c"}) {
		masker.Add(s)
	}
	for text, want := range map[string]string{
		"http://alice:sesame%2Fopen@proxy:3128": "http://[redacted]@proxy:3128",
		"said sesame/open":                      "said [redacted]",
		"Basic YWxpY2U6c2VzYW1lL29wZW4=":        "Basic [redacted]",
		"http://bob:runner@proxy":               "http://[redacted]@proxy",
		"Basic Ym9iOnJ1bm5lcg==":                "Basic [redacted]",
		`"runners":[]`:                          `"runners":[]`,
		"ghp_quoted-token ghp_monitors":         "[redacted] [redacted]",
		"proxy:3128 alice bob a:bcdefgh@c":      "proxy:3128 alice bob a:bcdefgh@c",
	} {
		if got := masker.Mask(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// A password of digits alone is in numbers too: JSON stays JSON.
func TestSecretsOfDigits(t *testing.T) {
	for _, row := range []struct{ proxy, text, want string }{
		{"http://alice:100000@proxy:3128", `{"run_id":21000001234}`, `{"run_id":21000001234}`},
		{"http://alice:100000@proxy:3128", "http://alice:100000@proxy:3128", "http://[redacted]@proxy:3128"},
		{"http://alice:100000@proxy:3128", "Basic YWxpY2U6MTAwMDAw", "Basic [redacted]"},
		{"http://alice:%31%30@proxy:3128", `{"run_id":10} alice:10 %31%30`, `{"run_id":10} [redacted] [redacted]`},
		{"http://:100000@proxy:3128", `{"run_id":100000}`, `{"run_id":100000}`},
		{"http://alice:123456789012@proxy:3128", "said 123456789012", "said [redacted]"},
		{"http://alice:100000a@proxy:3128", "said 100000a", "said [redacted]"},
	} {
		masker := &secret.Masker{}
		for _, s := range config.Secrets([]string{"HTTPS_PROXY=" + row.proxy}) {
			masker.Add(s)
		}
		if got := masker.Mask(row.text); got != row.want {
			t.Errorf("%s: %s, want %s", row.proxy, got, row.want)
		}
	}
}

// SSL_CERT_FILE and SSL_CERT_DIR name authorities, or the start ends.
func TestAuthorities(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	der := server.Certificate().Raw
	good := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	large := append(bytes.Repeat([]byte("# a large bundle\n"), 20_000), good...)
	for _, row := range []struct{ name, variable, value, cause, remedy string }{
		{"good", "SSL_CERT_FILE", file("good.pem", good, 0o444), "", ""},
		{"a large bundle", "SSL_CERT_FILE", file("large.pem", large, 0o444), "", ""},
		{"a folder", "SSL_CERT_DIR", dir + "/none:" + dir, "", ""},
		{"missing", "SSL_CERT_FILE", dir + "/none.pem", "names a file that does not exist", "inside of the container"},
		{"a folder for a file", "SSL_CERT_FILE", dir, "names a folder", "Docker makes a folder"},
		{"empty", "SSL_CERT_FILE", file("empty.pem", []byte("\n"), 0o444), "names an empty file", "certificates"},
		{"a key", "SSL_CERT_FILE", file("key.pem", []byte(rsaKey(t, 1)), 0o444), `without a certificate: "` + dir + `/key.pem", but with a "RSA PRIVATE KEY"`, "PEM"},
		{"DER", "SSL_CERT_FILE", file("der.pem", der, 0o444), "but one in DER", "PEM"},
		{"a text", "SSL_CERT_FILE", file("text.pem", []byte("hello"), 0o444), "names a file without a certificate", "PEM"},
		{"a device", "SSL_CERT_FILE", "/dev/null", "no regular file", "name a file"},
		{"unreadable", "SSL_CERT_FILE", "unreadable", "must not read", "readable for uid 0"},
		{"a credential", "SSL_CERT_FILE", "ghp_hushhushhush", "holds a credential", "path"},
	} {
		m := machine()
		if row.value == "unreadable" {
			m.ReadFile = func(string) ([]byte, os.FileInfo, error) { return nil, nil, fs.ErrPermission }
		}
		c, err := config.Parse([]string{token, organization, row.variable + "=" + row.value}, m)
		var problems config.Problems
		switch {
		case row.cause == "":
			if err != nil || len(c.Warnings) != 0 {
				t.Errorf("%s: %v %v", row.name, err, c.Warnings)
			}
		case !errors.As(err, &problems) || len(problems) != 1 || problems[0].Variable != row.variable || !strings.Contains(problems[0].Cause, row.cause) || !strings.Contains(problems[0].Remedy, row.remedy) || strings.Contains(err.Error(), "hush"):
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if c := parse(t, token, organization, "SSL_CERT_FILE="+file("own.pem", good, 0o400)); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "readable for root alone") {
		t.Errorf("a file that the runner cannot read: %v", c.Warnings)
	}
	if c := parse(t, token, organization, "SSL_CERT_DIR="+dir+"/none:"+dir+"/good.pem"); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "SSL_CERT_DIR names no folder that can be read") {
		t.Errorf("folders that are none: %v", c.Warnings)
	}
}
