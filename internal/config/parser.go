package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// parser collects the problems while it fills the configuration.
type parser struct {
	raw      raw
	machine  Machine
	set      map[string]string // the environment without its empty variables
	config   Config
	problems Problems
}

func (p *parser) problem(variable, cause, remedy string) {
	p.problems = append(p.problems, Problem{variable, cause, remedy})
}

func (p *parser) warn(format string, values ...any) {
	p.config.Warnings = append(p.config.Warnings, fmt.Sprintf(format, values...))
}

// sorted brings the problems into the order of the table of variables.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return slices.Index(names, a.Variable) - slices.Index(names, b.Variable)
	})
	return p
}

// quote shows a value that is no secret, whatever is in it.
func quote(value string) string {
	const longest = 80
	if utf8.RuneCountInString(value) > longest {
		value = string([]rune(value)[:longest]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

// cause is the part of a path error that does not repeat the path.
func cause(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// isName tells whether text could be the name of an account, repository or
// enterprise at GitHub.
func isName(text string) bool {
	return text != "" && text != "." && text != ".." && !strings.ContainsFunc(text, func(r rune) bool { return !isWord(r) && r != '.' })
}

// boolean reads true or false and nothing that only looks like them: EPHEMERAL=0
// must not be taken for true, nor EPHEMERAL=ture for false.
func (p *parser) boolean(variable, value string) bool {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	}
	p.problem(variable, "is "+quote(value)+", which is neither true nor false", "set it to true or false")
	return false
}

func (p *parser) oneOf(variable, value string, allowed ...string) string {
	if lower := strings.ToLower(value); slices.Contains(allowed, lower) {
		return lower
	}
	p.problem(variable, "is "+quote(value), "set it to "+strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1])
	return ""
}

// duration reads Go's notation. Zero is allowed where zero says so.
func (p *parser) duration(variable, value string, least, most time.Duration, zero bool) time.Duration {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil && isDigits(value):
		p.problem(variable, "is "+quote(value)+", which has no unit", "write "+value+"s for seconds")
	case err != nil:
		p.problem(variable, "is "+quote(value)+", which is no duration", "write it as in 90s, 15m or 1h30m")
	case zero && d == 0:
		return 0
	case d < least || d > most:
		p.problem(variable, "is "+quote(value), fmt.Sprintf("set it to between %s and %s", short(least), short(most)))
	}
	return d
}

// short prints 15m0s as 15m.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func isDigits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// target finds whom the runner serves.
func (p *parser) target() {
	r := &p.raw
	var given []string
	for _, t := range []struct{ name, value string }{
		{"GITHUB_ORGANIZATION", r.Organization}, {"GITHUB_REPOSITORY", r.Repository}, {"GITHUB_ENTERPRISE", r.Enterprise},
	} {
		if t.value != "" {
			given = append(given, t.name)
		}
	}
	switch {
	case len(given) > 1:
		p.problem(given[1], "is set together with "+strings.Join(append(given[:1:1], given[2:]...), " and "),
			"remove "+strings.Join(given[1:], " and ")+" for runners of the organization as a whole, or "+given[0]+" otherwise")
		return
	case len(given) == 0:
		if p.config.Credentials.Kind != JITConfig {
			p.problem("GITHUB_ORGANIZATION", "is not set", "set it to the organization's name, or set GITHUB_REPOSITORY to owner/name for a runner of one repository")
		}
		return
	}
	t := &p.config.Target
	switch given[0] {
	case "GITHUB_ORGANIZATION":
		*t = Target{Organization, p.account("GITHUB_ORGANIZATION", r.Organization)}
	case "GITHUB_ENTERPRISE":
		*t = Target{Enterprise, p.account("GITHUB_ENTERPRISE", r.Enterprise)}
		if p.config.Credentials.Kind == App {
			p.problem("GITHUB_ENTERPRISE", "is set together with a GitHub App", "use GITHUB_TOKEN with the scope manage_runners:enterprise: GitHub does not let Apps manage an enterprise's runners")
		}
	case "GITHUB_REPOSITORY":
		*t = Target{Repository, p.repository("GITHUB_REPOSITORY", r.Repository)}
	}
}

// account checks an organization's or enterprise's name; what is probably meant
// by an address or a repository is the remedy.
func (p *parser) account(variable, value string) string {
	if isName(value) {
		return value
	}
	remedy := "set it to the name alone, as in https://github.com/NAME"
	parts := strings.Split(strings.Trim(withoutServer(value), "/"), "/")
	if variable == "GITHUB_ENTERPRISE" && len(parts) > 1 && parts[0] == "enterprises" {
		parts = parts[1:]
	}
	if isName(parts[0]) {
		remedy = "set it to " + parts[0]
		if variable == "GITHUB_ORGANIZATION" && len(parts) == 2 && isName(parts[1]) {
			remedy += ", or, for a runner of that one repository, remove it and set GITHUB_REPOSITORY=" + strings.TrimSuffix(parts[0]+"/"+parts[1], ".git")
		}
	}
	p.problem(variable, "is "+quote(value)+", which is no name", remedy)
	return value
}

// repository checks owner/name.
func (p *parser) repository(variable, value string) string {
	owner, name, _ := strings.Cut(value, "/")
	if isName(owner) && isName(name) && !strings.HasSuffix(name, ".git") {
		return value
	}
	remedy := "set it to owner/name"
	parts := strings.Split(strings.TrimSuffix(strings.Trim(withoutServer(value), "/"), ".git"), "/")
	switch {
	case len(parts) >= 2 && isName(parts[0]) && isName(parts[1]):
		remedy = "set it to " + parts[0] + "/" + parts[1]
	case len(parts) == 1 && isName(parts[0]):
		remedy = "set it to OWNER/" + parts[0]
	}
	p.problem(variable, "is "+quote(value)+", which is not owner/name", remedy)
	return value
}

// withoutServer takes https://host/ or git@host: off an address.
func withoutServer(value string) string {
	if _, rest, ok := strings.Cut(value, "://"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return rest
	}
	if rest, ok := strings.CutPrefix(value, "git@"); ok {
		_, rest, _ = strings.Cut(rest, ":")
		return rest
	}
	if host, rest, ok := strings.Cut(value, "/"); ok && strings.HasSuffix(host, ".com") {
		return rest
	}
	return value
}

// addresses reads the server's and derives the API's.
func (p *parser) addresses() {
	server := p.address("GITHUB_SERVER_URL", p.raw.ServerURL)
	if server == nil {
		return
	}
	if host := strings.TrimPrefix(server.Host, "www."); host == "api.github.com" || strings.HasPrefix(host, "api.") && strings.HasSuffix(host, ".ghe.com") {
		p.problem("GITHUB_SERVER_URL", "is "+quote(p.raw.ServerURL)+", the address of the API", "set it to https://"+strings.TrimPrefix(host, "api.")+": the API's address follows from it")
		return
	}
	if server.Path != "" {
		p.problem("GITHUB_SERVER_URL", "is "+quote(p.raw.ServerURL)+", which has a path", "set it to "+server.Scheme+"://"+server.Host+" and name the organization in GITHUB_ORGANIZATION")
		return
	}
	p.config.ServerURL = server
	if p.raw.APIURL != "" {
		p.config.APIURL = p.address("GITHUB_API_URL", p.raw.APIURL)
		return
	}
	p.config.APIURL = apiOf(server)
}

// apiOf knows where the API of a server is: github.com and ghe.com have a host
// for it, a GitHub Enterprise Server a path.
func apiOf(server *url.URL) *url.URL {
	switch {
	case server.Host == "github.com", strings.HasSuffix(server.Host, ".ghe.com"):
		return &url.URL{Scheme: server.Scheme, Host: "api." + server.Host}
	}
	return &url.URL{Scheme: server.Scheme, Host: server.Host, Path: "/api/v3"}
}

// address reads a URL. Credentials are sent there, so it has to be https;
// loopback, where nobody listens in, is the exception for trying things out.
func (p *parser) address(variable, value string) *url.URL {
	u, err := url.Parse(value)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		p.problem(variable, "is "+quote(value)+", which is no address", "write it as in https://github.example.com")
		return nil
	case u.User != nil:
		p.problem(variable, "has a user name or password in it", "write the address alone: credentials have variables of their own")
		return nil
	case u.RawQuery != "" || u.Fragment != "":
		p.problem(variable, "is "+quote(value)+", which has more than an address", "write it as in https://github.example.com")
		return nil
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.problem(variable, "is "+quote(value)+", which is not encrypted", "use https://: the credentials are sent there")
		return nil
	}
	u.Path = strings.TrimRight(path.Clean("/"+u.Path), "/")
	return u
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
