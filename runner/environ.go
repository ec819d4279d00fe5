//go:build linux

package runner

import "strings"

// environment returns base without the variables named, and with the extra
// ones ("NAME=value") in place of what base says of them.
func environment(base []string, without func(name string) bool, extra ...string) []string {
	set := make(map[string]bool, len(extra))
	for _, variable := range extra {
		name, _, _ := strings.Cut(variable, "=")
		set[name] = true
	}
	result := make([]string, 0, len(base)+len(extra))
	for _, variable := range base {
		if name, _, ok := strings.Cut(variable, "="); ok && !set[name] && !without(name) {
			result = append(result, variable)
		}
	}
	return append(result, extra...)
}
