package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

const (
	// soonExpires and soonDeprecated are when an end that is coming is worth a
	// warning.
	soonExpires    = 14 * 24 * time.Hour
	soonDeprecated = 30 * 24 * time.Hour
	// atOnce is how many repositories are asked for side by side.
	atOnce = 8
)

// checkGitHub asks who we are, then whether the target lets us in, and only then
// the rest: each would fail for the same reason.
func (r remote) checkGitHub(ctx context.Context) []finding {
	caller, findings, known := r.checkCaller(ctx)
	if !known {
		return append(findings, notChecked("the credentials have to be right first", append([]string{onTarget}, ofTarget...)...)...)
	}
	target := r.checkTarget(ctx)
	findings = append(findings, target)
	if target.Result == bad {
		return append(findings, notChecked("the target has to be right first", ofTarget...)...)
	}
	checks := []func(context.Context) []finding{timed(r.checkPolicy), timed(r.checkName), timed(r.checkVersion), timed(r.checkLimit),
		timed(func(ctx context.Context) []finding { return r.checkAccess(ctx, caller) })}
	return append(findings, sideways(ctx, checks)...)
}

// checkCaller asks who the credentials belong to.
func (r remote) checkCaller(ctx context.Context) (caller register.Caller, findings []finding, known bool) {
	ctx, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	caller, err := r.github.Caller(ctx)
	var refusal *register.Error
	switch {
	case errors.As(err, &refusal) && refusal.Status == http.StatusForbidden && r.config.Credentials.Kind == config.Token:
		// An installation's token is no user; whether it may register shows below.
		return caller, []finding{skip(onCredentials, "a token that is no user's: GitHub does not tell whose")}, true
	case err != nil:
		return caller, []finding{refused(onCredentials, err)}, false
	}
	return caller, []finding{judgeCaller(r.config.Target, caller, time.Now())}, true
}

// permissions are what a fine-grained token or an App needs for a target: GitHub's
// name in the API, and in its settings.
var permissions = map[config.TargetKind][2]string{
	config.Organization: {"organization_self_hosted_runners", `the organization permission "Self-hosted runners"`},
	config.Repository:   {"administration", `the repository permission "Administration"`},
}

// judgeCaller says who we are, whether that is enough as far as GitHub tells it,
// and how long it is good.
func judgeCaller(target config.Target, caller register.Caller, now time.Time) finding {
	detail := caller.Kind
	if caller.Login != "" {
		detail += " of " + caller.Login
	}
	switch need := permissions[target.Kind]; {
	case caller.Kind == "App":
		detail = "App " + caller.Login
		if caller.Permissions != nil && caller.Permissions[need[0]] != "write" {
			f := fail(onCredentials, detail+", whose installation may not write: it lacks "+need[1]+", read and write",
				"give the App that permission in its settings (Permissions & events), then accept the new permission in the installation's settings")
			f.code = exitCredentials
			return f
		}
	case caller.Kind == "classic token" && len(caller.Scopes) == 0:
		detail += " without any scope"
	case caller.Kind == "classic token":
		detail += " with the scopes " + quoted(caller.Scopes)
	default:
		detail += "; GitHub does not tell whether it may write, which shows at the first registration: needed is " + need[1] + ", read and write"
	}
	switch left := caller.Expires.Sub(now); {
	case caller.Expires.IsZero():
		return ok(onCredentials, "%s", detail)
	case left < soonExpires:
		return warn(onCredentials, fmt.Sprintf("%s, good for %s more", detail, age(left)),
			"make a new one before "+caller.Expires.UTC().Format("2 January 15:04 MST")+" and set GITHUB_TOKEN to it, or use a GitHub App, which does not expire")
	}
	return ok(onCredentials, "%s, good until %s", detail, caller.Expires.UTC().Format(time.DateOnly))
}

// checkTarget asks whether the target is there and lets us see its runners.
func (r remote) checkTarget(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	// The list of runners is the question that registering asks too, without its
	// effect: the first page is enough.
	for _, err := range r.github.Runners(ctx) {
		if err != nil {
			return refused(onTarget, err)
		}
		break
	}
	return ok(onTarget, "%s exists, and its runners can be listed", scope(r.config.Target))
}

// checkPolicy looks at which repositories may have runners of their own. It binds
// a repository's runners; those of an organization are bound by their group.
func (r remote) checkPolicy(ctx context.Context) []finding {
	if r.config.Target.Kind == config.Enterprise {
		return []finding{skip(onPolicy, "an enterprise's runners have none")}
	}
	policy, err := r.github.RunnerPolicy(ctx)
	why, hidden := "", false
	if err != nil {
		why, hidden = invisible(err)
	}
	switch {
	case errors.Is(err, register.ErrUnreachable):
		return []finding{refused(onPolicy, err)}
	case hidden:
		return []finding{skip(onPolicy, "%s", why)}
	case err != nil:
		return []finding{skip(onPolicy, "%v", err)}
	case r.config.Target.Kind == config.Organization:
		return []finding{ok(onPolicy, "repositories may have runners of their own: %s; the organization's serve those that the group admits", policy)}
	case policy == "none":
		return []finding{fail(onPolicy, "the organization lets no repository have runners of its own", "an owner can allow them under the organization's Settings, Actions, General; or set GITHUB_ORGANIZATION instead of GITHUB_REPOSITORY")}
	case policy == "selected":
		return []finding{ok(onPolicy, "the organization lets selected repositories have runners of their own: see there whether this is one")}
	}
	return []finding{ok(onPolicy, "all repositories may have runners of their own")}
}

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

// checkName looks for a runner of our name that lives.
func (r remote) checkName(ctx context.Context) []finding {
	if r.config.Credentials.Kind == config.JITConfig {
		return []finding{skip(onName, "not checked: RUNNER_JITCONFIG decides it")}
	}
	id, err := r.github.FindRunner(ctx, r.config.Name)
	if err != nil {
		return []finding{refused(onName, err)}
	}
	if id == 0 {
		return []finding{ok(onName, "%s is free", r.config.Name)}
	}
	state, err := r.github.RunnerState(ctx, id)
	if err != nil {
		return []finding{refused(onName, err)}
	}
	if state == "online" || state == "busy" {
		return []finding{warn(onName, fmt.Sprintf("a runner %s is %s now: unless it is this container's, a start here replaces it", r.config.Name, state), "set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random")}
	}
	return []finding{ok(onName, "%s is registered and offline: a start here takes its place", r.config.Name)}
}

// checkVersion compares the runner's version with the newest and with the dates
// on which GitHub refuses it.
func (r remote) checkVersion(ctx context.Context) []finding {
	version := runnerVersion(ctx, r.config.Home, r.environ)
	if version == "" {
		version = r.build.Runner
	}
	if version == "unknown" || version == "" {
		return []finding{skip(onVersion, "the official runner is not here: run this check in the container")}
	}
	var dates register.Deprecation
	var asked sync.WaitGroup
	// A server that does not tell the dates refuses nothing by them.
	asked.Go(func() { dates, _ = r.github.Deprecation(ctx, version) })
	downloads, err := r.github.Downloads(ctx)
	asked.Wait()
	if why, hidden := invisible(err); hidden {
		return []finding{skip(onVersion, "%s; which is the newest: %s", version, why)}
	}
	if err != nil {
		return []finding{refused(onVersion, err)}
	}
	newest := ""
	for _, d := range downloads {
		if d.OS == "linux" {
			newest = d.Version()
		}
	}
	return []finding{judgeVersion(version, newest, dates, r.config.DisableAutoUpdate, time.Now())}
}

// judgeVersion says how old a version is, and until when GitHub takes it.
func judgeVersion(version, newest string, dates register.Deprecation, pinned bool, now time.Time) finding {
	const rebuild = "rebuild the image with the newest RUNNER_VERSION (docker compose build --pull)"
	at := dates.Registration
	if at == nil || dates.Runtime != nil && dates.Runtime.Before(*at) {
		at = dates.Runtime
	}
	switch {
	case at == nil:
	case !now.Before(*at):
		return fail(onVersion, fmt.Sprintf("GitHub has refused the runner's version %s since %s; the newest is %s", version, at.UTC().Format(time.DateOnly), newest), rebuild)
	case at.Sub(now) < soonDeprecated:
		return warn(onVersion, fmt.Sprintf("GitHub refuses the runner's version %s from %s on; the newest is %s", version, at.UTC().Format(time.DateOnly), newest), rebuild)
	}
	far := distance(version, newest)
	switch {
	case newest == "":
		return ok(onVersion, "%s; GitHub does not tell the newest", version)
	case far == "":
		return ok(onVersion, "%s, the newest", version)
	case far == newer:
		return ok(onVersion, "%s; GitHub's newest is %s", version, newest)
	case pinned:
		return warn(onVersion, fmt.Sprintf("%s is %s the newest, %s, and DISABLE_AUTO_UPDATE is set: GitHub gives 30 days", version, far, newest), rebuild)
	}
	return warn(onVersion, fmt.Sprintf("%s is %s the newest, %s: each container updates itself before its first job", version, far, newest), rebuild)
}

// newer is a distance on the other side.
const newer = "newer than"

// distance says how far a version is behind the newest: "2 versions behind", "" if
// it is the same, newer if it is that. The official runner is numbered by its
// minor version (2.335.0, 2.336.0); one that is only an older patch is one behind.
func distance(ours, newest string) string {
	numbers := func(version string) (n [3]int) {
		for i, part := range strings.SplitN(version, ".", 3) {
			n[i], _ = strconv.Atoi(part)
		}
		return n
	}
	a, b := numbers(ours), numbers(newest)
	switch order := slices.Compare(a[:], b[:]); {
	case order == 0:
		return ""
	case order > 0:
		return newer
	case a[0] != b[0]:
		return "a major version behind"
	}
	return plural(max(b[1]-a[1], 1), "version") + " behind"
}

// checkLimit looks at what is left of the hour's requests.
func (r remote) checkLimit(ctx context.Context) []finding {
	limit, err := r.github.RateLimit(ctx)
	if err != nil {
		return []finding{skip(onRateLimit, "this server tells none")}
	}
	return []finding{judgeLimit(limit)}
}

// judgeLimit warns when less than a tenth is left. A server without limits tells
// zero of zero.
func judgeLimit(limit register.RateLimit) finding {
	switch {
	case limit.Limit == 0:
		return skip(onRateLimit, "this server tells none")
	case limit.Remaining*10 < limit.Limit:
		return warn(onRateLimit, fmt.Sprintf("%d of %d requests are left until %s", limit.Remaining, limit.Limit, limit.Reset.UTC().Format("15:04:05 MST")), "give this fleet credentials of its own: limits are counted for each user and each App")
	}
	return ok(onRateLimit, "%d of %d requests left", limit.Remaining, limit.Limit)
}
