package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// longestSecret bounds a file with a secret in bytes: an App's key has 2 KiB, a
// JIT configuration 4 KiB.
const longestSecret = 64 << 10

var errTooLarge = errors.New("too large")

func readSecretFile(path string) ([]byte, os.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return nil, info, fs.ErrInvalid
	}
	data, err := io.ReadAll(io.LimitReader(file, longestSecret+1))
	if err == nil && len(data) > longestSecret {
		err = errTooLarge
	}
	return data, info, err
}

// given reads a variable or the file that its _FILE twin names.
func (p *parser) given(variable, value, file string) string {
	fileVariable := variable + "_FILE"
	switch {
	case value != "" && file != "":
		p.problem(fileVariable, "is set together with "+variable, "keep one of the two: remove "+variable+" if the file is the right one")
		return ""
	case file == "":
		return p.checkSecret(variable, strings.TrimSpace(value))
	}
	data, info, err := p.machine.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.problem(fileVariable, "names a file that does not exist: "+quote(file), "mount the secret there, or correct the path: it is a path inside of the container")
	case errors.Is(err, fs.ErrPermission):
		p.problem(fileVariable, "names a file that this user must not read: "+quote(file), fmt.Sprintf("make it readable for uid %d, or start the container as root (--user root) with RUNNER_USER", os.Getuid()))
	case errors.Is(err, fs.ErrInvalid):
		p.problem(fileVariable, "names a folder: "+quote(file), "name the file in it; Docker makes a folder when the file to mount does not exist on the host")
	case errors.Is(err, errTooLarge):
		p.problem(fileVariable, fmt.Sprintf("names a file of more than %d KiB: %s", longestSecret>>10, quote(file)), "name the file that holds nothing but the secret")
	case err != nil:
		p.problem(fileVariable, "names a file that cannot be read: "+cause(err), "mount the secret there, readable for this user")
	case strings.TrimSpace(string(data)) == "":
		p.problem(fileVariable, "names an empty file: "+quote(file), "write the secret into it")
	default:
		if info != nil && info.Mode().Perm()&0o004 != 0 {
			p.warn("%s: %s can be read by every user of this container, jobs included: give it mode 0400 and the uid %d, or start the container as root", fileVariable, quote(file), os.Getuid())
		}
		return p.checkSecret(fileVariable, strings.TrimSpace(string(data)))
	}
	return ""
}

// checkSecret finds what env files do to a secret. It never shows any of it.
func (p *parser) checkSecret(variable, text string) string {
	switch {
	case text == "":
	case strings.HasPrefix(text, "-----"): // a key has lines
	case len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0]:
		if p.set["GITHUB_APP_PRIVATE_KEY"] != "" && strings.Contains(text, "-----BEGIN") {
			return strings.Trim(text, `"'`)
		}
		p.problem(variable, "has quotes around its value", "remove them: docker run --env-file takes quotes as part of the value")
	case strings.ContainsAny(text, " \t\r\n"):
		p.problem(variable, "has white space inside of its value", "copy the value again, without line breaks")
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		p.problem(variable, "has characters that no token has", "copy the value again as plain text")
	default:
		return text
	}
	if strings.HasPrefix(text, "-----") {
		return text
	}
	return ""
}

// credentials finds the one kind that is given.
func (p *parser) credentials() {
	r, c := &p.raw, &p.config.Credentials
	var kinds []string
	for _, kind := range []struct {
		name  string
		given bool
	}{
		{"GITHUB_TOKEN", r.Token != "" || r.TokenFile != ""},
		{"GITHUB_APP_ID", r.AppID != "" || r.AppKey != "" || r.AppKeyFile != ""},
		{"RUNNER_TOKEN", r.RegistrationToken != "" || r.RegistrationTokenFile != ""},
		{"RUNNER_JITCONFIG", r.JITConfig != "" || r.JITConfigFile != ""},
	} {
		if kind.given {
			kinds = append(kinds, kind.name)
		}
	}
	switch {
	case len(kinds) == 0:
		p.problem("GITHUB_TOKEN", "is not set, and no other credentials are", "set GITHUB_TOKEN or GITHUB_TOKEN_FILE to a token that may register runners (classic: scope admin:org; fine-grained: organization permission \"Self-hosted runners\", read and write), or use a GitHub App: GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE")
		return
	case len(kinds) > 1:
		p.problem(kinds[1], "is set together with "+strings.Join(append(kinds[:1:1], kinds[2:]...), " and "), "keep one kind of credentials and remove the variables of the others")
		return
	}
	var text string
	switch kinds[0] {
	case "GITHUB_TOKEN":
		c.Kind, text = Token, p.given("GITHUB_TOKEN", r.Token, r.TokenFile)
	case "RUNNER_TOKEN":
		c.Kind, text = RegistrationToken, p.given("RUNNER_TOKEN", r.RegistrationToken, r.RegistrationTokenFile)
	case "RUNNER_JITCONFIG":
		c.Kind, text = JITConfig, p.given("RUNNER_JITCONFIG", r.JITConfig, r.JITConfigFile)
		if text != "" && !isJITConfig(text) {
			p.problem("RUNNER_JITCONFIG", "is not a JIT configuration", "take encoded_jit_config as GitHub's generate-jitconfig returned it, whole")
		}
	case "GITHUB_APP_ID":
		c.Kind = App
		p.app()
	}
	c.Token = secret.New(text)
}

func isJITConfig(text string) bool {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	var files map[string]string
	if json.Unmarshal(data, &files) != nil {
		return false
	}
	for _, content := range files {
		if _, err := base64.StdEncoding.DecodeString(content); err != nil {
			return false
		}
	}
	return files[".runner"] != ""
}

// app reads the three variables of a GitHub App.
func (p *parser) app() {
	r, c := &p.raw, &p.config.Credentials
	if r.AppID == "" {
		p.problem("GITHUB_APP_ID", "is not set, but the App's key is", "set it to the App's id or client id, from the App's settings page")
	} else if strings.ContainsFunc(r.AppID, func(c rune) bool { return !isWord(c) && c != '.' }) {
		p.problem("GITHUB_APP_ID", "is "+quote(r.AppID)+", which is neither an App's id nor a client id", "copy the App's id (a number) or client id from the App's settings page")
	}
	c.AppID = r.AppID
	if r.AppInstallation != "" {
		id, err := strconv.ParseInt(r.AppInstallation, 10, 64)
		if err != nil || id <= 0 {
			p.problem("GITHUB_APP_INSTALLATION_ID", "is "+quote(r.AppInstallation)+", which is no number", "take the number at the end of the installation's address, or leave it empty: it is looked up")
		}
		c.InstallationID = id
	}
	if r.AppKey == "" && r.AppKeyFile == "" {
		p.problem("GITHUB_APP_PRIVATE_KEY", "is not set, but GITHUB_APP_ID is", "set GITHUB_APP_PRIVATE_KEY_FILE to the file of the App's private key (.pem)")
		return
	}
	text := p.given("GITHUB_APP_PRIVATE_KEY", r.AppKey, r.AppKeyFile)
	if text == "" {
		return
	}
	text = strings.ReplaceAll(text, `\n`, "\n")
	if reason := checkKey([]byte(text)); reason != "" {
		p.problem("GITHUB_APP_PRIVATE_KEY", reason, "generate a private key in the App's settings and use the downloaded .pem file whole; in an env file write each line end as \\n, all on one line")
	}
	c.AppKey = secret.New(text)
}

// checkKey says what is wrong with a key, without any of it.
func checkKey(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil {
		return "is no PEM: it has no lines -----BEGIN … and -----END …, or its line ends are lost"
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return "is a damaged RSA key"
		}
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return "is a damaged key"
		}
		if _, ok := key.(*rsa.PrivateKey); !ok {
			return "is not an RSA key"
		}
	default:
		return "is not an RSA private key"
	}
	return ""
}
