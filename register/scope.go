package register

import "net/url"

// Scope is whom runners belong to: an organization, one repository or an
// enterprise.
type Scope struct{ kind, name string }

// Organization is the scope of an organization's runners.
func Organization(name string) Scope { return Scope{"organization", name} }

// Repository is the scope of one repository's runners; name is owner/name.
func Repository(name string) Scope { return Scope{"repository", name} }

// Enterprise is the scope of an enterprise's runners, by its slug.
func Enterprise(slug string) Scope { return Scope{"enterprise", slug} }

// path is the prefix of the scope's endpoints.
func (s Scope) path() string {
	switch s.kind {
	case "organization":
		return "/orgs/" + s.name
	case "repository":
		return "/repos/" + s.name
	}
	return "/enterprises/" + s.name
}

// RunnerURL is what config.sh registers with, on the server of that address.
func (s Scope) RunnerURL(server *url.URL) string {
	if s.kind == "enterprise" {
		return server.String() + "/enterprises/" + s.name
	}
	return server.String() + "/" + s.name
}

func (s Scope) String() string { return s.kind + " " + s.name }
