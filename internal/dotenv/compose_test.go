package dotenv_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/dotenv"
)

// What docker compose makes of a file is what this package makes of it, or an error
// here: never another value.
func TestAsCompose(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("no Docker Compose: %s", out)
	}
	for _, text := range []string{
		"A=1 # c", "A=1\t# c", "A=# c", "A= # c", "A=a#b", `A='it\'s'`, `A='a\\b'`, "A=$$x", "A=a$", "A=a$1b", `A="\$x $$y"`, "A='x $$y'", `A="a\qb\t\"c\\"`, `A=x\ny`,
		"A =1", "export A=1", "\ufeffA=1\r\nB=2\r", "A=1\nA=2", "A='a\nb'", "A=\u00a01\u00a0", "A=a\\", `A="1"#c`, `A=a"b"`, "A=\"\"", "A=''", "A=", "A=a=b", "A='a' # 'b'", "A=\"a\\\nb\"", "A",
	} {
		theirs, err := composeReads(t, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		file, err := dotenv.Parse([]byte(text))
		if err != nil {
			t.Logf("%q is an error: %v", text, err)
			continue
		}
		if ours, _ := file.Get("A"); ours != theirs {
			t.Errorf("%q: %q, and compose has %q", text, ours, theirs)
		}
	}
}

// composeReads is the value of A.
func composeReads(t *testing.T, text string) (string, error) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	command := exec.Command("docker", "compose", "--env-file", write("env", text), "-f", write("compose.yml", "services: {a: {image: x, environment: {A: \"${A:-}\"}}}\n"), "config", "--format", "json")
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	out, err := command.Output()
	if err != nil {
		return "", err
	}
	var config struct {
		Services map[string]struct{ Environment map[string]string }
	}
	if err := json.Unmarshal(out, &config); err != nil {
		return "", err
	}
	return strings.ReplaceAll(config.Services["a"].Environment["A"], "$$", "$"), nil // config writes $ so that it can be read again
}
