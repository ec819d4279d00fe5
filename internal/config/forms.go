package config

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf8"
)

// form is one way to give something else than the credential that is wanted. In
// its remedy NAME is the variable.
type form struct {
	is            func(text string) bool
	cause, remedy string
	right         CredentialsKind // for this kind it is what is wanted; 0: for none
}

// What credentials look like that say themselves what they are. They are few, and
// each is compiled when it is wanted.
var (
	isAPIToken          = matching(`^(gh[pousr]_|github_pat_)[A-Za-z0-9_.-]{4,}$`)
	isOldToken          = matching(`^[0-9a-f]{40}$`)
	isRegistrationToken = matching(`^A[A-Za-z0-9]{28,44}$`)
	isPrivateKey        = matching(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----`)
)

// wrapping is what people and tools put around a credential, or in its place.
var wrapping = []form{
	{is: func(text string) bool { return strings.HasPrefix(text, "\ufeff") }, cause: "begins with a byte order mark", remedy: "write the value again as plain text, without one"},
	{is: matching("^[\"'`]|[\"'`]$|[“”‘’]"), cause: "has quotes around its value", remedy: quotesRemedy},
	{is: matching(`(?i)^(authorization:|bearer\b|token\s|basic\s)`), cause: "begins with a word of an HTTP header (Bearer, token, Basic)", remedy: "leave that word out: NAME is the credential alone"},
	{is: matching(`^(export\s+|set\s+)?[A-Za-z_][A-Za-z0-9_]*\s*(=|:=|:\s)\s*[^=]`), cause: "has a variable's name before the value (NAME=value)", remedy: "write the value alone"},
	{is: matching(`(?i)^(\*+|•+|x{3,}|\.{3,}|…|\[redacted\]|<.*>|(your|my)[-_ ].*|(gh[pousr]_|github_pat_)(x+|\*+|\.+|…|•+)|change-?me|todo|token|secret|none|null|undefined)$`),
		cause: "is a placeholder", remedy: "set NAME to the credential itself"},
	{is: matching(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`), cause: "is the name of a variable", remedy: "set NAME to the credential itself"},
	{is: matching(`^[,;<(\[]|[,;>)\]]$`), cause: "has a comma, semicolon or bracket before or behind the value", remedy: "write the value alone"},
	{is: matching(`^\$|^\{\{|^%\w+%$|^[a-z][a-z0-9+.-]*://|^(vault|op|ssm|sops|arn|secret|env):`), cause: "is an address or a reference, which nothing has resolved",
		remedy: "set NAME to the credential itself, or NAME_FILE to a file that holds it: org-runner replaces no variables and asks no vault"},
	{is: matching(`(?s)^\{.*\}$`), cause: "is JSON", remedy: "take the credential alone out of it, without braces and quotes"},
}

// others are credentials, each of which could have been given for another.
var others = []form{
	{is: isPrivateKey, right: App, cause: "is a key, which belongs to a GitHub App", remedy: "set GITHUB_APP_PRIVATE_KEY to it, and GITHUB_APP_ID to the App's id"},
	{is: inBase64(isPrivateKey), cause: "is a key in base64, which belongs to a GitHub App", remedy: "decode it (base64 -d), set GITHUB_APP_PRIVATE_KEY to that, and GITHUB_APP_ID to the App's id"},
	{is: matching(`^MI[IG][A-Za-z0-9+/=\s]{60,}$`), cause: "is a key or certificate without its lines -----BEGIN … and -----END …", remedy: "use the downloaded .pem file whole, for GITHUB_APP_PRIVATE_KEY_FILE, and set GITHUB_APP_ID"},
	{is: matching(`-----BEGIN|^ssh-[a-z0-9]+ `), right: App, cause: "is a public key or a certificate", remedy: "set NAME to a credential: what is public authorizes nothing"},
	{is: matching(`^eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`), cause: "is a JWT, which is good for minutes", remedy: "give what it was made with instead: GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE"},
	{is: matching(`^(Iv\d+\.?[0-9A-Za-z]{8,}|\d{1,10})$`), cause: "is the id of a GitHub App", remedy: "set GITHUB_APP_ID to it instead, and GITHUB_APP_PRIVATE_KEY_FILE to the file of the App's private key"},
	{is: isJITConfig, right: JITConfig, cause: "is a JIT configuration", remedy: "set RUNNER_JITCONFIG to it instead"},
	{is: inBase64(isJITConfig), cause: "is a JIT configuration in base64 once more", remedy: "decode it once (base64 -d), and set RUNNER_JITCONFIG to that"},
	{is: isRegistrationToken, right: RegistrationToken, cause: "is a registration token", remedy: "set RUNNER_TOKEN to it instead (good for one hour), or GITHUB_TOKEN to a token that may register runners: classic (admin:org) or fine-grained (Self-hosted runners: write)"},
	{is: inBase64(isRegistrationToken), cause: "is a registration token in base64", remedy: "decode it (base64 -d), and set RUNNER_TOKEN to that"},
	{is: isAPIToken, right: Token, cause: "is a token for GitHub's API", remedy: "set GITHUB_TOKEN to it instead: org-runner gets registration tokens with it"},
	{is: inBase64(func(text string) bool { return isAPIToken(text) || isOldToken(text) }), cause: "is a token in base64", remedy: "decode it (base64 -d): what is under data in a Secret of Kubernetes is in base64, what is under stringData is not"},
	{is: matching(`^(glpat-|npm_|pypi-|dckr_pat_|AKIA|xox[abp]-)`), cause: "is a token of another service", remedy: "set NAME to one of GitHub's"},
}

// What is looked for when nothing else explains a text: paths have these too.
var (
	afterColon = form{is: matching(`^[A-Za-z0-9_.-]+:\S`), cause: "has a word and a colon before the value (USER:TOKEN)", remedy: "write the value alone"}
	escaped    = form{is: matching(`%[0-9A-Fa-f]{2}`), cause: "is written as in an address (% and two digits)", remedy: "write it as it is, without escapes"}
)

// whatIsWanted names the kinds.
var whatIsWanted = map[CredentialsKind]string{
	Token: "a token for GitHub's API", App: "the private key of a GitHub App", RegistrationToken: "a registration token", JITConfig: "a JIT configuration",
}

// wrongForm says what is wrong with the form of a credential and what to do; ""
// if nothing is. It shows none of it. NAME in remedies is the caller's to replace.
func wrongForm(kind CredentialsKind, text string) (cause, remedy string) {
	switch {
	case isUTF16(text):
		return "is UTF-16", "write it again as UTF-8 or ASCII: PowerShell's > writes UTF-16, Set-Content -Encoding ascii does not"
	case !utf8.ValidString(text) || strings.Contains(text, "\x00"):
		return "is binary", "write it as plain text: a key as PEM (openssl rsa -inform der makes it of DER)"
	}
	for _, f := range wrapping {
		if f.is(text) {
			return f.cause, f.remedy
		}
	}
	for _, f := range others {
		if f.right != kind && f.is(text) {
			return f.cause + ", not " + whatIsWanted[kind], f.remedy
		}
	}
	if isPath(text) {
		return "is a path, not " + whatIsWanted[kind], "set NAME_FILE to it, or NAME to what the file holds"
	}
	for _, f := range []form{afterColon, escaped} {
		if f.is(text) {
			return f.cause, f.remedy
		}
	}
	return "", ""
}

// isPath tells whether text is the path of a file: a credential has no slash in
// its beginning, and base64 is longer than a path.
func isPath(text string) bool {
	return matching(`^(/|\./|\.\./|~|file:|[A-Za-z]:\\|\\\\)[^\n]*$|^\S+\.(pem|key|txt|crt|cer|der|json|env)$`)(text) ||
		len(text) < 100 && !strings.HasPrefix(text, "eyJ") && matching(`^[A-Za-z0-9_.-]+/[^\s=]+$`)(text)
}

// isUTF16 also knows it without a byte order mark: every other byte is zero.
func isUTF16(text string) bool {
	zeros := strings.Count(text, "\x00")
	return strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || zeros > 0 && zeros >= len(text)/2
}

func matching(expression string) func(string) bool {
	return func(text string) bool { return regexp.MustCompile(expression).MatchString(text) }
}

// inBase64 looks below one or two layers of it.
func inBase64(is func(string) bool) func(string) bool {
	return func(text string) bool {
		for range 2 {
			plain, ok := decoded(text)
			if !ok {
				return false
			}
			if text = strings.TrimSpace(plain); is(text) {
				return true
			}
		}
		return false
	}
}

// decoded reads base64 of a text, of either alphabet, with or without line ends
// and padding.
func decoded(text string) (string, bool) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "", `\n`, "").Replace(text)
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(plain) < 16 || !utf8.Valid(plain) || strings.ContainsFunc(string(plain), func(r rune) bool { return isControl(r) && !strings.ContainsRune("\r\n\t", r) }) {
		return "", false
	}
	return string(plain), true
}
