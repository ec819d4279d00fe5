package cli

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
	"github.com/virtuoso902/org-runner/register"
)

// envFile is the option that stands before or after the command's name.
const envFile = "--env-file"

// alternatives are variables of which one is to be set: a file that has one of
// them speaks for all.
var alternatives = [][]string{
	{"GITHUB_TOKEN", "GITHUB_APP_", "RUNNER_TOKEN", "RUNNER_JITCONFIG"},
	{"GITHUB_ORGANIZATION", "GITHUB_REPOSITORY", "GITHUB_ENTERPRISE"},
}

// takeEnvFile takes --env-file out of the arguments and puts the file's variables
// into the environment. The file wins: who names it wants what it says, whatever
// this shell has been used for.
func takeEnvFile(call *Invocation) error {
	var rest []string
	path, given := "", false
	for i := 0; i < len(call.Args); i++ {
		argument := call.Args[i]
		value, joined := strings.CutPrefix(argument, envFile+"=")
		switch {
		case joined:
			path, given = value, true
		case argument == envFile:
			if i++; i == len(call.Args) {
				return fmt.Errorf("%w: %s wants a file, as in org-runner %s .env check", errUsage, envFile, envFile)
			}
			path, given = call.Args[i], true
		default:
			rest = append(rest, argument)
		}
	}
	call.Args = rest
	if !given {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read: %w: start from a copy of .env.example", register.ErrConfiguration, path, err)
	}
	file, err := dotenv.Parse(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", register.ErrConfiguration, path, err)
	}
	inFile := file.Environ()
	call.otherwise = judgeEnvFile(path, file, call.Environ)
	call.Environ = append(slices.DeleteFunc(slices.Clone(call.Environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.ContainsFunc(inFile, func(other string) bool { return replaces(other, name) })
	}), inFile...)
	return nil
}

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

// otherwise warns of the variables that the shell has too, and not as the file has
// them: for compose it is the shell that wins.
func otherwise(path string, file *dotenv.File, environ []string) (findings []finding) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if inJob(environ) && slices.Contains(ofEveryJob, name) {
			continue
		}
		switch said, set := file.Get(name); {
		case set && said != value:
			findings = append(findings, warn(onVariables, name+" is also set in this shell, to something else: docker compose takes that one",
				"unset "+name+" in this shell, or set it to the same in "+path))
		case !set && value != "" && config.IsOurs(name) && slices.ContainsFunc(file.Environ(), func(other string) bool { return replaces(other, name) }):
			findings = append(findings, warn(onVariables, name+" is also set in this shell, and "+path+" has another variable for that: docker compose takes both",
				"unset "+name+" in this shell"))
		}
	}
	return findings
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

// replaces tells whether a file's variable ("NAME=value") takes the place of one
// of the shell's.
func replaces(inFile, name string) bool {
	other, value, _ := strings.Cut(inFile, "=")
	if other == name {
		return true
	}
	return value != "" && config.IsOurs(name) && slices.ContainsFunc(alternatives, func(group []string) bool {
		in := func(name string) bool {
			return slices.ContainsFunc(group, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		}
		return in(name) && in(other)
	})
}
