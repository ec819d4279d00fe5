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

// checkName looks for a runner of our name that lives.
func (r remote) checkName(ctx context.Context) []finding {
	if r.config.Credentials.Kind == config.JITConfig {
		return []finding{skip(onName, "not checked: RUNNER_JITCONFIG decides it")}
	}
	id, state, err := r.github.FindRunner(ctx, r.config.Name)
	if err != nil {
		return []finding{refused(onName, err)}
	}
	if id == 0 {
		return []finding{ok(onName, "%s is free", r.config.Name)}
	}
	if state == "online" || state == "busy" {
		otherwise := "takes another name"
		if r.config.NameFixed {
			otherwise = "ends with exit code 78"
		}
		return []finding{warn(onName, fmt.Sprintf("a runner %s is %s now: unless it is this container's, a start here %s", r.config.Name, state, otherwise), "set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random")}
	}
	return []finding{ok(onName, "%s is registered and offline: a start here takes its place", r.config.Name)}
}

// checkVersion compares the runner's version with the newest and with the dates
// on which GitHub refuses it.
func (r remote) checkVersion(ctx context.Context) []finding {
	version := runnerVersion(ctx, r.config.Home, r.config.Environ)
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
	at := dates.First()
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
