//go:build linux

package runner

import (
	"cmp"
	"os"
	"os/user"
	"strconv"
	"strings"
)

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

// ownHome is the home of our own user. For a uid that the image has no user for,
// as OpenShift gives one, the engine says / or nothing: then it is the runner's
// folder, which the runner's user has to be able to write anyway.
func ownHome(environ []string, folder string) string {
	home := ""
	for _, variable := range environ {
		if value, found := strings.CutPrefix(variable, "HOME="); found {
			home = value
		}
	}
	if home == "" {
		if own, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
			home = own.HomeDir
		}
	}
	if home == "/" {
		home = ""
	}
	return cmp.Or(home, folder)
}
