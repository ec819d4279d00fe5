package config

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// target finds whom the runner serves.
func (p *parser) target() {
	r, kind := &p.raw, p.config.Credentials.Kind
	var given []string
	for _, name := range []string{"GITHUB_ORGANIZATION", "GITHUB_REPOSITORY", "GITHUB_ENTERPRISE"} {
		if p.set[name] != "" {
			given = append(given, name)
		}
	}
	switch {
	case len(given) > 1:
		p.problem(given[1], "is set together with "+strings.Join(append(given[:1:1], given[2:]...), " and "),
			"remove "+strings.Join(given[1:], " and ")+" for runners of "+servedBy[given[0]]+", or "+given[0]+" otherwise")
		return
	case len(given) == 0:
		if kind != JITConfig {
			p.problem("GITHUB_ORGANIZATION", "is not set"+p.instead("GITHUB_ORGANIZATION", "GITHUB_REPOSITORY", "GITHUB_ENTERPRISE"), "set it to the organization's name, or set GITHUB_REPOSITORY to owner/name for a runner of one repository")
		}
		return
	}
	t := &p.config.Target
	switch given[0] {
	case "GITHUB_ORGANIZATION":
		*t = Target{Organization, p.account("GITHUB_ORGANIZATION", r.Organization)}
	case "GITHUB_ENTERPRISE":
		*t = Target{Enterprise, p.account("GITHUB_ENTERPRISE", r.Enterprise)}
		if kind == App {
			p.problem("GITHUB_ENTERPRISE", "is set together with a GitHub App", "use GITHUB_TOKEN with the scope manage_runners:enterprise: GitHub does not let Apps manage an enterprise's runners")
		}
	case "GITHUB_REPOSITORY":
		*t = Target{Repository, p.repository("GITHUB_REPOSITORY", r.Repository)}
	}
}

// servedBy is what the runners of a target's variable serve.
var servedBy = map[string]string{
	"GITHUB_ORGANIZATION": "the organization as a whole",
	"GITHUB_REPOSITORY":   "that one repository",
}

// account checks an organization's or enterprise's name; what is probably meant
// by an address or a repository is the remedy.
func (p *parser) account(variable, value string) string {
	if isName(value) {
		return value
	}
	remedy := "set it to the name alone, as in https://github.com/NAME"
	parts := strings.Split(strings.Trim(withoutServer(value), "/"), "/")
	if len(parts) > 1 && (parts[0] == "enterprises" || parts[0] == "orgs") {
		parts = parts[1:]
	}
	if isName(parts[0]) {
		remedy = "set it to " + parts[0]
		if variable == "GITHUB_ORGANIZATION" && len(parts) == 2 && isName(parts[1]) {
			remedy += ", or, for a runner of that one repository, remove it and set GITHUB_REPOSITORY=" + strings.TrimSuffix(parts[0]+"/"+parts[1], ".git")
		}
	}
	p.problem(variable, "is "+quote(value)+", which is no name", remedy+p.withServer(value))
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
	p.problem(variable, "is "+quote(value)+", which is not owner/name", remedy+p.withServer(value))
	return value
}

// withServer is what a remedy has to add when an address is of a server of one's
// own: the name alone would be looked for, with its token, at github.com.
func (p *parser) withServer(address string) string {
	host := strings.TrimSuffix(strings.TrimSuffix(address, withoutServer(address)), "/")
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	host = strings.ToLower(strings.TrimSuffix(host[strings.LastIndexByte(host, '@')+1:], ":"))
	if host == "" || host == "github.com" || host == "www.github.com" || p.set["GITHUB_SERVER_URL"] != "" {
		return ""
	}
	return ", and GITHUB_SERVER_URL to https://" + host
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
	var api *url.URL
	if p.raw.APIURL != "" {
		if api = p.address("GITHUB_API_URL", p.raw.APIURL); api == nil {
			return
		}
	}
	if server == nil {
		return
	}
	if host, wrong := serverOf(server.Host); wrong {
		p.problem("GITHUB_SERVER_URL", "is "+quote(p.raw.ServerURL)+", which is not the address of the server itself", "set it to https://"+host+": the API's address follows from it")
		return
	}
	if server.Path != "" {
		p.problem("GITHUB_SERVER_URL", "is "+quote(p.raw.ServerURL)+", which has a path", "set it to "+server.Scheme+"://"+server.Host+" and name the organization in GITHUB_ORGANIZATION")
		return
	}
	derived := apiOf(server)
	if api != nil && *api == *server {
		p.problem("GITHUB_API_URL", "is the address of the server, not of its API", "remove it, or set it to "+derived.String())
	}
	if api == nil {
		api = derived
	}
	p.config.ServerURL, p.config.APIURL = server, api
}

// serverOf knows the hosts that are another name or the API of a server.
func serverOf(host string) (server string, wrong bool) {
	if host == "www.github.com" || host == "api.github.com" {
		return "github.com", true
	}
	if rest, ok := strings.CutPrefix(host, "api."); ok && strings.HasSuffix(rest, ".ghe.com") {
		return rest, true
	}
	return host, false
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
	const example = "write it as in https://github.example.com"
	u, err := url.Parse(value)
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "https" && u.Scheme != "http":
		p.problem(variable, "is "+quote(value)+", which is no address", example)
		return nil
	case u.User != nil:
		p.problem(variable, "has a user name or password in it", "write the address alone: credentials have variables of their own")
		return nil
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		p.problem(variable, "is "+quote(value)+", which has more than an address", example)
		return nil
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		p.problem(variable, "is "+quote(value)+", which is not encrypted", "use https://: the credentials are sent there")
		return nil
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: strings.TrimRight(path.Clean("/"+u.Path), "/")}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
