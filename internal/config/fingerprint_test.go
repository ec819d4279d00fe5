package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFingerprint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "ghp_one")
	base := []string{"GITHUB_ORGANIZATION=acme", "LABELS=a", "GITHUB_TOKEN_FILE=" + file, "HOME=/x", "RUNNER_HOME=" + filepath.Dir(file)}
	first := Fingerprint(base, "salt", "1.0")
	with := func(more ...string) string {
		return Fingerprint(append(append([]string{}, base...), more...), "salt", "1.0")
	}
	if with() != first || with("HOSTNAME=other", "INVOCATION_ID=7", "LABELS=a", "GITHUB_APP_ID=", "PATH=/bin") != first {
		t.Error("it changes without a change of the configuration")
	}
	for name, other := range map[string]string{
		"a variable":             with("LABELS=b"),
		"a secret":               with("RUNNER_TOKEN=A123"),
		"a proxy":                with("https_proxy=http://proxy:3128"),
		"the runner's own":       with("ACTIONS_RUNNER_HOOK_JOB_STARTED=/hook.sh"),
		"the salt":               Fingerprint(base, "pepper", "1.0"),
		"another program":        Fingerprint(base, "salt", "1.1"),
		"one text, cut elsewise": Fingerprint(base, "salt1", ".0"),
	} {
		if other == first {
			t.Errorf("it does not change with %s", name)
		}
	}
	write(file, "ghp_two")
	second := with()
	if second == first {
		t.Error("it does not change with a file's content")
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if with() == second {
		t.Error("it does not change with a file's mode")
	}
	write(filepath.Join(filepath.Dir(file), "other"), "written by a job")
	if got := with("RUNNER_RECORDS=" + filepath.Join(filepath.Dir(file), "other")); got == first || len(got) != 32 {
		t.Errorf("%q", got)
	}
}

// The mark of a configuration with a secret tells nothing to who has all but that.
func TestFingerprintIsKeyedByTheSecrets(t *testing.T) {
	environ := []string{"GITHUB_ORGANIZATION=acme", "GITHUB_TOKEN=ghp_secret"}
	mark := Fingerprint(environ, "salt")
	for _, guess := range []string{Fingerprint(environ[:1], "salt"), Fingerprint([]string{environ[0], "LABELS=ghp_secret"}, "salt")} {
		if guess == mark {
			t.Error("it is the same without the secret in its place")
		}
	}
}
