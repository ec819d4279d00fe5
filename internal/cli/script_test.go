package cli_test

import (
	"fmt"
	"net/http"
	"os/user"

	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virtuoso902/org-runner/internal/cli"
	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/contract"
)

// TestMain makes the test binary the program when a script calls org-runner.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"org-runner": func() {
			os.Exit(cli.Main(cli.Invocation{
				Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
				Build: cli.Build{Version: "1.2.3", Commit: "4f2a9c0", Runner: "2.336.0"},
			}))
		},
	})
}

// TestScripts runs testdata/script/*.txtar. Each has a fake GitHub of its own,
// whose address is in GITHUB_SERVER_URL; the command github (below) makes its
// world. The command status CODE ARGS... runs a program and demands its exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			server, err := githubtest.Start(githubtest.Options{})
			if err != nil {
				return err
			}
			e.Values["github"] = server
			e.Setenv("GITHUB_SERVER_URL", server.URL())
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("RUNNER_HOME", filepath.Join(e.WorkDir, "runner"))
			own, err := user.Current() // this machine need not have the image's
			if err != nil {
				return err
			}
			e.Setenv("RUNNER_USER", own.Username)
			e.Defer(func() {
				server.Close()
				for _, call := range server.Calls("") {
					if call.Method == http.MethodHead {
						continue // no call of the API: whether somebody is there
					}
					for _, err := range contract.Violations(call) {
						t.Errorf("%s %s: %v", call.Method, call.Path, err)
					}
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"github": github,
			"code":   code,
		},
	})
}

// code runs a program and demands an exit code: code 78 org-runner check.
func code(ts *testscript.TestScript, not bool, arguments []string) {
	if not || len(arguments) < 2 {
		ts.Fatalf("usage: code CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	err = ts.Exec(arguments[1], arguments[2:]...)
	got := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// github changes the fake's world, or asserts on it:
//
//	github organization NAME
//	github user NAME
//	github repository OWNER/NAME [public]
//	github group OWNER NAME [all|selected|private] [public] [OWNER/NAME...]
//	github policy ORGANIZATION all|selected|none
//	github token VALUE classic|oauth|fine-grained [SCOPE... | PERMISSION=LEVEL...] [saml] [expires=DURATION]
//	github runner SCOPE NAME [online] [busy] [ephemeral] [version=V] [group=ID] [label=L...]
//	github runners N SCOPE NAME [the same]
//	github job OWNER/NAME [RUNS-ON...]
//	github fault OPERATION [status=CODE] [message=TEXT] [times=N] [hang] [garbage]
//	github latest VERSION
//	github deprecate VERSION registration=DURATION runtime=DURATION
//	github remaining SCOPE [NAME...]    demands that just these runners are registered
//	github calls OPERATION N            demands that so many of such calls were seen
func github(ts *testscript.TestScript, not bool, arguments []string) {
	if not || len(arguments) < 2 {
		ts.Fatalf("see the comment of github in script_test.go")
	}
	server := ts.Value("github").(*githubtest.Server)
	what, name, rest := arguments[0], arguments[1], arguments[2:]
	has := func(word string) bool { return slices.Contains(rest, word) }
	value := func(key string) (text string) {
		for _, argument := range rest {
			if v, ok := strings.CutPrefix(argument, key+"="); ok {
				text = v
			}
		}
		return text
	}
	duration := func(key string) (at time.Time) {
		if text := value(key); text != "" {
			d, err := time.ParseDuration(text)
			ts.Check(err)
			at = time.Now().Add(d)
		}
		return at
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ts.Check(err)
		return n
	}
	runner := func(scope, name string) githubtest.Runner {
		r := githubtest.Runner{Scope: scope, Name: name, Online: has("online") || has("busy"), Busy: has("busy"), Ephemeral: has("ephemeral"), Version: value("version")}
		for _, argument := range rest {
			if label, ok := strings.CutPrefix(argument, "label="); ok {
				r.Labels = append(r.Labels, label)
			}
		}
		if id := value("group"); id != "" {
			r.GroupID = int64(number(id))
		}
		return r
	}
	switch what {
	case "organization":
		server.AddOrganization(name)
	case "user":
		server.AddUser(name)
	case "repository":
		if has("public") {
			server.AddPublicRepository(name)
		} else {
			server.AddRepository(name)
		}
	case "group":
		g := githubtest.Group{Name: rest[0], AllowsPublic: has("public")}
		for _, argument := range rest[1:] {
			switch {
			case strings.Contains(argument, "/"):
				g.Repositories = append(g.Repositories, argument)
			case argument != "public":
				g.Visibility = argument
			}
		}
		fmt.Fprintln(ts.Stdout(), server.AddGroup(name, g))
	case "policy":
		server.SetRunnerPolicy(name, rest[0])
	case "token":
		token := githubtest.Token{Value: name, Kind: githubtest.TokenKind(rest[0]), Scopes: []string{}, Permissions: map[string]string{}, SAML: has("saml"), Expires: duration("expires")}
		for _, argument := range rest[1:] {
			permission, level, isPermission := strings.Cut(argument, "=")
			switch {
			case argument == "saml", permission == "expires":
			case permission == "account":
				token.Account = level
			case isPermission:
				token.Permissions[permission] = level
			default:
				token.Scopes = append(token.Scopes, argument)
			}
		}
		server.AddToken(token)
	case "runner":
		server.AddRunner(runner(name, rest[0]))
	case "runners":
		server.AddRunners(number(name), runner(rest[0], rest[1]))
	case "job":
		fmt.Fprintln(ts.Stdout(), server.Enqueue(githubtest.Job{Repository: name, RunsOn: rest}))
	case "fault":
		fault := githubtest.Fault{Operation: name, Message: value("message"), Hang: has("hang"), Garbage: has("garbage")}
		if text := value("status"); text != "" {
			fault.Status = number(text)
		}
		if text := value("times"); text != "" {
			fault.Times = number(text)
		}
		server.Inject(fault)
	case "latest":
		server.SetLatestRunner(name)
	case "deprecate":
		server.Deprecate(name, githubtest.Deprecation{Registration: duration("registration"), Runtime: duration("runtime")})
	case "remaining":
		var names []string
		for _, r := range server.Runners() {
			if r.Scope == name {
				names = append(names, r.Name)
			}
		}
		slices.Sort(names)
		slices.Sort(rest)
		if !slices.Equal(names, rest) {
			ts.Fatalf("registered are %q, want %q", names, rest)
		}
	case "calls":
		if n := len(server.Calls(name)); n != number(rest[0]) {
			ts.Fatalf("%d calls of %s, want %s", n, name, rest[0])
		}
	default:
		ts.Fatalf("github %s is not known", what)
	}
}
