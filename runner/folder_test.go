//go:build linux

package runner

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/secret"
)

const (
	settingsOfConfig = "\xef\xbb\xbf{\n  \"agentId\": 27,\n  \"agentName\": \"fleet-1\",\n  \"poolId\": 1,\n  \"ephemeral\": true,\n  \"gitHubUrl\": \"https://github.com/acme\"\n}"
	settingsOfJIT    = `{"AgentId":"27","AgentName":"fleet-1","Ephemeral":"True","GitHubUrl":""}`
)

func TestSettingsInBothSpellings(t *testing.T) {
	for name, text := range map[string]string{"config.sh": settingsOfConfig, "JIT": settingsOfJIT, "JIT with mark": "\xef\xbb\xbf" + settingsOfJIT} {
		got, err := ParseSettings([]byte(text))
		if want := (Settings{ID: 27, Name: "fleet-1"}); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "torn": settingsOfConfig[:40], "no id": `{"agentName":"x"}`, "zero": `{"agentId":0}`,
		"negative": `{"agentId":-1}`, "words": `{"agentId":"many"}`, "list": `[]`,
	} {
		if got, err := ParseSettings([]byte(text)); err == nil {
			t.Errorf("%s: %+v and no error", name, got)
		}
	}
}

// jitConfig makes a configuration as generate-jitconfig does.
func jitConfig(t testing.TB, files map[string]string) secret.String {
	t.Helper()
	encoded := make(map[string]string)
	for name, content := range files {
		encoded[name] = base64.StdEncoding.EncodeToString([]byte(content))
	}
	text, err := json.Marshal(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(base64.StdEncoding.EncodeToString(text))
}

func TestJITConfigIsSplitIntoPublicAndSecret(t *testing.T) {
	config := jitConfig(t, map[string]string{
		".runner": settingsOfJIT, ".credentials": `{"data":"hush"}`, ".credentials_rsaparams": `{"d":"hush"}`,
	})
	jit, err := ParseJITConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if jit.Settings != (Settings{27, "fleet-1"}) {
		t.Errorf("settings %+v", jit.Settings)
	}
	// What run.sh is given holds .runner and nothing else.
	text, err := base64.StdEncoding.DecodeString(jit.Public)
	if err != nil {
		t.Fatal(err)
	}
	var public map[string]string
	if err := json.Unmarshal(text, &public); err != nil {
		t.Fatal(err)
	}
	if len(public) != 1 || public[".runner"] != base64.StdEncoding.EncodeToString([]byte(settingsOfJIT)) {
		t.Errorf("the public part is %v", public)
	}

	home := t.TempDir()
	// A leftover of another mode must not lend it.
	if err := os.WriteFile(filepath.Join(home, ".credentials"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := jit.write(home, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{".runner": settingsOfJIT, ".credentials": `{"data":"hush"}`, ".credentials_rsaparams": `{"d":"hush"}`} {
		path := filepath.Join(home, name)
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestJITConfigErrorsTellNothing(t *testing.T) {
	for name, config := range map[string]secret.String{
		"no base64":    secret.New("hush!"),
		"no JSON":      secret.New(base64.StdEncoding.EncodeToString([]byte("hush"))),
		"no settings":  jitConfig(t, map[string]string{".credentials": "hush"}),
		"bad settings": jitConfig(t, map[string]string{".runner": "hush"}),
		"elsewhere":    jitConfig(t, map[string]string{".runner": settingsOfJIT, "../hush": "hush"}),
		"absolute":     jitConfig(t, map[string]string{".runner": settingsOfJIT, "/etc/hush": "hush"}),
		"parent":       jitConfig(t, map[string]string{".runner": settingsOfJIT, "..": "hush"}),
	} {
		_, err := ParseJITConfig(config)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "aHVzaA") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(settingsOfConfig))
	f.Add([]byte(settingsOfJIT))
	f.Add([]byte("\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, data []byte) {
		settings, err := ParseSettings(data)
		if err == nil && settings.ID <= 0 {
			t.Errorf("accepted id %d", settings.ID)
		}
	})
}

func FuzzParseJITConfig(f *testing.F) {
	f.Add(jitConfig(f, map[string]string{".runner": settingsOfJIT, ".credentials": "hush hush"}).Reveal())
	f.Add("e30=")
	f.Add("")
	f.Fuzz(func(t *testing.T, config string) {
		jit, err := ParseJITConfig(secret.New(config))
		if err == nil {
			for name := range jit.files {
				if strings.Contains(name, "/") || name == ".." {
					t.Errorf("would write %q", name)
				}
			}
		} else if len(config) > 12 && strings.Contains(err.Error(), config) {
			t.Errorf("the error holds the configuration: %v", err)
		}
	})
}
