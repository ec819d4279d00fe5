package config

import (
	"path"
	"slices"
	"strings"
)

// AllowList is ALLOWED_REPOSITORIES: rules of owner/name, where * stands for any
// characters but the slash. The zero AllowList has no rules.
type AllowList struct{ rules []string }

// parseAllowList completes bare names with the owner; without one they are bad,
// for they would let in the namesake of somebody else.
func parseAllowList(text, owner string) (list AllowList, bad []string) {
	for rule := range strings.SplitSeq(text, ",") {
		rule = strings.TrimSpace(rule)
		if rule == "" {
			continue
		}
		before, after, both := strings.Cut(rule, "/")
		if !both {
			before, after = owner, rule
		}
		if !isPattern(before) || !isPattern(after) {
			bad = append(bad, rule)
			continue
		}
		list.rules = append(list.rules, before+"/"+after)
	}
	return list, bad
}

// isPattern tells whether text is a name with any number of * in it.
func isPattern(text string) bool { return isName(strings.ReplaceAll(text, "*", "x")) }

// Rules returns the rules as owner/name.
func (l AllowList) Rules() []string { return slices.Clone(l.rules) }

// AllowOnly is a list of rules that are complete with their owner.
func AllowOnly(rules ...string) AllowList { return AllowList{rules: rules} }

// String is the rule for people.
func (l AllowList) String() string { return strings.Join(l.rules, ", ") }

// Allows tells whether a job of the repository (owner/name) may run. GitHub's
// names are the same in either case of letters. A list without rules allows all.
func (l AllowList) Allows(repository string) bool {
	return len(l.rules) == 0 || slices.ContainsFunc(l.rules, func(rule string) bool {
		// Of what path.Match knows, isPattern lets nothing through but *.
		matched, err := path.Match(strings.ToLower(rule), strings.ToLower(repository))
		return err == nil && matched
	})
}
