package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

const (
	// soon is when an end that is coming is worth a warning.
	soonExpires    = 14 * 24 * time.Hour
	soonDeprecated = 30 * 24 * time.Hour
	// skewDoubt is how wrong a clock may be; an App's token is dated back by a
	// minute, which is as far ahead as a clock can be with one.
	skewDoubt = 30 * time.Second
	skewOfApp = time.Minute
)

// checkGitHub asks who we are, and only if GitHub knows us the rest.
func (r remote) checkGitHub(ctx context.Context) []finding {
	findings, known := r.checkCaller(ctx)
	if !known {
		return append(findings, skip("GitHub", "not checked: it has to know us first"))
	}
	checks := []func(context.Context) []finding{timed(r.checkTarget), timed(r.checkGroup), timed(r.checkRepositories), timed(r.checkName), timed(r.checkVersion), timed(r.checkLimit)}
	return append(findings, sideways(ctx, checks)...)
}

// checkCaller asks who the credentials belong to, and looks at GitHub's clock.
func (r remote) checkCaller(ctx context.Context) (findings []finding, known bool) {
	ctx, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	caller, err := r.github.Caller(ctx)
	var refusal *register.Error
	switch {
	case errors.As(err, &refusal) && refusal.Status == http.StatusForbidden && r.config.Credentials.Kind == config.Token:
		// An installation's token is no user; whether it may register shows below.
		return []finding{skip("credentials", "a token that is no user's: GitHub does not tell whose")}, true
	case err != nil:
		return []finding{refused("credentials", err)}, false
	}
	detail := caller.Kind
	if caller.Login != "" {
		detail += " of " + caller.Login
	}
	if len(caller.Scopes) > 0 {
		detail += " with the scopes " + quoted(caller.Scopes)
	}
	switch left := time.Until(caller.Expires); {
	case caller.Expires.IsZero():
		findings = append(findings, ok("credentials", "%s", detail))
	case left < soonExpires:
		findings = append(findings, warn("credentials", fmt.Sprintf("%s, good for %s more", detail, age(left)), "make a new one before "+caller.Expires.UTC().Format("2 January 15:04 MST")+" and set GITHUB_TOKEN to it, or use a GitHub App, which does not expire"))
	default:
		findings = append(findings, ok("credentials", "%s, good until %s", detail, caller.Expires.UTC().Format(time.DateOnly)))
	}
	skew, direction := caller.ClockSkew.Abs().Round(time.Second), "ahead of"
	if caller.ClockSkew < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("this machine's is %s %s GitHub's", skew, direction)
	switch {
	case r.config.Credentials.Kind == config.App && skew > skewOfApp:
		findings = append(findings, fail("clock", text+", and an App's tokens are dated by it", "set the clock (NTP)"))
	case skew > skewDoubt:
		findings = append(findings, warn("clock", text, "set the clock (NTP): certificates and logs depend on it"))
	default:
		findings = append(findings, ok("clock", "as GitHub's"))
	}
	return findings, true
}

// checkTarget asks whether the target is there, may have runners, and lets us
// manage them.
func (r remote) checkTarget(ctx context.Context) []finding {
	what := scope(r.config.Target).String()
	// The list of runners is the question that registering asks too, without its
	// effect: the first page is enough.
	for _, err := range r.github.Runners(ctx) {
		if err != nil {
			return []finding{refused(what, err)}
		}
		break
	}
	findings := []finding{ok(what, "exists, and its runners can be listed")}
	if r.config.Target.Kind != config.Organization {
		return findings
	}
	policy, err := r.github.RunnerPolicy(ctx)
	switch {
	case err != nil:
		return append(findings, skip("policy", "whether its repositories may have runners of their own is not told to these credentials"))
	case policy == "none":
		return append(findings, warn("policy", "the organization allows self-hosted runners for none of its repositories", "allow them under Settings, Actions, General, Self-hosted runners"))
	}
	return append(findings, ok("policy", "self-hosted runners are allowed for %s repositories", policy))
}

// checkGroup looks for the runner group and whom it admits.
func (r remote) checkGroup(ctx context.Context) []finding {
	c := r.config
	if c.Target.Kind == config.Repository {
		return []finding{skip("group", "a repository has none")}
	}
	groups, err := r.github.Groups(ctx)
	if err != nil {
		return []finding{refused("group", err)}
	}
	var names []string
	var group *register.Group
	for i, g := range groups {
		names = append(names, g.Name)
		if strings.EqualFold(g.Name, c.Group) {
			group = &groups[i]
		}
	}
	if group == nil {
		return []finding{fail("group", fmt.Sprintf("%s has no runner group %q", scope(c.Target), c.Group), "set RUNNER_GROUP to one that exists ("+quoted(names)+"), or create it under Settings, Actions, Runner groups")}
	}
	var findings []finding
	if group.AllowsPublic {
		findings = append(findings, warn("group", fmt.Sprintf("%s admits public repositories: whoever can open a pull request there may run code here", group.Name), "take that away in the group's settings, or name the repositories in ALLOWED_REPOSITORIES"))
	}
	if group.Visibility != "selected" || c.Target.Kind != config.Organization {
		return append(findings, ok("group", "%s admits %s repositories", group.Name, group.Visibility))
	}
	admitted, err := r.github.GroupRepositories(ctx, group.ID)
	if err != nil {
		return append(findings, refused("group", err))
	}
	var full []string
	for _, repository := range admitted {
		full = append(full, repository.FullName)
	}
	findings = append(findings, ok("group", "%s admits %s", group.Name, plural(len(full), "repository")))
	rules := c.AllowedRepositories.Rules()
	if len(rules) == 0 {
		return findings
	}
	var outside, refusedHere []string
	for _, rule := range rules {
		if !strings.Contains(rule, "*") && !slices.ContainsFunc(full, func(name string) bool { return strings.EqualFold(name, rule) }) {
			outside = append(outside, rule)
		}
	}
	for _, name := range full {
		if !c.AllowedRepositories.Allows(name) {
			refusedHere = append(refusedHere, name)
		}
	}
	if len(outside) > 0 {
		findings = append(findings, warn("group", quoted(outside)+" of ALLOWED_REPOSITORIES is not admitted by the group "+group.Name, "add it in the group's settings, or its jobs will wait for ever"))
	}
	if len(refusedHere) > 0 {
		findings = append(findings, warn("group", quoted(refusedHere)+" is admitted by the group "+group.Name+", but not in ALLOWED_REPOSITORIES", "its jobs will come here and fail: add it to ALLOWED_REPOSITORIES, or take it out of the group"))
	}
	return findings
}

// checkRepositories asks for each repository that is allowed.
func (r remote) checkRepositories(ctx context.Context) []finding {
	rules := r.config.AllowedRepositories.Rules()
	if len(rules) == 0 {
		return []finding{ok("repositories", "all that the group admits")}
	}
	var findings []finding
	var reached, patterns []string
	for _, rule := range rules {
		if strings.Contains(rule, "*") {
			patterns = append(patterns, rule)
			continue
		}
		_, err := r.github.Repository(ctx, rule)
		switch {
		case errors.Is(err, register.ErrNotFound):
			findings = append(findings, warn("repositories", rule+" does not exist, or the credentials cannot see it", "check its spelling in ALLOWED_REPOSITORIES"))
		case err != nil:
			return append(findings, refused("repositories", err))
		default:
			reached = append(reached, rule)
		}
	}
	if len(patterns) > 0 && r.config.Target.Kind == config.Organization {
		matched := map[string]bool{}
		for repository, err := range r.github.Repositories(ctx) {
			if err != nil {
				return append(findings, refused("repositories", err))
			}
			for _, pattern := range patterns {
				if one := (config.AllowOnly(pattern)); one.Allows(repository.FullName) {
					matched[pattern] = true
				}
			}
		}
		for _, pattern := range patterns {
			if !matched[pattern] {
				findings = append(findings, warn("repositories", pattern+" of ALLOWED_REPOSITORIES fits no repository that the credentials can see", "check its spelling"))
			} else {
				reached = append(reached, pattern)
			}
		}
	}
	if len(reached) > 0 {
		findings = append([]finding{ok("repositories", "%s", quoted(reached))}, findings...)
	}
	return findings
}

// checkName looks for a runner of our name that lives.
func (r remote) checkName(ctx context.Context) []finding {
	id, err := r.github.FindRunner(ctx, r.config.Name)
	if err != nil {
		return []finding{refused("name", err)}
	}
	if id == 0 {
		return []finding{ok("name", "%s is free", r.config.Name)}
	}
	state, err := r.github.RunnerState(ctx, id)
	if err != nil {
		return []finding{refused("name", err)}
	}
	if state == "online" || state == "busy" {
		return []finding{warn("name", fmt.Sprintf("a runner %s is %s now: unless it is this container's, a start here replaces it", r.config.Name, state), "set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random")}
	}
	return []finding{ok("name", "%s is registered and offline: a start here takes its place", r.config.Name)}
}

// checkVersion compares the runner's version with the newest and with the dates
// on which GitHub refuses it.
func (r remote) checkVersion(ctx context.Context) []finding {
	version := runnerVersion(ctx, r.config.Home, r.environ)
	if version == "" {
		version = r.build.Runner
	}
	if version == "unknown" || version == "" {
		return []finding{skip("version", "the official runner is not here: run this check in the container")}
	}
	downloads, err := r.github.Downloads(ctx)
	if err != nil {
		return []finding{refused("version", err)}
	}
	newest := ""
	for _, d := range downloads {
		if d.OS == "linux" {
			newest = d.Version()
		}
	}
	const rebuild = "rebuild the image with the newest RUNNER_VERSION (docker compose build --pull)"
	if d, err := r.github.Deprecation(ctx, version); err == nil {
		at := d.Registration
		if at == nil || d.Runtime != nil && d.Runtime.Before(*at) {
			at = d.Runtime
		}
		switch {
		case at == nil:
		case time.Now().After(*at):
			return []finding{fail("version", fmt.Sprintf("GitHub has refused the runner's version %s since %s; the newest is %s", version, at.Format(time.DateOnly), newest), rebuild)}
		case time.Until(*at) < soonDeprecated:
			return []finding{warn("version", fmt.Sprintf("GitHub refuses the runner's version %s from %s on; the newest is %s", version, at.Format(time.DateOnly), newest), rebuild)}
		}
	}
	switch behind := versionsBehind(version, newest); {
	case newest == "" || behind == 0:
		return []finding{ok("version", "%s, the newest", version)}
	case behind < 0:
		return []finding{ok("version", "%s; GitHub's newest is %s", version, newest)}
	case r.config.DisableAutoUpdate:
		return []finding{warn("version", fmt.Sprintf("%s is %s behind the newest, %s, and DISABLE_AUTO_UPDATE is set: GitHub gives 30 days", version, plural(behind, "version"), newest), rebuild)}
	default:
		return []finding{warn("version", fmt.Sprintf("%s is %s behind the newest, %s: each container updates itself before its first job", version, plural(behind, "version"), newest), rebuild)}
	}
}

// versionsBehind counts minor versions, which is how the official runner is
// numbered (2.335.0, 2.336.0); one at least when only the patch is older.
func versionsBehind(ours, newest string) int {
	numbers := func(version string) (n [3]int) {
		for i, part := range strings.SplitN(version, ".", 3) {
			n[i], _ = strconv.Atoi(part)
		}
		return n
	}
	a, b := numbers(ours), numbers(newest)
	switch {
	case a[0] != b[0]:
		return (b[0] - a[0]) * 1000
	case a[1] != b[1]:
		return b[1] - a[1]
	case a[2] < b[2]:
		return 1
	case a[2] > b[2]:
		return -1
	}
	return 0
}

// checkLimit looks at what is left of the hour's requests.
func (r remote) checkLimit(ctx context.Context) []finding {
	limit, err := r.github.RateLimit(ctx)
	switch {
	case err != nil:
		return []finding{skip("rate limit", "this server tells none")}
	case limit.Remaining*10 < limit.Limit:
		return []finding{warn("rate limit", fmt.Sprintf("%d of %d requests are left until %s", limit.Remaining, limit.Limit, limit.Reset.Format(time.TimeOnly)), "give this fleet credentials of its own: limits are counted for each user and each App")}
	}
	return []finding{ok("rate limit", "%d of %d requests left", limit.Remaining, limit.Limit)}
}
