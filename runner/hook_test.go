package runner

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// How a hook is started: what the worker's log shows of the official runner's own.
func TestHookCommand(t *testing.T) {
	home := t.TempDir()
	if _, err := hookCommand("/own.js", home); err == nil {
		t.Error("a .js hook without node")
	}
	put := func(version string) string {
		path := filepath.Join(home, "externals", version, "bin", "node")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("node20_alpine")
	put("node9")
	newest := put("node24")
	if got, err := hookCommand("/own.js", home); err != nil || !slices.Equal(got, []string{newest, "/own.js"}) {
		t.Errorf("%q, %v", got, err)
	}
	twenty := put("node20")
	for path, want := range map[string][]string{
		"/own.js":         {twenty, "/own.js"},
		"/our hook.sh":    {"bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "/our hook.sh"},
		"/jane's/own.ps1": {"pwsh", "-command", ". '/jane''s/own.ps1'"},
	} {
		if got, err := hookCommand(path, home); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestHookThatCannotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every file")
	}
	hook := filepath.Join(t.TempDir(), "own.sh")
	if err := os.WriteFile(hook, nil, 0o300); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckHooks([]string{"ACTIONS_RUNNER_HOOK_JOB_STARTED=" + hook}, t.TempDir(), false); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}

// What a job can put in the place of .env neither holds a start up nor fills the
// memory.
func TestHooksWithAPipeForAnEnvFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a pipe":          func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"an endless file": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a folder":        func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		home := t.TempDir()
		if err := put(filepath.Join(home, ".env")); err != nil {
			t.Fatal(err)
		}
		if _, err := CheckHooks(nil, home, false); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckHooks(t *testing.T) {
	dir := t.TempDir()
	hook := filepath.Join(dir, "own.sh")
	shell := filepath.Join(dir, "own.ps1")
	for _, path := range []string{hook, shell} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const started, completed = "ACTIONS_RUNNER_HOOK_JOB_STARTED=", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED="
	for name, row := range map[string]struct {
		environ  []string
		own      string // .env of the runner's folder
		enforced bool
		wrong    []string
		doubt    bool
	}{
		"none":                   {nil, "", true, nil, false},
		"good":                   {[]string{started + hook, completed + hook}, "", true, nil, false},
		"empty":                  {[]string{started, completed}, "", true, nil, false},
		"both are named":         {[]string{started + "/a.sh", completed + "/b.py"}, "", false, []string{"STARTED is /a.sh, which does not exist", "COMPLETED is /b.py, and a hook's name ends in"}, false},
		"the later one counts":   {[]string{started + "/a.sh", started + hook}, "", false, nil, false},
		"no PowerShell":          {[]string{started + shell, "PATH=" + dir}, "", false, []string{"there is no pwsh in PATH"}, false},
		"in .env":                {nil, "LANG=C\r\n" + started + hook + "\r\n", false, nil, true},
		"in .env, enforced":      {nil, started + hook, true, []string{"ALLOWED_REPOSITORIES cannot be enforced", "in " + dir + "/.env takes the place"}, false},
		"the other one in .env":  {nil, completed + hook, true, nil, false},
		"a wrong one in .env":    {[]string{completed + hook}, completed + "/b.sh", true, []string{"COMPLETED is /b.sh"}, false},
		"another name in .env":   {nil, "X" + started + "/b.py\n#" + started + "/b.py", true, nil, false},
		"a file below a file":    {[]string{started + hook + "/x.sh"}, "", false, []string{"cannot be read"}, false},
		"a relative one is none": {[]string{started + "own.sh"}, "", false, []string{"begins with /"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(row.own), 0o644); err != nil {
				t.Fatal(err)
			}
			doubt, err := CheckHooks(row.environ, dir, row.enforced)
			if errors.Is(err, ErrConfiguration) != (row.wrong != nil) || (doubt != "") != row.doubt {
				t.Fatalf("%q, %v", doubt, err)
			}
			for _, want := range row.wrong {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
		})
	}
}
