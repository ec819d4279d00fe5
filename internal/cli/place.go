package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/virtuoso902/org-runner/internal/config"
)

// place is what an address at GitHub names.
type place struct {
	server string // as in https://github.com; "": the text names none
	kind   config.TargetKind
	name   string // "": the server alone
}

// parsePlace reads what other images and git take for the address of a server, a
// repository, an organization or an enterprise: with https://, http://, ssh:// or
// git://, as git@HOST:OWNER/NAME, as HOST/OWNER/NAME, as OWNER/NAME, and addresses
// of the API. What can be read in two ways is an error. Errors show nothing of the
// text: it may hold a password.
func parsePlace(text string) (place, error) {
	var p place
	scheme, host, path, err := splitAddress(strings.TrimSpace(text))
	if err != nil {
		return p, err
	}
	parts := slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" })
	if host != "" {
		if p.server, parts, err = serverAt(scheme, host, parts); err != nil {
			return p, err
		}
	}
	return p, p.take(parts)
}

// splitAddress takes an address apart, and drops user and password. host is empty
// where there is none.
func splitAddress(text string) (scheme, host, path string, err error) {
	switch m := remoteForm().FindStringSubmatch(text); {
	case strings.Contains(text, "://"):
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.Opaque != "":
			return "", "", "", errors.New("is no address")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return "", "", "", errors.New("has a ? or # in it: write the address alone")
		}
		if isRemoteScheme(u.Scheme) {
			u.Host = u.Hostname() // the port is that of ssh or git
		}
		return strings.ToLower(u.Scheme), u.Host, u.EscapedPath(), nil
	case m != nil && !startsWithPort(m[2]):
		return "ssh", m[1], m[2], nil
	case strings.Contains(text, "@"):
		return "", "", "", errors.New("has an @ in it and is no address: write it as in https://github.com/OWNER/NAME")
	}
	first, rest, _ := strings.Cut(text, "/")
	if strings.ContainsAny(first, ".:") || strings.EqualFold(first, "localhost") { // accounts have neither
		return "https", first, rest, nil
	}
	return "", "", text, nil
}

var (
	// remoteForm is git's short form of an ssh address: [USER@]HOST:PATH.
	remoteForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9._-]+):(\S*)$`) })
	hostForm   = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$`)
	})
	accountForm    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`) })
	repositoryForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]+$`) })
)

func startsWithPort(text string) bool {
	port, _, _ := strings.Cut(text, "/")
	return port != "" && strings.Trim(port, "0123456789") == ""
}

func isRemoteScheme(scheme string) bool {
	return slices.Contains([]string{"ssh", "git", "git+ssh", "ssh+git"}, strings.ToLower(scheme))
}

// serverAt is the server that is reached at a host, and what the path names there:
// the API and ssh have hosts and paths of their own.
func serverAt(scheme, host string, parts []string) (server string, rest []string, err error) {
	host = strings.ToLower(host)
	name, port := host, ""
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		name, port = host[:at], host[at:]
	}
	name = strings.TrimSuffix(name, ".")
	if !hostForm().MatchString(name + port) {
		return "", nil, errors.New("has no server's name in it")
	}
	switch api, isAPI := strings.CutPrefix(name, "api."); {
	case isAPI && isGitHubs(api):
		name = api
		parts = withoutAPI(parts)
	case name == "www.github.com", name == "ssh.github.com":
		name = "github.com"
	case len(parts) >= 2 && parts[0] == "api" && parts[1] == "v3":
		parts = withoutAPI(parts[2:])
	}
	switch {
	case isRemoteScheme(scheme):
		if !strings.Contains(name, ".") && name != "localhost" && !strings.HasPrefix(name, "[") {
			return "", nil, errors.New("has a host without a dot, which may be a name of your ssh configuration: write it as in https://github.com/OWNER/NAME")
		}
		return "https://" + name, parts, nil
	case scheme == "https":
		if port == ":443" {
			port = ""
		}
	case scheme == "http":
		if port == ":80" {
			port = ""
		}
		if isGitHubs(name) {
			scheme = "https"
		} else if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); name != "localhost" && (err != nil || !ip.IsLoopback()) {
			return "", nil, errors.New("begins with http://, which is not encrypted: the credentials would be sent there: write https://, if the server answers to it")
		}
	default:
		return "", nil, errors.New("begins with something else than https:// or ssh://")
	}
	return scheme + "://" + name + port, parts, nil
}

func isGitHubs(host string) bool { return host == "github.com" || strings.HasSuffix(host, ".ghe.com") }

// withoutAPI takes the word off by which the API tells repositories from accounts.
func withoutAPI(parts []string) []string {
	if len(parts) > 0 && parts[0] == "repos" {
		return parts[1:]
	}
	return parts
}

// take reads what stands behind the server.
func (p *place) take(parts []string) error {
	account := func(kind config.TargetKind, name string) error {
		if !accountForm().MatchString(name) {
			return errors.New("has a name in it that nobody can have at GitHub")
		}
		p.kind, p.name = kind, name
		return nil
	}
	switch {
	case len(parts) == 0 && p.server == "":
		return errors.New("names nothing")
	case len(parts) == 0:
		return nil
	case len(parts) == 2 && parts[0] == "enterprises":
		return account(config.Enterprise, parts[1])
	case len(parts) == 2 && parts[0] == "orgs":
		return account(config.Organization, parts[1])
	case len(parts) == 1:
		return account(config.Organization, parts[0])
	case len(parts) > 2:
		return errors.New("has more in it than a server, an owner and a repository")
	}
	name := strings.TrimSuffix(parts[1], ".git")
	if err := account(config.Repository, parts[0]); err != nil {
		return err
	}
	if !repositoryForm().MatchString(name) || name == "." || name == ".." {
		p.kind, p.name = 0, ""
		return errors.New("has no repository's name in it")
	}
	p.name = parts[0] + "/" + name
	return nil
}

// targetVariable is where the name of such a place belongs.
var targetVariable = map[config.TargetKind]string{
	config.Organization: "GITHUB_ORGANIZATION", config.Repository: "GITHUB_REPOSITORY", config.Enterprise: "GITHUB_ENTERPRISE",
}

// inOurVariables says how a place is written in our words.
func (p place) inOurVariables() string {
	text := ""
	if p.name != "" {
		text = fmt.Sprintf("%s=%s", targetVariable[p.kind], p.name)
	}
	if p.server != "" && p.server != publicServer {
		if text != "" {
			text += " and "
		}
		text += "GITHUB_SERVER_URL=" + p.server
	}
	return text
}

// publicServer is the default of GITHUB_SERVER_URL.
const publicServer = "https://github.com"
