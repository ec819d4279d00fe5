package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

const (
	longestName = 64 // GitHub's bound, in characters

	busyWatchdog = 30 * time.Second // below, a fleet of 40 runners uses up a token's requests
)

// runner reads what makes the runner.
func (p *parser) runner() {
	r, c := &p.raw, &p.config
	c.Ephemeral = p.boolean("EPHEMERAL", r.Ephemeral)
	c.DisableAutoUpdate = p.boolean("DISABLE_AUTO_UPDATE", r.DisableAutoUpdate)
	c.NoDefaultLabels = p.boolean("NO_DEFAULT_LABELS", r.NoDefaultLabels)
	c.Registration = Registration(p.oneOf("RUNNER_REGISTRATION", r.Registration, string(ByConfig), string(JIT)))
	p.registration()
	p.name()
	p.labels()
	p.folders()
	p.allowed()

	c.Group, c.User = r.Group, r.User
	if strings.ContainsFunc(c.Group, isControl) {
		p.problem("RUNNER_GROUP", "is "+quote(c.Group), "set it to the group's name, as the organization's settings show it")
	}
	if strings.ContainsFunc(c.User, func(r rune) bool { return isControl(r) || strings.ContainsRune(" :/", r) }) {
		p.problem("RUNNER_USER", "is "+quote(c.User)+", which is no user's name", "set it to the name of a user of the image, as in runner")
	}
}

// registration checks what goes together with a JIT configuration.
func (p *parser) registration() {
	c := &p.config
	ready := c.Credentials.Kind == JITConfig
	if ready && p.set["RUNNER_REGISTRATION"] != "" && c.Registration == ByConfig {
		p.problem("RUNNER_REGISTRATION", "is config, but RUNNER_JITCONFIG is given", "remove RUNNER_REGISTRATION, or give GITHUB_TOKEN instead of RUNNER_JITCONFIG")
		return
	}
	if ready {
		c.Registration = JIT
	}
	if c.Registration != JIT {
		return
	}
	if c.Credentials.Kind == RegistrationToken {
		p.problem("RUNNER_TOKEN", "is given with RUNNER_REGISTRATION=jit", "use RUNNER_REGISTRATION=config, or give GITHUB_TOKEN: a JIT configuration is requested from the API")
	}
	if !c.Ephemeral {
		p.problem("EPHEMERAL", "is false, but a runner with a JIT configuration is always ephemeral", "remove EPHEMERAL, or set RUNNER_REGISTRATION=config")
	}
}

// name puts the name and its suffix together.
func (p *parser) name() {
	c := &p.config
	c.NameBase = p.raw.Name
	if !isName(c.NameBase) {
		p.problem("RUNNER_NAME", "is "+quote(c.NameBase), "use letters, digits, -, _ and . only")
		return
	}
	suffix := ""
	switch p.oneOf("RUNNER_NAME_SUFFIX", p.raw.NameSuffix, "hostname", "random", "none") {
	case "hostname":
		if !isName(p.machine.Hostname) {
			p.problem("RUNNER_NAME_SUFFIX", "is hostname, but this machine's is "+quote(p.machine.Hostname), "set it to random")
			return
		}
		suffix = "-" + shorten(p.machine.Hostname, longestName-len(c.NameBase)-1)
	case "random":
		suffix = "-" + p.machine.Random()
	case "none":
		c.NameFixed = true
	}
	c.Name = c.NameBase + suffix
	if over := len(c.Name) - longestName; over > 0 {
		p.problem("RUNNER_NAME", fmt.Sprintf("is %s, which makes %d characters with its suffix %s", quote(c.NameBase), len(c.Name), quote(suffix)),
			fmt.Sprintf("shorten it by %d: GitHub takes %d", over, longestName))
	}
}

// shorten makes a hostname fit: its beginning, and eight characters that stand
// for all of it. A Pod's can have 63 characters of which the last ones matter,
// and a container that starts again must find the same name.
func shorten(hostname string, room int) string {
	const stand = 8
	if len(hostname) <= room || len(hostname) <= stand {
		return hostname
	}
	sum := sha256.Sum256([]byte(hostname))
	tag := hex.EncodeToString(sum[:stand/2])
	if room < stand+2 {
		return tag
	}
	return strings.TrimRight(hostname[:room-stand-1], "-_.") + "-" + tag
}

// folders reads RUNNER_HOME and RUNNER_WORKDIR. What jobs leave in the latter is
// removed, so it must not hold the runner itself.
func (p *parser) folders() {
	c := &p.config
	c.Home, c.WorkDir = filepath.Clean(p.raw.Home), p.raw.WorkDir
	if !filepath.IsAbs(c.Home) || c.Home == "/" || strings.ContainsFunc(c.Home, isControl) {
		p.problem("RUNNER_HOME", "is "+quote(p.raw.Home)+", which is not the absolute path of a folder", "set it to the folder of config.sh, as in /home/runner")
		return
	}
	work := c.WorkDir
	if !filepath.IsAbs(work) {
		work = filepath.Join(c.Home, work)
		if !strings.HasPrefix(work, c.Home+"/") {
			work = "/" // it leaves the runner's folder
		}
	}
	if strings.HasPrefix(c.Home+"/", strings.TrimSuffix(filepath.Clean(work), "/")+"/") || strings.ContainsFunc(work, isControl) {
		p.problem("RUNNER_WORKDIR", "is "+quote(c.WorkDir)+", which is no folder of its own", "set it to a folder below RUNNER_HOME, as in _work, or to an absolute one: it is emptied between jobs")
	}
}

// allowed reads ALLOWED_REPOSITORIES. A list without rules would allow all, so
// there must be one where the variable is set.
func (p *parser) allowed() {
	if p.raw.AllowedRepositories == "" {
		return
	}
	const example = "write repositories with commas between them, as in acme/coach,acme/tool-*"
	owner := ""
	if kind := p.config.Target.Kind; kind == Organization || kind == Repository {
		owner, _, _ = strings.Cut(p.config.Target.Name, "/")
	}
	list, bad := parseAllowList(p.raw.AllowedRepositories, owner)
	for _, rule := range bad {
		if owner == "" && isPattern(rule) {
			p.problem("ALLOWED_REPOSITORIES", "has "+quote(rule)+" without an owner, and GITHUB_ORGANIZATION does not tell it", "write OWNER/"+rule)
			continue
		}
		p.problem("ALLOWED_REPOSITORIES", "has "+quote(rule)+", which is neither a name nor owner/name", example)
	}
	if len(list.rules) == 0 && len(bad) == 0 {
		p.problem("ALLOWED_REPOSITORIES", "names no repository", example+", or remove it to allow all")
	}
	p.config.AllowedRepositories = list
}

// life reads what makes its life.
func (p *parser) life() {
	r, c := &p.raw, &p.config
	c.RegisterTimeout = p.duration("RUNNER_REGISTER_TIMEOUT", r.RegisterTimeout, 10*time.Second, 24*time.Hour, false)
	c.StopGrace = p.duration("RUNNER_STOP_GRACE", r.StopGrace, time.Second, 6*time.Hour, false)
	c.Watchdog = p.duration("RUNNER_WATCHDOG", r.Watchdog, time.Second, 24*time.Hour, true)
	c.PruneAge = p.duration("RUNNER_PRUNE_AGE", r.PruneAge, time.Second, 24*time.Hour, false)
	c.OnReuse = p.oneOf("RUNNER_ON_REUSE", r.OnReuse, "reset", "refuse")
	c.LogLevel = p.oneOf("LOG_LEVEL", r.LogLevel, "trace", "debug", "info", "warn", "error")
	c.LogFormat = p.oneOf("LOG_FORMAT", r.LogFormat, "console", "json")
	c.Records, c.MetricsAddr = r.Records, r.MetricsAddr
	if r.Records != "" && !filepath.IsAbs(r.Records) {
		p.problem("RUNNER_RECORDS", "is "+quote(r.Records)+", which is no absolute path", "set it to a file on a volume, as in /var/lib/org-runner/jobs.jsonl")
	}
	if r.MetricsAddr != "" {
		if _, port, err := net.SplitHostPort(r.MetricsAddr); err != nil || port == "" {
			p.problem("METRICS_ADDR", "is "+quote(r.MetricsAddr)+", which is no address with a port", "write it as in :9100 or 127.0.0.1:9100")
		}
	}
}

// withoutEffect warns of what is set and changes nothing.
func (p *parser) withoutEffect() {
	c := &p.config
	warn := func(reason string, variables ...string) {
		for _, name := range variables {
			if p.set[name] != "" {
				p.warn("%s has no effect: %s", name, reason)
			}
		}
	}
	switch {
	case c.Credentials.Kind == JITConfig:
		warn("RUNNER_JITCONFIG decides it", "RUNNER_NAME", "RUNNER_NAME_SUFFIX", "RUNNER_GROUP", "LABELS", "NO_DEFAULT_LABELS", "DISABLE_AUTO_UPDATE")
	case c.Target.Kind == Repository:
		warn("runner groups belong to organizations and enterprises, and GITHUB_REPOSITORY is set", "RUNNER_GROUP")
	}
	if c.Credentials.Kind == JITConfig || c.Credentials.Kind == RegistrationToken {
		warn("GitHub can be asked with GITHUB_TOKEN or an App only", "RUNNER_WATCHDOG")
	}
	if c.Registration == JIT && c.Credentials.Kind != JITConfig {
		warn("with RUNNER_REGISTRATION=jit GitHub decides it", "DISABLE_AUTO_UPDATE")
	}
	if c.Watchdog > 0 && c.Watchdog < busyWatchdog {
		p.warn("RUNNER_WATCHDOG is %s: GitHub takes 5000 requests in an hour of one user, for all runners together", short(c.Watchdog))
	}
}
