package config

import "strings"

// elsewhere are the names that other images give to what is ours.
var elsewhere = map[string]string{
	"ACCESS_TOKEN":                     "set GITHUB_TOKEN",
	"GITHUB_PAT":                       "set GITHUB_TOKEN",
	"GH_TOKEN":                         "set GITHUB_TOKEN",
	"APP_ID":                           "set GITHUB_APP_ID",
	"APP_PRIVATE_KEY":                  "set GITHUB_APP_PRIVATE_KEY",
	"ORG_NAME":                         "set GITHUB_ORGANIZATION",
	"GITHUB_ORG":                       "set GITHUB_ORGANIZATION",
	"REPO_URL":                         "set GITHUB_REPOSITORY to owner/name",
	"ENTERPRISE_NAME":                  "set GITHUB_ENTERPRISE",
	"RUNNER_SCOPE":                     "set one of GITHUB_ORGANIZATION, GITHUB_REPOSITORY and GITHUB_ENTERPRISE",
	"RUNNER_NAME_PREFIX":               "set RUNNER_NAME, to which the hostname is added",
	"RANDOM_RUNNER_SUFFIX":             "set RUNNER_NAME_SUFFIX=random",
	"RUNNER_LABELS":                    "set LABELS",
	"RUNNER_GROUPS":                    "set RUNNER_GROUP",
	"RUNNER_EPHEMERAL":                 "set EPHEMERAL",
	"RUNNER_WORK_DIRECTORY":            "set RUNNER_WORKDIR",
	"DISABLE_AUTOMATIC_UPDATE":         "set DISABLE_AUTO_UPDATE",
	"DISABLE_AUTOMATIC_DEREGISTRATION": "a runner of org-runner is always taken off GitHub",
	"UNSET_CONFIG_VARS":                "jobs never see the variables of org-runner",
}

// looksLikeOurs keeps the warnings to names that could only be meant for us.
func looksLikeOurs(name string) bool {
	return strings.HasPrefix(name, "GITHUB_") || strings.HasPrefix(name, "RUNNER_") || name == "LABEL" || strings.HasPrefix(name, "EPHEMER")
}

// isOfficial knows the names that the official runner and GitHub have.
func isOfficial(name string) bool {
	for _, known := range []string{
		"RUNNER_ALLOW_RUNASROOT", "RUNNER_MANUALLY_TRAP_SIG", "RUNNER_LOGRETENTION", "RUNNER_UPDATE_CA_CERTS",
		"RUNNER_WAIT_FOR_DOCKER_IN_SECONDS", "RUNNER_TRACKING_ID", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "RUNNER_OS", "RUNNER_ARCH",
		"GITHUB_ACTIONS", "GITHUB_ACTOR", "GITHUB_ENV", "GITHUB_JOB", "GITHUB_PATH", "GITHUB_REF", "GITHUB_SHA", "GITHUB_OUTPUT",
	} {
		if name == known {
			return true
		}
	}
	return false
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
