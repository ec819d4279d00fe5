package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	longestLabel = 256 // the official runner's, in characters (Validators.cs)
	mostLabels   = 100 // GitHub's, for one runner
)

// labels reads LABELS. The default is about this machine and this configuration.
func (p *parser) labels() {
	c := &p.config
	implicit := []string{"self-hosted", "Linux", Architecture(p.machine.Arch)}
	text := p.raw.Labels
	if p.set["LABELS"] == "" {
		text = strings.Replace(text, "X64", implicit[2], 1)
		if !c.Ephemeral {
			text = strings.Replace(text, "ephemeral,", "", 1)
		}
		if c.NoDefaultLabels {
			text = strings.TrimPrefix(text, strings.Join(implicit, ",")+",")
		}
	}
	if list, ok := unlist(text); ok {
		p.problem("LABELS", "is "+quote(p.raw.Labels)+", a list of YAML or JSON", "write the labels with commas alone: LABELS="+list)
		return
	}
	for label := range strings.SplitSeq(text, ",") {
		label = strings.TrimSpace(label)
		switch {
		case label == "":
			p.emptyLabel(text)
		case strings.ContainsAny(label, "[]\"'`"):
			p.problem("LABELS", "has a bracket or quote in "+quote(label), "write the labels with commas alone, without brackets and quotes: LABELS=self-hosted,gpu")
		case utf8.RuneCountInString(label) > longestLabel:
			p.problem("LABELS", "has a label of more than 256 characters: "+quote(label), "shorten it")
		case strings.ContainsFunc(label, isControl):
			p.problem("LABELS", "has a control character in "+quote(label), "remove it")
		case !containsFold(c.Labels, label):
			c.Labels = append(c.Labels, label)
			p.oddLabel(label)
		}
	}
	// config.sh adds these itself unless it is told not to; a JIT configuration
	// has the labels that it is given and no other.
	c.JITLabels = c.Labels
	if !c.NoDefaultLabels {
		missing := slices.DeleteFunc(implicit, func(label string) bool { return containsFold(c.Labels, label) })
		c.JITLabels = append(missing, c.Labels...)
	}
	if c.Registration == JIT {
		c.Labels = c.JITLabels
	}
	if len(c.Labels) > mostLabels {
		p.problem("LABELS", fmt.Sprintf("has %d labels", len(c.Labels)), fmt.Sprintf("GitHub takes %d at the most", mostLabels))
	}
	if len(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })) == 0 {
		p.problem("LABELS", "has no label", "name one at least, or leave it empty for the default")
	}
}

// unlist makes LABELS of what is written as a list of YAML or JSON, as people
// know it from runs-on.
func unlist(text string) (list string, ok bool) {
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "- ") {
		return "", false
	}
	var labels []string
	for label := range strings.SplitSeq(strings.NewReplacer("[", "", "]", "", "\n", ",").Replace(text), ",") {
		if label = strings.Trim(strings.TrimPrefix(strings.TrimSpace(label), "- "), "\"'` "); label != "" {
			labels = append(labels, label)
		}
	}
	return strings.Join(labels, ","), true
}

// oddLabel warns of a label that was probably meant as several: GitHub takes it,
// and no job that asks for one of them gets this runner.
func (p *parser) oddLabel(label string) {
	parts := strings.FieldsFunc(label, func(r rune) bool { return strings.ContainsRune(" ;|", r) })
	if len(parts) > 1 {
		p.warn("LABELS has %s, which is one label for GitHub. For several write commas: %s", quote(label), strings.Join(parts, ","))
	}
}

// emptyLabel warns once of two commas without a label between them.
func (p *parser) emptyLabel(text string) {
	warning := "LABELS has a comma too many in " + quote(text) + ": the empty label is left out"
	if strings.Trim(text, ", ") != "" && !slices.Contains(p.config.Warnings, warning) {
		p.warn("%s", warning)
	}
}

// containsFold compares as GitHub does labels, without case.
func containsFold(labels []string, label string) bool {
	return slices.ContainsFunc(labels, func(other string) bool { return strings.EqualFold(other, label) })
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
