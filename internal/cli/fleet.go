package cli

import (
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

// fleet tells which runners and jobs are this configuration's.
type fleet struct {
	base   string   // of their names
	labels []string // that they all have, lower case
	offers []string // that a job may ask for, lower case
}

func newFleet(c config.Config) fleet {
	f := fleet{base: strings.ToLower(c.NameBase)}
	for _, label := range c.Labels {
		f.labels = append(f.labels, strings.ToLower(label))
	}
	f.offers = slices.Clone(f.labels)
	if !c.NoDefaultLabels && c.Registration != config.JIT {
		f.offers = append(f.offers, "self-hosted", "linux", strings.ToLower(config.Architecture(config.ThisMachine().Arch)))
	}
	return f
}

// has tells whether a runner is one of ours: by its name and by its labels, so
// that neither a namesake nor another fleet with our labels counts.
func (f fleet) has(r register.Runner) bool {
	name := strings.ToLower(r.Name)
	if rest, ours := strings.CutPrefix(name, f.base); !ours || rest != "" && rest[0] != '-' {
		return false
	}
	for _, label := range f.labels {
		if !slices.ContainsFunc(r.Labels, func(l register.Label) bool { return strings.EqualFold(l.Name, label) }) {
			return false
		}
	}
	return true
}

// serves tells whether a job that asks for these labels can run on ours.
func (f fleet) serves(labels []string) bool {
	return !slices.ContainsFunc(labels, func(label string) bool { return !slices.Contains(f.offers, strings.ToLower(label)) })
}

// state is how a runner's state is called.
func state(r register.Runner) string {
	switch {
	case r.Busy:
		return "busy"
	case r.Status == "online":
		return "idle"
	}
	return "offline"
}
