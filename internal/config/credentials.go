package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// kinds are the ways to give credentials, each with its variables.
var kinds = []struct {
	kind      CredentialsKind
	variables []string
}{
	{Token, []string{"GITHUB_TOKEN", "GITHUB_TOKEN_FILE"}},
	{App, []string{"GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_PRIVATE_KEY_FILE", "GITHUB_APP_INSTALLATION_ID"}},
	{RegistrationToken, []string{"RUNNER_TOKEN", "RUNNER_TOKEN_FILE"}},
	{JITConfig, []string{"RUNNER_JITCONFIG", "RUNNER_JITCONFIG_FILE"}},
}

// credentials finds the one kind that is given.
func (p *parser) credentials() {
	r, c := &p.raw, &p.config.Credentials
	p.config.MonitorToken = secret.New(r.MonitorToken)
	if p.machine.Monitor && r.MonitorToken != "" {
		if c.Kind = Token; p.wellFormed(Token, "MONITOR_GITHUB_TOKEN", r.MonitorToken) {
			c.Token = p.config.MonitorToken
		}
		return
	}
	var found []string
	for _, k := range kinds {
		if name := p.firstSet(k.variables); name != "" {
			found, c.Kind = append(found, name), k.kind
		}
	}
	switch {
	case len(found) == 0:
		p.problem("GITHUB_TOKEN", "is not set, and no other credentials are"+p.instead("GITHUB_TOKEN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "RUNNER_TOKEN", "RUNNER_JITCONFIG"),
			"set GITHUB_TOKEN or GITHUB_TOKEN_FILE to a token that may register runners (classic: scope admin:org; fine-grained: organization permission \"Self-hosted runners\", read and write), or use a GitHub App: GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE")
		return
	case len(found) > 1:
		p.problem(found[1], "is set together with "+strings.Join(append(found[:1:1], found[2:]...), " and "), "keep one kind of credentials and remove the variables of the others")
		return
	}
	var text, from string
	switch c.Kind {
	case App:
		p.app()
		return
	case Token:
		text, from = p.given("GITHUB_TOKEN", r.Token, r.TokenFile)
	case RegistrationToken:
		text, from = p.given("RUNNER_TOKEN", r.RegistrationToken, r.RegistrationTokenFile)
	case JITConfig:
		text, from = p.given("RUNNER_JITCONFIG", r.JITConfig, r.JITConfigFile)
	}
	if text == "" || !p.wellFormed(c.Kind, from, text) {
		return
	}
	if c.Kind == JITConfig && !isJITConfig(text) {
		p.malformed(from, "is not a JIT configuration", "take encoded_jit_config as GitHub's generate-jitconfig returned it, whole")
	}
	c.Token = secret.New(text)
}

// firstSet returns the first of the variables that is set, "" if none is.
func (p *parser) firstSet(variables []string) string {
	for _, name := range variables {
		if p.set[name] != "" {
			return name
		}
	}
	return ""
}

// wellFormed finds what copying, env files and mistaking one credential for
// another do. It shows none of it.
func (p *parser) wellFormed(kind CredentialsKind, variable, text string) bool {
	if kind == Token && isUsualToken(text) {
		return true
	}
	cause, remedy := wrongForm(kind, text)
	switch {
	case cause != "":
		p.malformed(variable, cause, remedy)
	case strings.ContainsAny(text, " \t\r\n"):
		p.malformed(variable, "has white space inside of its value", "copy the value again, without line breaks")
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		p.malformed(variable, "has characters that no credential has", "copy the value again as plain text")
	default:
		return true
	}
	return false
}

// isUsualToken spares nearly all the look for what they are not: a prefix of
// GitHub's, and behind it letters and digits that are no row of x.
func isUsualToken(text string) bool {
	prefix, rest, ok := strings.Cut(text, "_")
	return ok && (len(prefix) == 3 && strings.HasPrefix(prefix, "gh") || prefix == "github" && strings.HasPrefix(rest, "pat_")) &&
		!strings.ContainsFunc(rest, func(r rune) bool { return !isWord(r) && r != '.' }) && strings.Trim(strings.ToLower(rest), "x.") != ""
}

// malformed is a problem with a credential's text, in a variable or in the file
// that it names.
func (p *parser) malformed(variable, cause, remedy string) {
	name, inFile := strings.CutSuffix(variable, "_FILE")
	if inFile {
		cause = "names a file whose text " + cause
	}
	p.problem(variable, cause, strings.ReplaceAll(remedy, "NAME", name))
}

// isJITConfig tells whether text is base64 of a JSON object of files, each in
// base64, the settings among them (actions/runner, Runner.cs).
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

// app reads the variables of a GitHub App.
func (p *parser) app() {
	r, c := &p.raw, &p.config.Credentials
	switch {
	case r.AppID == "":
		p.problem("GITHUB_APP_ID", "is not set, but "+p.firstSet(kinds[1].variables)+" is", "set it to the App's id or client id, from the App's settings page")
	case !isDigits(r.AppID) && !strings.HasPrefix(r.AppID, "Iv"), !isName(r.AppID):
		p.problem("GITHUB_APP_ID", "is "+quote(r.AppID)+", which is neither an App's id nor a client id", "copy the App's id (a number) or client id from the App's settings page")
	}
	c.AppID = r.AppID
	if r.AppInstallation != "" {
		id, err := strconv.ParseInt(r.AppInstallation, 10, 64)
		if err != nil || id <= 0 {
			p.problem("GITHUB_APP_INSTALLATION_ID", "is "+quote(r.AppInstallation)+", which is no id", "take the number at the end of the installation's address, or leave it empty: it is looked up")
		}
		c.InstallationID = id
	}
	if r.AppKey == "" && r.AppKeyFile == "" {
		p.problem("GITHUB_APP_PRIVATE_KEY", "is not set, but "+p.firstSet(kinds[1].variables)+" is", "set GITHUB_APP_PRIVATE_KEY_FILE to the file of the App's private key (.pem)")
		return
	}
	text, from := p.given("GITHUB_APP_PRIVATE_KEY", r.AppKey, r.AppKeyFile)
	if text == "" {
		return
	}
	// On the one line of an env file the quotes are often taken along, and a
	// document around the key indents it.
	text, _ = unquote(text)
	text = strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	text = strings.Join(lines, "\n")
	if cause, remedy := checkKey(text); cause != "" {
		p.malformed(from, cause, remedy)
	}
	c.AppKey = secret.New(text)
}

const wholeKey = "generate a private key in the App's settings and use the downloaded .pem file whole; in an env file write each line end as \\n, all on one line"

// checkKey says what is wrong with a key, without any of it, and what to do.
func checkKey(text string) (cause, remedy string) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		if cause, remedy = wrongKey(text); cause != "" {
			return cause, remedy
		}
		return "is no PEM: it has no lines -----BEGIN … and -----END …, or its line ends are lost", wholeKey
	}
	encrypted := block.Headers["Proc-Type"] != "" || block.Type == "ENCRYPTED PRIVATE KEY"
	switch {
	case encrypted:
		return "is encrypted with a passphrase", "take it off (openssl rsa -in KEY.pem -out PLAIN.pem), or use the .pem file as GitHub gave it"
	case block.Type == "RSA PRIVATE KEY":
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return "is a damaged RSA key", wholeKey
		}
	case block.Type == "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return "is a damaged key", wholeKey
		}
		if _, ok := key.(*rsa.PrivateKey); !ok {
			return "is not an RSA key", wholeKey
		}
	case strings.HasSuffix(block.Type, "PUBLIC KEY"):
		return "is a public key, not the private one", wholeKey
	case strings.Contains(block.Type, "CERTIFICATE"):
		return "is a certificate, not a private key", wholeKey
	default:
		return "is not an RSA private key", wholeKey
	}
	return "", ""
}

// wrongKey knows what was given instead of a key in PEM.
func wrongKey(text string) (cause, remedy string) {
	switch {
	case isOldToken(text):
		return "is the App's client secret, not its private key", wholeKey
	case strings.HasPrefix(text, "SHA256:"):
		return "is the fingerprint of the App's key, not the key", wholeKey
	case strings.HasPrefix(text, "-----BEGIN") && strings.Contains(text, "%"):
		return escaped.cause, escaped.remedy
	case strings.HasPrefix(text, "-----BEGIN"):
		return "", ""
	}
	return wrongForm(App, text)
}
