//go:build linux

package runnertest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/runnertest"
)

// What is measured, and what CI holds below its budget, is what the image has.
func TestImageFlags(t *testing.T) {
	for _, file := range []string{"../../Dockerfile", "../../.ci/run"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "go build "+runnertest.ImageFlags+" ") {
			t.Errorf("%s builds with other flags than %s", file, runnertest.ImageFlags)
		}
	}
}

func TestConfigure(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		group := f.AddGroup("acme", githubtest.Group{Name: "Fleet"})
		p := f.configure("--runnergroup", "fleet", "--labels", "gpu,GPU,linux", "--work", "jobs", "--ephemeral", "--disableupdate")
		if p.end() != 0 {
			t.Fatal(p.output())
		}
		p.says("√ Connected to GitHub", "√ Runner successfully added", "√ Settings Saved.")
		r := f.Runners()[0]
		if r.Name != "one" || r.GroupID != group || !slices.Equal(r.Labels, []string{"self-hosted", "Linux", "X64", "gpu"}) || !r.Ephemeral || r.WorkDir != "jobs" || r.Online {
			t.Errorf("GitHub has %+v", r)
		}
		text, err := os.ReadFile(filepath.Join(f.dir, ".runner"))
		if err != nil {
			t.Fatal(err)
		}
		plain, marked := strings.CutPrefix(string(text), "\xef\xbb\xbf")
		var s struct {
			AgentID       int64 `json:"agentId"`
			AgentName     string
			PoolName      string
			Ephemeral     bool
			DisableUpdate bool
			GitHubURL     string `json:"gitHubUrl"`
			WorkFolder    string
		}
		if err := json.Unmarshal([]byte(plain), &s); err != nil || !marked || s.AgentID != r.ID || s.AgentName != "one" || s.PoolName != "Fleet" || !s.Ephemeral || !s.DisableUpdate || s.WorkFolder != "jobs" || s.GitHubURL != f.URL()+"/acme" {
			t.Errorf(".runner is %q: %v", text, err)
		}
		env, _ := os.ReadFile(filepath.Join(f.dir, ".env"))
		path, _ := os.ReadFile(filepath.Join(f.dir, ".path"))
		if string(env) != "LANG=C.UTF-8\n" || string(path) != os.Getenv("PATH")+"\n" || !f.has(".credentials") || !f.has(".credentials_rsaparams") {
			t.Errorf(".env %q, .path %q", env, path)
		}
		p = f.configure("--replace")
		if p.end() != 1 {
			t.Error("config.sh configures twice")
		}
		p.says("Cannot configure the runner because it is already configured. To reconfigure the runner, run 'config.cmd remove' or './config.sh remove' first.")
	})
}

// What config.sh refuses, in its words, and how often it asks GitHub.
func TestConfigureRefusals(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		args    []string
		arrange func(f *folder)
		says    string
		asked   int
	}{
		{"unknown option", []string{"--label", "a"}, nil, "Unrecognized command-line input arguments for command configure: '--label, a'. For usage refer to: .\\config.cmd --help or ./config.sh --help", 0},
		{"no labels at all", []string{"--no-default-labels"}, nil, "Disabling default labels via --no-default-labels without specifying --labels is not supported", 0},
		{"long label", []string{"--labels", strings.Repeat("x", 257)}, nil, "Invalid configuration provided for labels. Terminating unattended configuration.", 0},
		{"unknown group", []string{"--runnergroup", "none"}, nil, `Could not find any self-hosted runner group named "none".`, 1},
		{"name taken", nil, func(f *folder) { f.AddRunner(githubtest.Runner{Scope: "acme", Name: "One"}) }, "A runner exists with the same name one.", 1},
		{"another organization", []string{"--url", "OTHER"}, nil, "Response status code does not indicate success: 404 (Not Found).", 1},
		{"GitHub in trouble", nil, func(f *folder) { f.Inject(githubtest.Fault{Operation: "runner:register", Status: 500}) }, "Response status code does not indicate success: 500 (Internal Server Error).", 3},
		{"told to fail", nil, func(f *folder) { f.Behave(githubtest.Behaviour{ConfigFail: 1}) }, "told to fail", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			withScripts(t, func(t *testing.T, f *folder) {
				if row.arrange != nil {
					row.arrange(f)
				}
				args := slices.Clone(row.args)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "OTHER", f.URL()+"/other")
				}
				p := f.configure(args...)
				if code := p.end(); code != 1 {
					t.Errorf("exit code %d", code)
				}
				p.says(row.says)
				if got := f.Count("runner:register"); got != row.asked || f.has(".runner") {
					t.Errorf("GitHub was asked %d times, want %d; .runner: %t", got, row.asked, f.has(".runner"))
				}
			})
		})
	}
}

func TestConfigureHangs(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		withScriptsNamed(t, map[bool]string{false: "before", true: "after"}[after], func(t *testing.T, f *folder) {
			f.Behave(githubtest.Behaviour{ConfigHang: !after, ConfigHangAfter: after})
			p := f.configure()
			if after {
				f.until("a registration", func() bool { return len(f.Runners()) == 1 })
			}
			var found []int
			f.poll("the listener", func() bool { found = f.processes("Runner.Listener configure"); return len(found) == 1 })
			f.poll("its asking", func() bool { return f.Count("runner:behaviour") > 0 })
			if err := syscall.Kill(found[0], syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if code := p.end(); code != 1 || f.has(".runner") || (len(f.Runners()) == 1) != after {
				t.Errorf("exit code %d, .runner %t, %+v", code, f.has(".runner"), f.Runners())
			}
			p.says("Exiting...")
		})
	}
}

func TestRemove(t *testing.T) {
	withScripts(t, func(t *testing.T, f *folder) {
		f.mustConfigure()
		p := f.start("config.sh", "remove", "--token", "A123")
		if p.end() != 1 || len(f.Runners()) != 1 || !f.has(".runner") {
			t.Errorf("with a bad token:\n%s", p.output())
		}
		p.says("Failed: Removing runner from the server")
		p = f.start("config.sh", "remove", "--token", f.RegistrationToken("acme"))
		if p.end() != 0 || len(f.Runners()) != 0 || f.has(".runner") || f.has(".credentials") {
			t.Errorf("with a good one:\n%s", p.output())
		}
		p.says("√ Runner removed successfully", "√ Removed .credentials", "√ Removed .runner")
		p = f.start("config.sh", "remove", "--token", "A123")
		if p.end() != 0 {
			t.Errorf("without a registration:\n%s", p.output())
		}
	})
}

func TestRootIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: the scripts have nothing to refuse")
	}
	withScripts(t, func(t *testing.T, f *folder) {
		f.env = slices.DeleteFunc(f.env, func(v string) bool { return strings.HasPrefix(v, "RUNNER_ALLOW_RUNASROOT=") })
		p := f.configure()
		if p.end() != 1 {
			t.Error("root configures")
		}
		p.says("Must not run with sudo")
		p = f.start("run.sh")
		p.end()
		p.says("Must not run interactively with sudo")
	})
}
