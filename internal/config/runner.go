package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	longestName  = 64  // GitHub's bound, in characters
	longestLabel = 256 // the official runner's, in characters (Validators.cs)
	mostLabels   = 100 // GitHub's, for one runner
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

	c.Group = strings.TrimSpace(r.Group)
	if strings.ContainsFunc(c.Group, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		p.problem("RUNNER_GROUP", "is "+quote(r.Group), "set it to the group's name, as the organization's settings show it")
	}
	c.Home, c.WorkDir, c.User = r.Home, r.WorkDir, r.User
	if !filepath.IsAbs(c.Home) {
		p.problem("RUNNER_HOME", "is "+quote(c.Home)+", which is not absolute", "set it to the folder of config.sh, as in /home/runner")
	}
	c.Home = filepath.Clean(c.Home)
	if work := filepath.Clean(c.WorkDir); work == "." || work == "/" || work == ".." || strings.HasPrefix(work, "../") || work == c.Home {
		p.problem("RUNNER_WORKDIR", "is "+quote(c.WorkDir)+", which is no folder of its own", "set it to a folder below RUNNER_HOME, as in _work, or an absolute one: it is emptied between jobs")
	}
	p.allowed()
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
	if p.set["EPHEMERAL"] != "" && !c.Ephemeral {
		p.problem("EPHEMERAL", "is false, but a runner with a JIT configuration is always ephemeral", "remove EPHEMERAL, or set RUNNER_REGISTRATION=config")
	}
}

// name puts the name and its suffix together.
func (p *parser) name() {
	c := &p.config
	c.NameBase = p.raw.Name
	kind := p.oneOf("RUNNER_NAME_SUFFIX", p.raw.NameSuffix, "hostname", "random", "none")
	suffix := ""
	switch kind {
	case "hostname":
		suffix = p.machine.Hostname
		if suffix == "" {
			p.problem("RUNNER_NAME_SUFFIX", "is hostname, but this machine does not tell its own", "set it to random")
			return
		}
	case "random":
		suffix = p.machine.Random()
	}
	if strings.ContainsFunc(c.NameBase, func(r rune) bool { return !isWord(r) && r != '.' }) {
		p.problem("RUNNER_NAME", "is "+quote(c.NameBase), "use letters, digits, -, _ and . only")
		return
	}
	c.Name = c.NameBase
	if suffix != "" {
		c.Name += "-" + suffix
	}
	if over := utf8.RuneCountInString(c.Name) - longestName; over > 0 {
		p.problem("RUNNER_NAME", fmt.Sprintf("makes a name of %d characters together with its suffix: %s", longestName+over, quote(c.Name)),
			fmt.Sprintf("GitHub takes %d: shorten RUNNER_NAME by %d, or set RUNNER_NAME_SUFFIX=random, which adds 9", longestName, over))
	}
}

// labels reads LABELS. The default names this machine's architecture.
func (p *parser) labels() {
	c := &p.config
	arch := Architecture(p.machine.Arch)
	text := p.raw.Labels
	if p.set["LABELS"] == "" {
		text = strings.Replace(text, "X64", arch, 1)
		if !c.Ephemeral {
			text = strings.Replace(text, "ephemeral,", "", 1)
		}
	}
	for label := range strings.SplitSeq(text, ",") {
		label = strings.TrimSpace(label)
		switch {
		case label == "":
		case utf8.RuneCountInString(label) > longestLabel:
			p.problem("LABELS", "has a label of more than 256 characters: "+quote(label), "shorten it")
		case strings.ContainsFunc(label, func(r rune) bool { return r < 0x20 || r == 0x7f }):
			p.problem("LABELS", "has a control character in "+quote(label), "remove it")
		case !slices.ContainsFunc(c.Labels, func(other string) bool { return strings.EqualFold(other, label) }):
			c.Labels = append(c.Labels, label)
		}
	}
	// config.sh adds these itself unless it is told not to; a JIT configuration
	// has the labels that it is given and no other.
	if c.Registration == JIT && !c.NoDefaultLabels {
		for _, label := range []string{arch, "Linux", "self-hosted"} {
			if !slices.ContainsFunc(c.Labels, func(other string) bool { return strings.EqualFold(other, label) }) {
				c.Labels = slices.Insert(c.Labels, 0, label)
			}
		}
	}
	if len(c.Labels) > mostLabels {
		p.problem("LABELS", fmt.Sprintf("has %d labels", len(c.Labels)), fmt.Sprintf("GitHub takes %d at the most", mostLabels))
	}
	if len(c.Labels) == 0 {
		p.problem("LABELS", "has no label", "name one at least, or leave it empty for the default")
	}
}

// Architecture is GitHub's name for one of Go's.
func Architecture(goarch string) string {
	switch goarch {
	case "amd64":
		return "X64"
	case "386":
		return "X86"
	}
	return strings.ToUpper(goarch)
}

// allowed reads ALLOWED_REPOSITORIES.
func (p *parser) allowed() {
	if p.raw.AllowedRepositories == "" {
		return
	}
	list, bad := parseAllowList(p.raw.AllowedRepositories, p.config.Target)
	for _, rule := range bad {
		p.problem("ALLOWED_REPOSITORIES", "has "+quote(rule)+", which is neither a name nor owner/name", "write names of repositories with commas between them, as in coach,acme/tool-*")
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
	if r.MetricsAddr != "" {
		if _, port, err := net.SplitHostPort(r.MetricsAddr); err != nil || port == "" {
			p.problem("METRICS_ADDR", "is "+quote(r.MetricsAddr)+", which is no address with a port", "write it as in :9100 or 127.0.0.1:9100")
		}
	}
}

// notYet refuses what is in the table and not in this version: silence would
// let somebody believe that it works.
func (p *parser) notYet() {
	for _, name := range []string{"RUNNER_RECORDS", "METRICS_ADDR"} {
		if p.set[name] != "" {
			p.problem(name, "is set, but this version of org-runner does not have that feature yet", "remove it")
		}
	}
}

// strangers warns of variables that are probably meant to be ours: another
// image's names, and ours misspelt.
func (p *parser) strangers() {
	for _, name := range slices.Sorted(maps.Keys(p.set)) {
		if ours, known := elsewhere[name]; known {
			p.warn("%s is not a variable of org-runner: %s", name, ours)
			continue
		}
		if IsOurs(name) || isOfficial(name) || !looksLikeOurs(name) {
			continue
		}
		if best := Nearest(name, names); best != "" {
			p.warn("%s is not a variable of org-runner: is %s meant?", name, best)
		}
	}
}
