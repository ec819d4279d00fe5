package config

import (
	"slices"
	"strings"
)

// passed are variables that are not ours: the network's, which hold for our own
// requests too, and the official runner's that its documents name. compose hands
// them on, and set to nothing they are as good as unset.
var passed = []Variable{
	{Name: "HTTPS_PROXY", Description: "proxy for https, as in http://proxy.example.com:3128"},
	{Name: "https_proxy", Description: "the same in small letters"},
	{Name: "HTTP_PROXY", Description: "proxy for http: jobs may want it, GitHub does not"},
	{Name: "http_proxy", Description: "the same in small letters"},
	{Name: "NO_PROXY", Description: "hosts to reach without it, with commas"},
	{Name: "no_proxy", Description: "the same in small letters"},
	{Name: "SSL_CERT_FILE", Description: "file of the authorities to trust in place of the system's bundle, PEM"},
	{Name: "SSL_CERT_DIR", Description: "folders of such files in place of the system's, with colons"},
	{Name: "NODE_EXTRA_CA_CERTS", Description: "the same file for JavaScript actions, which read no other"},
	{Name: "ACTIONS_RUNNER_HOOK_JOB_STARTED", Description: "script to run before each job (.sh, .ps1 or .js)"},
	{Name: "ACTIONS_RUNNER_HOOK_JOB_COMPLETED", Description: "script to run after each job"},
	{Name: "ACTIONS_RUNNER_CONTAINER_HOOKS", Description: "script that runs container jobs instead of docker"},
	{Name: "ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER", Description: "true: jobs without a container fail"},
	{Name: "ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE", Description: "folder of actions that are not downloaded again"},
	{Name: "ACTIONS_RUNNER_FORCE_ACTIONS_NODE_VERSION", Description: "Node version for all JavaScript actions"},
	{Name: "ACTIONS_RUNNER_FORCED_INTERNAL_NODE_VERSION", Description: "Node version for the runner itself"},
	{Name: "GITHUB_ACTIONS_RUNNER_EXTRA_USER_AGENT", Description: "added to the runner's User-Agent"},
	{Name: "GITHUB_ACTIONS_RUNNER_HTTP_RETRY", Description: "how often the runner tries a request again"},
	{Name: "GITHUB_ACTIONS_RUNNER_HTTP_TIMEOUT", Description: "seconds that a request of the runner may take"},
	{Name: "GITHUB_ACTIONS_RUNNER_TRACE", Description: "1: the runner's log tells more"},
	{Name: "GITHUB_ACTIONS_RUNNER_TLS_NO_VERIFY", Description: "1: the runner trusts every server; org-runner does not"},
	{Name: "RUNNER_ALLOW_RUNASROOT", Description: "1: the runner may run as root"},
	{Name: "RUNNER_LOGRETENTION", Description: "days for which the listener's logs are kept"},
	{Name: "WORKER_LOGRETENTION", Description: "days for which the logs of jobs are kept"},
	{Name: "RUNNER_TOOL_CACHE", Description: "folder of the tools that setup actions install"},
	{Name: "RUNNER_WAIT_FOR_DOCKER_IN_SECONDS", Description: "how long the runner waits for docker at its start"},
}

// Passed returns the variables of others that reach the runner and its jobs and
// that the documents name.
func Passed() []Variable { return slices.Clone(passed) }

// IsPassed tells whether a variable is one of them.
func IsPassed(name string) bool {
	return slices.ContainsFunc(passed, func(v Variable) bool { return v.Name == name })
}

// IsNetwork tells whether a variable is one of those that decide about our own
// requests.
func IsNetwork(name string) bool {
	return strings.HasSuffix(strings.ToUpper(name), "_PROXY") && IsPassed(name) || strings.HasPrefix(name, "SSL_CERT_")
}
