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

// everydayNames are those that images and backups have for what is theirs too:
// beside a target in our words they say nothing.
var everydayNames = []string{"REPO", "REPOSITORY"}

// vagueNames do not say that they are about GitHub: HOST/OWNER/NAME in one may be
// a registry's or a backup's.
var vagueNames = append([]string{"REPO_URL", "REPOSITORY_URL", "ORG_URL", "ORGANIZATION_URL", "ENTERPRISE_URL"}, everydayNames...)

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
	serverIsSure                   bool // a variable or an address that can mean nothing else names it
}

// read takes what one variable says.
func (t *target) read(variable string) error {
	value, ok := t.file.Get(variable)
	if slices.Contains(everydayNames, variable) && t.hasOurTarget() {
		return nil
	}
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
		t.serverIsSure = t.serverIsSure || namesServerForSure(variable, value, p.server)
	}
	return nil
}

// hasOurTarget tells whether the file says in our words whom its runners serve.
func (t *target) hasOurTarget() bool {
	return slices.ContainsFunc([]string{"GITHUB_REPOSITORY", "GITHUB_ORGANIZATION", "GITHUB_ENTERPRISE"}, func(name string) bool {
		value, _ := t.file.Get(name)
		return strings.TrimSpace(value) != ""
	})
}

// namesServerForSure tells whether a variable with such a value can mean nothing
// but a server of GitHub's kind.
func namesServerForSure(variable, value, server string) bool {
	value = strings.TrimSpace(value)
	return !slices.Contains(vagueNames, variable) || strings.Contains(value, "://") || strings.HasPrefix(value, "git@") || isGitHubs(strings.TrimPrefix(server, "https://"))
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
		default:
			t.serverIsOurs = variable == "GITHUB_SERVER_URL"
			t.serverIsSure = true
		}
		if variable == "GITHUB_SERVER_URL" {
			break // with it an API elsewhere is meant
		}
	}
	if t.server != "" && !t.serverIsSure {
		return inDoubt("%s names the server %s without https://, so it may be an image's or a backup's, and the credentials would be sent there: set GITHUB_REPOSITORY and GITHUB_SERVER_URL yourself", t.serverFrom, strings.TrimPrefix(t.server, "https://"))
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
