package cli

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
)

// judgeEnvFile says of a file what its readers would not say: what the shell makes
// of it, what docker run makes of it, and who else can read it.
func judgeEnvFile(path string, file *dotenv.File, environ []string) []finding {
	findings := append(setByJob(path, file, environ), otherwise(path, file, environ)...)
	for _, d := range file.Differences() {
		findings = append(findings, warn(onVariables, fmt.Sprintf("%s, line %d: %s", path, d.Line, d.Detail), d.Remedy))
	}
	if f := readableByOthers(path, file); f != nil {
		findings = append(findings, *f)
	}
	return findings
}

// ofEveryJob are those of ours that GitHub Actions sets in every job (GitHub's
// "Variables reference", default environment variables).
var ofEveryJob = []string{"GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_API_URL", "RUNNER_NAME"}

// inJob tells whether this is a job of GitHub Actions.
func inJob(environ []string) bool { return slices.Contains(environ, "GITHUB_ACTIONS=true") }

// setByJob warns of what docker compose would take from the job that this is.
func setByJob(path string, file *dotenv.File, environ []string) []finding {
	var names []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if said, _ := file.Get(name); value != "" && said != value && slices.Contains(ofEveryJob, name) {
			names = append(names, name)
		}
	}
	if !inJob(environ) || len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []finding{warn(onVariables, "this is a job of GitHub Actions, which sets "+quoted(names)+": docker compose takes the job's over those of "+path,
		"call it without them, as in: env -u "+strings.Join(names, " -u ")+" docker compose up -d")}
}

// readableByOthers warns of a file with credentials that is not its owner's alone;
// nil: it is, or there are none in it.
func readableByOthers(path string, file *dotenv.File) *finding {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || runtime.GOOS == "windows" || !holdsSecrets(file) { // there a mode says nothing
		return nil
	}
	who, can := "its group", "read"
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0:
		if who = "everybody on this machine"; mode&0o002 != 0 {
			can = "read and change"
		}
	case mode&0o070 != 0:
		if mode&0o020 != 0 {
			can = "read and change"
		}
	default:
		return nil
	}
	f := warn(onVariables, fmt.Sprintf("%s holds credentials, and %s can %s it (mode %04o)", path, who, can, info.Mode().Perm()), "chmod 600 "+path)
	return &f
}

// holdsSecrets tells whether one of a file's variables is a credential: of ours, or
// of another image.
func holdsSecrets(file *dotenv.File) bool {
	return slices.ContainsFunc(config.Variables(), func(v config.Variable) bool {
		if !v.Secret {
			return false
		}
		for other, ours := range translated {
			if value, _ := file.Get(other); ours == v.Name && value != "" {
				return true
			}
		}
		value, _ := file.Get(v.Name)
		return value != ""
	})
}
