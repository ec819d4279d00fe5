package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// Secrets are what an environment ("NAME=value" each) holds that must not be
// printed, right or wrong: the credentials, and what proxies are told.
func Secrets(environ []string) (secrets []secret.String) {
	for name, value := range toMap(environ) {
		switch {
		case IsOurs(value), isEverydayWord(value): // no credential, and in what is said about it
		case slices.Contains(secretNames(), name):
			inner, _ := unquote(value)
			secrets = append(secrets, secret.New(value), secret.New(strings.TrimSpace(inner)))
		case slices.Contains(proxyVariables, name):
			secrets = append(secrets, proxySecrets(value)...)
		}
	}
	return secrets
}

// proxySecrets are the password of a proxy, as it is written and as it is meant,
// and how both go to it (Basic).
func proxySecrets(address string) (secrets []secret.String) {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return nil
	}
	user, written, _ := strings.Cut(rest[:at], ":")
	if written == "" {
		return nil
	}
	texts := []string{written, user + ":" + written}
	if meant, err := url.PathUnescape(written); err == nil {
		if name, err := url.PathUnescape(user); err == nil {
			user = name
		}
		texts = append(texts, meant, user+":"+meant)
	}
	for _, text := range texts {
		if !isEverydayWord(text) {
			secrets = append(secrets, secret.New(text))
		}
	}
	return secrets
}

// isEverydayWord tells whether masking a password would take an ordinary word or
// number out of everything that is printed, as runner or 100000: such a one is
// masked together with its user only. Digits behind a colon alone, of a user
// without a name, are how JSON writes a number.
func isEverydayWord(text string) bool {
	isNoLetter := func(r rune) bool { return r < 'a' || r > 'z' }
	isNoDigit := func(r rune) bool { return r < '0' || r > '9' }
	digits := strings.TrimPrefix(text, ":")
	return len(text) < 12 && !strings.ContainsFunc(text, isNoLetter) || len(digits) < 12 && !strings.ContainsFunc(digits, isNoDigit)
}

func isSecret(name string) bool { return slices.Contains(secretNames(), name) }

// secretNames are the variables of the table whose values are credentials.
var secretNames = sync.OnceValue(func() (all []string) {
	for _, v := range Variables() {
		if v.Secret {
			all = append(all, v.Name)
		}
	}
	return all
})

// children keeps of the environment what programs that we start may have: none of
// ours, none of the passed ones that is set to nothing (compose does that), and
// none that has one of our credentials in it under a name of its own.
func (p *parser) children(environ []string) {
	c := &p.config
	var seeker secret.Seeker
	for _, s := range append(writings(c.Credentials.AppKey), c.Credentials.Token, c.MonitorToken) {
		seeker.Add(s)
	}
	withheld := map[string]bool{}
	for _, variable := range environ {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || IsOurs(name) || isInput(name) {
			continue
		}
		if seeker.In(value) || seeker.In(name) {
			withheld[name] = true
			continue
		}
		if IsPassed(name) || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			if value = strings.TrimSpace(value); value == "" {
				continue
			}
		}
		c.Environ = append(c.Environ, name+"="+value)
	}
	p.suspects(withheld)
}

// suspects warns of variables by their names: those that are kept from jobs,
// those that were meant for us, and those that look like credentials.
func (p *parser) suspects(withheld map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(p.set)) {
		at := slices.IndexFunc(p.strangers, func(s stranger) bool { return s.name == name })
		switch {
		case withheld[name] && slices.Contains(proxyVariables, name): // without it the runner would reach nothing
			p.problem(name, "holds credentials of org-runner", "give the proxy a password of its own: every job can read it")
		case withheld[name]:
			p.warn("%s holds credentials of org-runner: it is kept from the runner and its jobs. Remove it, or set it to a credential that jobs may have", name)
		case at >= 0:
			p.warn("%s", p.strangers[at])
		case IsOurs(name), isInput(name), slices.Contains(proxyVariables, name):
		case isForeignCredential(p.set[name]):
			p.warn("%s looks like a credential, and every job can read it: remove it, unless all jobs may have it", name)
		}
	}
}

// isInput tells whether a variable would be an option of the official runner's
// config.sh or run.sh: only we give those.
func isInput(name string) bool {
	return strings.HasPrefix(strings.ToUpper(name), "ACTIONS_RUNNER_INPUT_")
}

// writings are the ways in which the same key can be written: PKCS#1 and PKCS#8.
func writings(key secret.String) []secret.String {
	all := []secret.String{key}
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return all
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if private, ok := parsed.(*rsa.PrivateKey); ok {
			all = append(all, secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))))
		}
	}
	return all
}

// foreignCredential knows the credentials of GitHub and of other services by
// their form: those that say themselves what they are.
var foreignCredential = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{8,}` + // GitHub
		`|-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY` +
		`|\b(?:glpat-|npm_|pypi-|dckr_pat_|hvs\.|xox[abprs]-)[A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{16}\b` + // GitLab, npm, PyPI, Docker, Vault, Slack, AWS
		`|://[^/?#@ ]*:[^/?#@ ]{4,}@`) // a password in an address
})

// isForeignCredential also knows those that are written in base64.
func isForeignCredential(value string) bool {
	decoded, _ := decoded(value)
	return foreignCredential().MatchString(value) || foreignCredential().MatchString(decoded) || isJITConfig(value)
}
