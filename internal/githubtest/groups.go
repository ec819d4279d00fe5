package githubtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// hostedGroup is the group of GitHub's own runners.
const hostedGroup = 2

func (sc *scope) group(id int64) *Group {
	for i := range sc.groups {
		if sc.groups[i].ID == id {
			return &sc.groups[i]
		}
	}
	return nil
}

// groupNamed finds a group as config.sh names it: without case.
func (sc *scope) groupNamed(name string) *Group {
	for i := range sc.groups {
		if strings.EqualFold(sc.groups[i].Name, name) {
			return &sc.groups[i]
		}
	}
	return nil
}

// admits tells whether a group's runners may run jobs of a repository.
func (s *Server) admits(g *Group, repository string) bool {
	if known := s.scopes[strings.ToLower(repository)]; known != nil && !known.private && !g.AllowsPublic {
		return false
	}
	return g.Visibility != "selected" || slices.ContainsFunc(g.Repositories, func(name string) bool { return strings.EqualFold(name, repository) })
}

func (s *Server) aboutGroups(q request, sc *scope) response {
	if sc.kind == "repository" {
		return notFound()
	}
	switch q.operation {
	case "list-groups":
		seen := sc.groups
		if name := q.values.Get("visible_to_repository"); name != "" {
			seen = slices.DeleteFunc(slices.Clone(seen), func(g Group) bool { return !s.admits(&g, sc.name+"/"+name) })
		}
		answer := s.page(q, "runner_groups", len(seen), func(i int) any { return s.describeGroup(sc, &seen[i]) })
		answer.header.Del("Link") // GitHub's description has none for this list
		return answer
	case "create-group":
		return s.createGroup(q, sc)
	}
	id, err := strconv.ParseInt(q.parts[0], 10, 64)
	g := sc.group(id)
	switch {
	case err != nil || g == nil:
		return notFound()
	case q.operation == "get-group":
		return ok(s.describeGroup(sc, g))
	case q.operation == "delete-group" && id == defaultGroup:
		return unprocessable("Validation Failed")
	case q.operation == "delete-group":
		sc.groups = slices.DeleteFunc(sc.groups, func(g Group) bool { return g.ID == id })
		for _, r := range s.in(sc.name, "") {
			if r.GroupID == id {
				r.GroupID = defaultGroup
			}
		}
		return noContent()
	}
	var names []*scope
	for _, name := range g.Repositories {
		if repository := s.scopes[strings.ToLower(name)]; repository != nil {
			names = append(names, repository)
		}
	}
	return s.page(q, "repositories", len(names), func(i int) any { return s.describeRepository(names[i], false) })
}

func (s *Server) createGroup(q request, sc *scope) response {
	var in struct {
		Name         string  `json:"name"`
		Visibility   string  `json:"visibility"`
		AllowsPublic bool    `json:"allows_public_repositories"`
		Repositories []int64 `json:"selected_repository_ids"`
	}
	if refused := decode(q, &in); refused.status != 0 {
		return refused
	}
	switch {
	case in.Name == "":
		return unprocessable("Invalid request.")
	case sc.groupNamed(in.Name) != nil:
		return refuse(http.StatusConflict, "Already exists")
	case !slices.Contains([]string{"", "all", "selected", "private"}, in.Visibility):
		return unprocessable("Invalid request.")
	}
	g := Group{ID: s.id(), Name: in.Name, Visibility: in.Visibility, AllowsPublic: in.AllowsPublic}
	if g.Visibility == "" {
		g.Visibility = "all"
	}
	for _, repository := range s.scopes {
		if slices.Contains(in.Repositories, repository.id) {
			g.Repositories = append(g.Repositories, repository.name)
		}
	}
	sc.groups = append(sc.groups, g)
	return response{status: http.StatusCreated, body: s.describeGroup(sc, &g)}
}

func (s *Server) describeGroup(sc *scope, g *Group) map[string]any {
	base := s.api("/orgs/", sc.name, "/actions/runner-groups/", strconv.FormatInt(g.ID, 10))
	described := map[string]any{"id": g.ID, "name": g.Name, "visibility": g.Visibility, "default": g.ID == defaultGroup,
		"runners_url": base + "/runners", "hosted_runners_url": base + "/hosted-runners", "allows_public_repositories": g.AllowsPublic,
		"is_hosted": false, "workflow_restrictions_read_only": false, "restricted_to_workflows": false, "selected_workflows": []any{}}
	if sc.kind == "organization" {
		described["inherited"] = false
		if g.Visibility == "selected" {
			described["selected_repositories_url"] = base + "/repositories"
		}
	}
	return described
}

// aboutPolicy is whether an organization's repositories may have runners of
// their own.
func (s *Server) aboutPolicy(q request, sc *scope) response {
	if sc.kind != "organization" {
		return notFound()
	}
	if q.operation == "get-runner-policy" {
		body := map[string]any{"enabled_repositories": sc.policy}
		if sc.policy == "selected" {
			body["selected_repositories_url"] = s.api("/orgs/", sc.name, "/actions/permissions/self-hosted-runners/repositories")
		}
		return ok(body)
	}
	var in struct {
		Enabled string `json:"enabled_repositories"`
	}
	if refused := decode(q, &in); refused.status != 0 {
		return refused
	}
	if !slices.Contains([]string{"all", "selected", "none"}, in.Enabled) {
		return unprocessable("Invalid request.")
	}
	sc.policy = in.Enabled
	return noContent()
}

// AddGroup makes a runner group and returns its id.
func (s *Server) AddGroup(owner string, g Group) int64 {
	s.change(func() {
		g.ID = s.id()
		if g.Visibility == "" {
			g.Visibility = "all"
		}
		o := s.scopes[strings.ToLower(owner)]
		o.groups = append(o.groups, g)
	})
	return g.ID
}
