package githubtest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// account is a user or an organization.
type account struct {
	name, kind string // User, Organization
	id         int64
}

// api makes an address of the REST API.
func (s *Server) api(parts ...string) string { return s.url + apiPrefix + strings.Join(parts, "") }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// born is when everything that has no date of its own was created.
var born = stamp(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))

func (s *Server) aboutAccount(q request, token *Token) response {
	switch q.operation {
	case "rate-limit":
		return ok(s.rateLimits(token))
	case "get-user":
		return ok(s.describeUser(&account{name: "operator", kind: "User", id: 1}))
	}
	a := s.accounts[strings.ToLower(q.parts[0])]
	switch {
	case a == nil || q.operation == "get-organization" && a.kind != "Organization":
		return notFound()
	case q.operation == "get-organization":
		return ok(s.describeOrganization(a))
	}
	return ok(s.describeUser(a))
}

// links are addresses below a base, by the names that GitHub gives them: NAME_url
// for base/NAME.
func links(base string, names string) map[string]any {
	all := map[string]any{"url": base}
	for name := range strings.FieldsSeq(names) {
		all[name+"_url"] = base + "/" + name
	}
	return all
}

// merge adds fields to an object.
func merge(object map[string]any, more map[string]any) map[string]any {
	maps.Copy(object, more)
	return object
}

// describeOwner is an account as part of other objects.
func (s *Server) describeOwner(a *account) map[string]any {
	return merge(links(s.api("/users/", a.name), "followers following gists starred subscriptions organizations repos events received_events avatar"), map[string]any{
		"login": a.name, "id": a.id, "node_id": node(a.id), "gravatar_id": "", "html_url": s.url + "/" + a.name, "type": a.kind, "site_admin": false,
	})
}

func node(id int64) string { return "N_" + strconv.FormatInt(id, 10) }

func (s *Server) describeUser(a *account) map[string]any {
	return merge(s.describeOwner(a), map[string]any{
		"name": nil, "company": nil, "blog": nil, "location": nil, "email": nil, "hireable": nil, "bio": nil,
		"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "created_at": born, "updated_at": born,
	})
}

func (s *Server) describeOrganization(a *account) map[string]any {
	return merge(links(s.api("/orgs/", a.name), "repos events hooks issues members public_members avatar"), map[string]any{
		"login": a.name, "id": a.id, "node_id": node(a.id), "html_url": s.url + "/" + a.name, "type": a.kind, "description": nil,
		"has_organization_projects": true, "has_repository_projects": true, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": born, "updated_at": born, "archived_at": nil,
	})
}

func (s *Server) repositories(q request, sc *scope) response {
	var mine []*scope
	for _, repository := range s.scopes {
		if owner, _, _ := strings.Cut(repository.name, "/"); repository.kind == "repository" && strings.EqualFold(owner, sc.name) {
			mine = append(mine, repository)
		}
	}
	slices.SortFunc(mine, func(a, b *scope) int { return int(a.id - b.id) })
	return s.page(q, "", len(mine), func(i int) any { return s.describeRepository(mine[i], false) })
}

// describeRepository is a repository in a list, or whole.
func (s *Server) describeRepository(sc *scope, whole bool) map[string]any {
	owner, name, _ := strings.Cut(sc.name, "/")
	a := s.accounts[strings.ToLower(owner)]
	if a == nil {
		a = &account{name: owner, kind: "User", id: 1}
	}
	repository := merge(links(s.api("/repos/", sc.name), "archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees"),
		map[string]any{
			"id": sc.id, "node_id": node(sc.id), "name": name, "full_name": sc.name, "owner": s.describeOwner(a), "private": sc.private,
			"html_url": s.url + "/" + sc.name, "description": nil, "fork": false,
		})
	if !whole {
		return repository
	}
	for field := range strings.FieldsSeq("has_issues has_projects has_wiki has_pages has_discussions archived disabled") {
		repository[field] = false
	}
	for field := range strings.FieldsSeq("forks forks_count stargazers_count watchers watchers_count size open_issues open_issues_count subscribers_count network_count") {
		repository[field] = 0
	}
	for field := range strings.FieldsSeq("homepage language license mirror_url") {
		repository[field] = nil
	}
	return merge(repository, map[string]any{
		"clone_url": s.url + "/" + sc.name + ".git", "git_url": s.url + "/" + sc.name + ".git", "ssh_url": "git@github.example:" + sc.name + ".git",
		"svn_url": s.url + "/" + sc.name, "default_branch": "main", "pushed_at": born, "created_at": born, "updated_at": born,
	})
}

func (s *Server) rateLimits(token *Token) map[string]any {
	one := func(limit, used int, reset time.Time) map[string]any {
		return map[string]any{"limit": limit, "used": used, "remaining": limit - used, "reset": reset.Unix()}
	}
	u := s.quotas[token.Value]
	core := one(s.hourly(token), u.used, u.began.Add(time.Hour))
	return map[string]any{"rate": core, "resources": map[string]any{
		"core": core, "search": one(30, 0, s.now().Add(time.Minute)), "actions_runner_registration": one(10000, 0, s.now().Add(time.Hour)),
	}}
}

func orEmpty(permissions map[string]string) map[string]string {
	if permissions == nil {
		return map[string]string{}
	}
	return permissions
}

func (s *Server) describeApp(app App) map[string]any {
	return map[string]any{"id": appNumber(app), "client_id": app.ID, "slug": "app", "node_id": "A_1", "name": "app", "description": nil,
		"owner": s.describeOwner(&account{name: "operator", kind: "User", id: 1}), "external_url": s.url, "html_url": s.url + "/apps/app",
		"created_at": born, "updated_at": born, "permissions": orEmpty(app.Permissions), "events": []any{}, "installations_count": len(app.Installations)}
}

// appNumber is an App's number, also of one that is known by its client id.
func appNumber(app App) int64 {
	if id, err := strconv.ParseInt(app.ID, 10, 64); err == nil {
		return id
	}
	return 1
}

func (s *Server) describeInstallation(app App, name string, id int64) map[string]any {
	owner, _, _ := strings.Cut(name, "/")
	a := s.accounts[strings.ToLower(owner)]
	if a == nil {
		a = &account{name: owner, kind: "User", id: 1}
	}
	base := s.api("/app/installations/", strconv.FormatInt(id, 10))
	return map[string]any{"id": id, "account": s.describeOwner(a), "repository_selection": "all", "access_tokens_url": base + "/access_tokens",
		"repositories_url": s.api("/installation/repositories"), "html_url": s.url + "/settings/installations", "app_id": appNumber(app), "app_slug": "app",
		"target_id": a.id, "target_type": a.kind, "permissions": orEmpty(app.Permissions), "events": []any{}, "created_at": born, "updated_at": born,
		"single_file_name": nil, "suspended_by": nil, "suspended_at": nil}
}

// Uninstall takes an App off an account: its tokens are good no more.
func (s *Server) Uninstall(id int64) {
	s.change(func() {
		delete(s.installations, id)
		for i := range s.apps {
			for name, installation := range s.apps[i].Installations {
				if installation != id {
					continue
				}
				delete(s.apps[i].Installations, name)
				maps.DeleteFunc(s.tokens, func(_ string, t *Token) bool { return t.appID == s.apps[i].ID && t.Account == name })
			}
		}
	})
}

// tag is the ETag of a good answer to a GET, "" for others.
func (r response) tag(q request) string {
	if q.method != http.MethodGet || r.status != http.StatusOK || q.operation == "rate-limit" {
		return ""
	}
	return digest(r.body)
}

// digest makes an ETag of a body.
func digest(body any) string {
	data, _ := json.Marshal(body)
	sum := sha256.Sum256(data)
	return fmt.Sprintf(`W/"%x"`, sum[:16])
}
