package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// Secrets are what an environment ("NAME=value" each) holds that must not be
// printed, right or wrong: the credentials, and what proxies are told.
func Secrets(environ []string) (secrets []secret.String) {
	for name, value := range toMap(environ) {
		switch {
		case isSecret(name):
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
func proxySecrets(address string) []secret.String {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return nil
	}
	user, written, _ := strings.Cut(rest[:at], ":")
	secrets := []secret.String{secret.New(written)}
	if meant, err := url.PathUnescape(written); err == nil {
		if name, err := url.PathUnescape(user); err == nil {
			user = name
		}
		secrets = append(secrets, secret.New(meant), secret.New(user+":"+meant))
	}
	return secrets
}

func isSecret(name string) bool {
	return slices.ContainsFunc(Variables(), func(v Variable) bool { return v.Secret && v.Name == name })
}
