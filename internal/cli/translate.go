package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
	"github.com/virtuoso902/org-runner/register"
)

// translated are other images' names of what is ours under another one.
var translated = map[string]string{
	"ACCESS_TOKEN": "GITHUB_TOKEN", "GITHUB_ACCESS_TOKEN": "GITHUB_TOKEN", "GH_TOKEN": "GITHUB_TOKEN", "GITHUB_PAT": "GITHUB_TOKEN",
	"RUNNER_LABELS": "LABELS", "RUNNER_WORK_DIRECTORY": "RUNNER_WORKDIR",
	"APP_ID": "GITHUB_APP_ID", "APP_PRIVATE_KEY": "GITHUB_APP_PRIVATE_KEY",
}

// addressNames are the names that images give to the address of what a runner is
// for, or to its owner/name.
var addressNames = []string{
	"REPO_URL", "REPOSITORY_URL", "GITHUB_REPO_URL", "GITHUB_REPOSITORY_URL", "RUNNER_REPOSITORY_URL", "REPO", "REPOSITORY", "GITHUB_REPO", "GH_REPO",
	"ORG_URL", "ORGANIZATION_URL", "GITHUB_ORG_URL", "GITHUB_ORGANIZATION_URL", "RUNNER_ORGANIZATION_URL", "ENTERPRISE_URL",
	"RUNNER_URL", "ACTIONS_RUNNER_INPUT_URL",
}

// serverNames are the names that images give to the server; some take an address
// of an organization or a repository there too.
var serverNames = []string{"GITHUB_HOST", "GH_HOST", "GHE_HOST", "GITHUB_SERVER", "GITHUB_BASE_URL", "GITHUB_URL", "GH_URL", "GITHUB_ENTERPRISE_URL"}

// translate brings a file of another image into our words. A variable of ours
// that is set already stays. The credentials are sent to the server that the
// result names, so where two variables disagree on it, or one cannot be read
// for sure, nothing is translated.
func translate(file *dotenv.File) error {
	organization, _ := file.Get("GITHUB_ORGANIZATION")
	if scope, _ := file.Get("RUNNER_SCOPE"); organization == "" && (strings.HasPrefix(strings.ToLower(scope), "org") || strings.HasPrefix(strings.ToLower(scope), "ent")) {
		return inDoubt("RUNNER_SCOPE is %s, so this is not a repository's file: set GITHUB_ORGANIZATION or GITHUB_ENTERPRISE in it, and GITHUB_SERVER_URL for a server of your own", printable(scope))
	}
	t := target{file: file}
	for _, name := range append(append([]string{"GITHUB_REPOSITORY"}, addressNames...), serverNames...) {
		if err := t.read(name); err != nil {
			return err
		}
	}
	if err := t.agree(); err != nil {
		return err
	}
	if err := translateValues(file); err != nil {
		return err
	}
	t.write()
	file.Unset("RUNNER_SCOPE")
	return nil
}

// inDoubt is the error of a file that is left as it is.
func inDoubt(format string, values ...any) error {
	return fmt.Errorf("%w: "+format+"; nothing was changed", append([]any{register.ErrConfiguration}, values...)...)
}

// translateValues renames what needs no reading.
func translateValues(file *dotenv.File) error {
	from := map[string]string{} // of ours: the name that it has in the file
	for _, other := range sortedKeys(translated) {
		ours := translated[other]
		value, ok := file.Get(other)
		if !ok || value == "" {
			continue
		}
		if already, _ := file.Get(ours); already != "" && from[ours] == "" {
			continue
		} else if from[ours] != "" && already != value {
			return inDoubt("%s and %s are set to different values, and both mean %s: remove one", from[ours], other, ours)
		}
		file.Set(ours, value)
		from[ours] = other
	}
	for _, other := range sortedKeys(translated) {
		file.Unset(other)
	}
	return nil
}

// target is whom the file's runners serve, and where, by its addresses.
type target struct {
	file                           *dotenv.File
	repository, server             string
	repositoryFrom, serverFrom     string // the variables that say so
	foreign                        []string
	repositoryIsOurs, serverIsOurs bool // as they have to be written
}

// read takes what one variable says.
func (t *target) read(variable string) error {
	value, ok := t.file.Get(variable)
	if ok && !config.IsOurs(variable) {
		t.foreign = append(t.foreign, variable)
	}
	if strings.TrimSpace(value) == "" {
		return nil
	}
	isServer := slices.Contains(serverNames, variable)
	if host := strings.TrimSuffix(strings.TrimSpace(value), "/"); isServer && !strings.ContainsAny(host, "/@") {
		value = "https://" + host // a host, also one without a dot
	}
	p, err := parsePlace(value)
	switch {
	case err != nil:
		return inDoubt("%s %w", variable, err)
	case p.kind == 0 && !isServer:
		return inDoubt("%s is the address of a server and names no repository: write it as in %s/OWNER/NAME", variable, p.server)
	case p.kind == config.Organization && p.server == "":
		return inDoubt("%s is %s, which is no owner/name: write OWNER/%s, or set GITHUB_ORGANIZATION=%s in its place for the organization", variable, p.name, p.name, p.name)
	case p.kind != 0 && p.kind != config.Repository:
		return inDoubt("%s is the address of %s, not of a repository: set %s in its place", variable, p.name, p.inOurVariables())
	}
	if p.kind == config.Repository {
		if t.repository != "" && !strings.EqualFold(t.repository, p.name) {
			return inDoubt("%s says %s, and %s says %s: remove one", t.repositoryFrom, t.repository, variable, p.name)
		}
		if t.repository == "" {
			t.repository, t.repositoryFrom = p.name, variable
			t.repositoryIsOurs = variable == "GITHUB_REPOSITORY" && value == p.name
		}
	}
	if p.server != "" {
		if t.server != "" && t.server != p.server {
			return inDoubt("%s says that the server is %s, and %s says %s: remove one", t.serverFrom, t.server, variable, p.server)
		}
		t.server, t.serverFrom = p.server, variable
	}
	return nil
}

// agree holds what the addresses say against our own variables.
func (t *target) agree() error {
	for _, variable := range []string{"GITHUB_SERVER_URL", "GITHUB_API_URL"} {
		value, _ := t.file.Get(variable)
		if t.server == "" || value == "" {
			continue
		}
		switch p, err := parsePlace(value); {
		case err != nil: // Parse says what is wrong with it
		case p.server != t.server:
			return inDoubt("%s says that the server is %s, and %s says %s: remove one", t.serverFrom, t.server, variable, p.server)
		case variable == "GITHUB_SERVER_URL":
			t.serverIsOurs = true
		}
		if variable == "GITHUB_SERVER_URL" {
			break // with it an API elsewhere is meant
		}
	}
	return nil
}

// write puts our words in the place of the others.
func (t *target) write() {
	if t.repository != "" && !t.repositoryIsOurs {
		t.file.Set("GITHUB_REPOSITORY", t.repository)
	}
	if t.server != "" && t.server != publicServer && !t.serverIsOurs {
		t.file.Set("GITHUB_SERVER_URL", t.server)
	}
	for _, variable := range t.foreign {
		t.file.Unset(variable)
	}
}
