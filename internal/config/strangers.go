package config

import (
	"maps"
	"slices"
	"strings"
)

// stranger is a variable that is set and was probably meant to be ours.
type stranger struct{ name, remedy string }

func (s stranger) String() string {
	return s.name + " is not a variable of org-runner: " + s.remedy
}

// elsewhere are the names that other images give to what is ours.
var elsewhere = map[string]string{
	"ACCESS_TOKEN":                         "set GITHUB_TOKEN instead" + exposed,
	"GITHUB_ACCESS_TOKEN":                  "set GITHUB_TOKEN instead" + exposed,
	"GITHUB_PAT":                           "set GITHUB_TOKEN instead" + exposed,
	"GH_TOKEN":                             "set GITHUB_TOKEN instead" + exposed,
	"APP_ID":                               "set GITHUB_APP_ID instead",
	"APP_PRIVATE_KEY":                      "set GITHUB_APP_PRIVATE_KEY instead" + exposed,
	"APP_LOGIN":                            "leave it out, or set GITHUB_APP_INSTALLATION_ID",
	"ORG_NAME":                             "set GITHUB_ORGANIZATION instead",
	"GITHUB_ORG":                           "set GITHUB_ORGANIZATION instead",
	"GITHUB_OWNER":                         "set GITHUB_ORGANIZATION instead",
	"REPO_URL":                             "set GITHUB_REPOSITORY to owner/name instead, and GITHUB_SERVER_URL for a server of your own",
	"GITHUB_REPO":                          "set GITHUB_REPOSITORY to owner/name instead",
	"ENTERPRISE_NAME":                      "set GITHUB_ENTERPRISE instead",
	"GITHUB_HOST":                          "set GITHUB_SERVER_URL to https://HOST instead",
	"GITHUB_URL":                           "set GITHUB_SERVER_URL instead, and GITHUB_ORGANIZATION",
	"RUNNER_SCOPE":                         "set one of GITHUB_ORGANIZATION, GITHUB_REPOSITORY and GITHUB_ENTERPRISE",
	"RUNNER_NAME_PREFIX":                   "set RUNNER_NAME instead, to which the hostname is added",
	"RANDOM_RUNNER_SUFFIX":                 "set RUNNER_NAME_SUFFIX=random instead",
	"RUNNER_LABELS":                        "set LABELS instead",
	"RUNNER_GROUPS":                        "set RUNNER_GROUP instead",
	"RUNNER_EPHEMERAL":                     "set EPHEMERAL instead",
	"RUNNER_WORK_DIRECTORY":                "set RUNNER_WORKDIR instead",
	"RUN_AS_ROOT":                          "set RUNNER_USER instead",
	"DEBUG_OUTPUT":                         "set LOG_LEVEL=debug instead",
	"DISABLE_AUTOMATIC_UPDATE":             "set DISABLE_AUTO_UPDATE instead",
	"DISABLE_AUTOMATIC_DEREGISTRATION":     "leave it out: a runner of org-runner is always taken off GitHub",
	"CONFIGURED_ACTIONS_RUNNER_FILES_DIR":  "leave it out: org-runner registers at every start",
	"UNSET_CONFIG_VARS":                    "leave it out: jobs never see the variables of org-runner",
	"ACTIONS_RUNNER_INPUT_TOKEN":           "set RUNNER_TOKEN instead",
	"ACTIONS_RUNNER_INPUT_JITCONFIG":       "set RUNNER_JITCONFIG instead",
	"ACTIONS_RUNNER_INPUT_URL":             "set GITHUB_ORGANIZATION instead",
	"ACTIONS_RUNNER_INPUT_LABELS":          "set LABELS instead",
	"ACTIONS_RUNNER_INPUT_NAME":            "set RUNNER_NAME instead",
	"ACTIONS_RUNNER_INPUT_RUNNERGROUP":     "set RUNNER_GROUP instead",
	"ACTIONS_RUNNER_INPUT_WORK":            "set RUNNER_WORKDIR instead",
	"ACTIONS_RUNNER_INPUT_EPHEMERAL":       "set EPHEMERAL instead",
	"ACTIONS_RUNNER_INPUT_DISABLEUPDATE":   "set DISABLE_AUTO_UPDATE instead",
	"ACTIONS_RUNNER_INPUT_NODEFAULTLABELS": "set NO_DEFAULT_LABELS instead",
}

// exposed is said of a credential under a name that is not taken out of the
// environment of jobs.
const exposed = "; every job can read this one"

// beginnings are of names that could only be meant for us, or for the official
// runner.
var beginnings = []string{"GITHUB_", "RUNNER_", "LABEL", "EPHEMER", "ALLOWED_", "NO_DEFAULT", "DISABLE_AUTO", "METRICS_", "LOG_"}

// official are the names that the official runner and GitHub have, where they
// are near to one of ours.
var official = []string{
	"RUNNER_ALLOW_RUNASROOT", "RUNNER_MANUALLY_TRAP_SIG", "RUNNER_LOGRETENTION", "RUNNER_UPDATE_CA_CERTS",
	"RUNNER_WAIT_FOR_DOCKER_IN_SECONDS", "RUNNER_TRACKING_ID", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "RUNNER_OS", "RUNNER_ARCH",
	"RUNNER_DEBUG", "RUNNER_WORKSPACE", "RUNNER_ENVIRONMENT",
	"GITHUB_ACTIONS", "GITHUB_ACTOR", "GITHUB_ENV", "GITHUB_JOB", "GITHUB_PATH", "GITHUB_REF", "GITHUB_SHA", "GITHUB_OUTPUT",
	"GITHUB_RUN_ID", "GITHUB_REPOSITORY_ID", "GITHUB_REPOSITORY_OWNER",
}

// findStrangers finds variables that are probably meant to be ours: another
// image's names, and ours misspelt.
func (p *parser) findStrangers() {
	for _, name := range slices.Sorted(maps.Keys(p.set)) {
		if remedy := meant(name); remedy != "" {
			p.strangers = append(p.strangers, stranger{name, remedy})
		}
	}
}

// Hint says what to do about a variable that is probably meant to be ours, as the
// warnings of Parse do; "" if it is not.
func Hint(name string) string {
	if remedy := meant(name); remedy != "" {
		return stranger{name, remedy}.String()
	}
	return ""
}

// meant says what to do about a variable that is probably meant to be ours, ""
// if it is not.
func meant(name string) string {
	if remedy := elsewhere[name]; remedy != "" {
		return remedy
	}
	upper := strings.ToUpper(name)
	if IsOurs(name) || slices.Contains(official, upper) || strings.ContainsFunc(name, func(r rune) bool { return !isWord(r) }) ||
		!slices.ContainsFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(upper, beginning) }) {
		return ""
	}
	if best := Nearest(upper, names()); best != "" {
		return "set " + best + " instead"
	}
	return ""
}

// instead is a hint for variables that are not set: which strangers are.
func (p *parser) instead(missing ...string) string {
	hint := ""
	for _, s := range p.strangers {
		if slices.ContainsFunc(missing, func(name string) bool { return strings.Contains(s.remedy+" ", name+" ") }) {
			hint += ", but " + s.name + " is, which org-runner does not read"
		}
	}
	return hint
}

// distance is Levenshtein's, over one row.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// Nearest returns the candidate that was probably meant by word, "" if none is
// near.
func Nearest(word string, candidates []string) string {
	best, least := "", 3
	for _, candidate := range candidates {
		if d := distance(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}
