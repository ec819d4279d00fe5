package config

import (
	"slices"
	"strings"
)

// AllowList is ALLOWED_REPOSITORIES: rules of owner/name, where * stands for any
// characters but the slash. The zero AllowList has no rules.
type AllowList struct{ rules []string }

// parseAllowList completes bare names with the target's owner.
func parseAllowList(text string, target Target) (list AllowList, bad []string) {
	owner, _, _ := strings.Cut(target.Name, "/")
	for rule := range strings.SplitSeq(text, ",") {
		rule = strings.TrimSpace(rule)
		if rule == "" {
			continue
		}
		before, after, both := strings.Cut(rule, "/")
		if !both {
			// An enterprise's jobs come from many owners.
			before, after = owner, rule
			if target.Kind == Enterprise || owner == "" {
				before = "*"
			}
		}
		if !isName(strings.ReplaceAll(before, "*", "x")) || !isName(strings.ReplaceAll(after, "*", "x")) {
			bad = append(bad, rule)
			continue
		}
		list.rules = append(list.rules, before+"/"+after)
	}
	return list, bad
}

// Rules returns the rules as owner/name.
func (l AllowList) Rules() []string { return l.rules }

// String is the rule for people.
func (l AllowList) String() string { return strings.Join(l.rules, ", ") }

// Allows tells whether a job of the repository (owner/name) may run. GitHub's
// names are the same in either case of letters. A list without rules allows all.
func (l AllowList) Allows(repository string) bool {
	if len(l.rules) == 0 {
		return true
	}
	owner, name, ok := strings.Cut(strings.ToLower(repository), "/")
	return ok && slices.ContainsFunc(l.rules, func(rule string) bool {
		ruleOwner, ruleName, _ := strings.Cut(strings.ToLower(rule), "/")
		return matches(ruleOwner, owner) && matches(ruleName, name)
	})
}

// matches compares with a pattern in which * stands for any characters.
func matches(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(text); i++ {
		if matches(rest, text[i:]) {
			return true
		}
	}
	return false
}
