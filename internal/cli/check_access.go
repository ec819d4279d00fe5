package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

// atOnce is how many repositories are asked for side by side.
const atOnce = 8

// circle is the repositories that a runner will be asked for: those that its
// group admits, and those of ALLOWED_REPOSITORIES.
type circle struct {
	allowed config.AllowList
	owner   string // of an organization; "": any
	blind   bool   // the credentials do not see private repositories

	groups   []string // all, by name
	group    *register.Group
	admitted []register.RepositoryInfo // of a group with the visibility selected

	known   []register.RepositoryInfo // that ALLOWED_REPOSITORIES names or matches
	missing []string                  // rules that name or match nothing

	groupErr, repositoriesErr error
}

// checkAccess looks at the runner group and at ALLOWED_REPOSITORIES, and holds
// them against each other.
func (r remote) checkAccess(ctx context.Context, caller register.Caller) []finding {
	c := circle{allowed: r.config.AllowedRepositories}
	c.blind = caller.Kind == "classic token" && !slices.Contains(caller.Scopes, "repo")
	if r.config.Target.Kind == config.Organization {
		c.owner = r.config.Target.Name
	}
	var both sync.WaitGroup
	both.Go(func() { r.lookAtGroup(ctx, &c) })
	both.Go(func() { r.lookAtRepositories(ctx, &c) })
	both.Wait()
	c.findAdmitted()
	findings := []finding{skip(onGroup, "a repository has none")}
	if r.config.Target.Kind != config.Repository {
		findings = c.judgeGroup(r.config.Group, scope(r.config.Target).String())
	}
	return append(findings, c.judgeRepositories()...)
}

func (r remote) lookAtGroup(ctx context.Context, c *circle) {
	if r.config.Target.Kind == config.Repository {
		return
	}
	groups, err := r.github.Groups(ctx)
	if err != nil {
		c.groupErr = err
		return
	}
	for i, g := range groups {
		c.groups = append(c.groups, g.Name)
		if strings.EqualFold(g.Name, r.config.Group) {
			c.group = &groups[i]
		}
	}
	if c.group != nil && c.group.Visibility == "selected" && r.config.Target.Kind == config.Organization {
		c.admitted, c.groupErr = r.github.GroupRepositories(ctx, c.group.ID)
	}
}

// lookAtRepositories asks for each repository that ALLOWED_REPOSITORIES names,
// some at once, and looks for those that it matches.
func (r remote) lookAtRepositories(ctx context.Context, c *circle) {
	var mu sync.Mutex
	var patterns []string
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for _, rule := range c.allowed.Rules() {
		if strings.Contains(rule, "*") {
			patterns = append(patterns, rule)
			continue
		}
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			repository, err := r.github.Repository(ctx, rule)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, register.ErrNotFound):
				c.missing = append(c.missing, rule)
			case err != nil:
				c.repositoriesErr = err
			default:
				c.known = append(c.known, repository)
			}
		})
	}
	matched, err := r.matching(ctx, patterns)
	all.Wait()
	if err != nil {
		c.repositoriesErr = err
		return
	}
	for _, pattern := range patterns {
		one := config.AllowOnly(pattern)
		if !slices.ContainsFunc(matched, func(repository register.RepositoryInfo) bool { return one.Allows(repository.FullName) }) {
			c.missing = append(c.missing, pattern)
		}
	}
	for _, repository := range matched {
		if !slices.ContainsFunc(c.known, func(other register.RepositoryInfo) bool { return other.ID == repository.ID }) {
			c.known = append(c.known, repository)
		}
	}
	byName := func(a, b register.RepositoryInfo) int { return strings.Compare(a.FullName, b.FullName) }
	sortBy(c.known, byName)
	slices.Sort(c.missing)
}

// matching lists the organization's repositories that fit one of the patterns.
func (r remote) matching(ctx context.Context, patterns []string) (found []register.RepositoryInfo, _ error) {
	if len(patterns) == 0 || r.config.Target.Kind != config.Organization {
		return nil, nil
	}
	for repository, err := range r.github.Repositories(ctx) {
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(patterns, func(pattern string) bool { return config.AllowOnly(pattern).Allows(repository.FullName) }) {
			found = append(found, repository)
		}
	}
	return found, nil
}

// findAdmitted takes for known what the group admits: a token that may manage
// runners can see it there without seeing the repository itself.
func (c *circle) findAdmitted() {
	c.missing = slices.DeleteFunc(c.missing, func(rule string) bool {
		one, found := config.AllowOnly(rule), false
		for _, repository := range c.admitted {
			if one.Allows(repository.FullName) {
				found = true
				c.known = append(c.known, repository)
			}
		}
		return found
	})
}

// named are the full names of those repositories that a condition holds for.
func named(repositories []register.RepositoryInfo, holds func(register.RepositoryInfo) bool) (full []string) {
	for _, repository := range repositories {
		if holds(repository) {
			full = append(full, repository.FullName)
		}
	}
	return full
}

// judgeGroup says whether the group is there, and who on either side will wait
// for ever or be refused.
func (c *circle) judgeGroup(name, target string) []finding {
	if c.groupErr != nil {
		if why, hidden := invisible(c.groupErr); hidden {
			return []finding{skip(onGroup, "%s", why)}
		}
		return []finding{refused(onGroup, c.groupErr)}
	}
	if c.group == nil {
		return []finding{fail(onGroup, fmt.Sprintf("%s has no runner group %q", target, name), "set RUNNER_GROUP to one that exists ("+quoted(c.groups)+"), or create it under Settings, Actions, Runner groups")}
	}
	g, rules := c.group, len(c.allowed.Rules()) > 0
	selected := g.Visibility == "selected" && c.owner != ""
	findings := []finding{ok(onGroup, "%s admits %s repositories", g.Name, g.Visibility)}
	if selected {
		findings = []finding{ok(onGroup, "%s admits %s", g.Name, plural(len(c.admitted), "repository"))}
	}
	if selected && len(c.admitted) == 0 {
		findings = []finding{warn(onGroup, g.Name+" admits no repository: its runners will get no job", "add repositories in the group's settings")}
	}
	findings = append(findings, c.judgePublic(selected)...)
	if !rules || !selected {
		return findings
	}
	outside := named(c.known, func(repository register.RepositoryInfo) bool {
		return !slices.ContainsFunc(c.admitted, func(other register.RepositoryInfo) bool {
			return strings.EqualFold(other.FullName, repository.FullName)
		})
	})
	refusedHere := named(c.admitted, func(repository register.RepositoryInfo) bool { return !c.allowed.Allows(repository.FullName) })
	if len(outside) > 0 {
		findings = append(findings, warn(onGroup, quoted(outside)+" of ALLOWED_REPOSITORIES is not admitted by the group "+g.Name,
			"add it in the group's settings, or its jobs will wait for ever; or take it out of ALLOWED_REPOSITORIES"))
	}
	if len(refusedHere) > 0 {
		findings = append(findings, warn(onGroup, quoted(refusedHere)+" is admitted by the group "+g.Name+", but not in ALLOWED_REPOSITORIES",
			"its jobs will come here and fail: add it to ALLOWED_REPOSITORIES, or take it out of the group"))
	}
	return findings
}

// judgePublic warns of public repositories: those that the group admits let
// strangers run code here, and those that it does not will wait for ever.
func (c *circle) judgePublic(selected bool) []finding {
	isPublic := func(repository register.RepositoryInfo) bool { return !repository.Private }
	served := c.known // what runs here in the end, as far as that is known
	if len(c.allowed.Rules()) == 0 {
		served = c.admitted
	}
	public := named(served, isPublic)
	switch {
	case c.group.AllowsPublic && len(public) > 0:
		return []finding{warn(onGroup, c.group.Name+" admits public repositories, and "+quoted(public)+" is one: whoever can open a pull request there may run code here",
			"make it private, or take it out of ALLOWED_REPOSITORIES or of the group")}
	case c.group.AllowsPublic && !selected && len(c.allowed.Rules()) == 0 && c.group.Visibility != "private":
		return []finding{warn(onGroup, c.group.Name+" admits public repositories: whoever can open a pull request there may run code here",
			"take that away in the group's settings, or name the private ones in ALLOWED_REPOSITORIES")}
	case !c.group.AllowsPublic && len(public) > 0:
		return []finding{warn(onGroup, quoted(public)+" is public, and the group "+c.group.Name+" admits no public repositories: its jobs will wait for ever",
			"make it private, or take it out of ALLOWED_REPOSITORIES and of the group")}
	}
	return nil
}

// judgeRepositories says which of ALLOWED_REPOSITORIES are there.
func (c *circle) judgeRepositories() []finding {
	if len(c.allowed.Rules()) == 0 {
		return []finding{ok(onRepositories, "all that may use these runners")}
	}
	var findings []finding
	if reached := named(c.known, func(register.RepositoryInfo) bool { return true }); len(reached) > 0 {
		findings = append(findings, ok(onRepositories, "%s", quoted(reached)))
	}
	if c.repositoriesErr != nil {
		if why, hidden := invisible(c.repositoriesErr); hidden {
			return append(findings, skip(onRepositories, "not all could be looked at: %s", why))
		}
		return append(findings, refused(onRepositories, c.repositoriesErr))
	}
	for _, rule := range c.missing {
		owner, _, _ := strings.Cut(rule, "/")
		switch {
		case c.owner != "" && !strings.Contains(owner, "*") && !strings.EqualFold(owner, c.owner):
			findings = append(findings, warn(onRepositories, rule+" does not belong to "+c.owner+": its jobs do not come here", "write "+c.owner+"/NAME, or the name alone, in ALLOWED_REPOSITORIES"))
		case c.blind:
			findings = append(findings, skip(onRepositories, "%s is not to be seen: private repositories show with the scope repo", rule))
		case strings.Contains(rule, "*") && c.owner == "":
			findings = append(findings, skip(onRepositories, "%s: what it matches can be looked up for an organization only", rule))
		case strings.Contains(rule, "*"):
			findings = append(findings, warn(onRepositories, rule+" of ALLOWED_REPOSITORIES fits no repository that the credentials can see", "check its spelling in ALLOWED_REPOSITORIES"))
		default:
			findings = append(findings, warn(onRepositories, rule+" does not exist, or the credentials cannot see it", "check its spelling in ALLOWED_REPOSITORIES, and that the token or App covers it"))
		}
	}
	return findings
}
