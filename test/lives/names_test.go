//go:build linux

package lives

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// Each secret, in each of the ways to write it, under a second name: neither
// config.sh nor a job sees the variable, the log names it, and what holds no secret
// of ours comes through.
func TestSecretUnderAnotherName(t *testing.T) {
	t.Parallel()
	code := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, credentials := range map[string]func(w *world) (secret string, changes []string){
		"token": func(*world) (string, []string) { return goodToken, nil },
		"token file": func(w *world) (string, []string) {
			return goodToken, []string{"GITHUB_TOKEN=", "GITHUB_TOKEN_FILE=" + w.secretFile(goodToken)}
		},
		"App": func(w *world) (string, []string) {
			key := w.addApp()
			return key, []string{"GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY=" + strings.ReplaceAll(key, "\n", `\n`)}
		},
		"App file": func(w *world) (string, []string) {
			key := w.addApp()
			return key, []string{"GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY_FILE=" + w.secretFile(key)}
		},
		"registration token": func(w *world) (string, []string) {
			token := w.RegistrationToken("acme")
			return token, []string{"GITHUB_TOKEN=", "RUNNER_TOKEN=" + token}
		},
		"JIT configuration": func(w *world) (string, []string) {
			jit := w.JITConfig("acme", "ready", "self-hosted")
			return jit, []string{"GITHUB_TOKEN=", "RUNNER_JITCONFIG=" + jit}
		},
		"the monitor's": func(*world) (string, []string) {
			return "ghp_the-monitors-own", []string{"MONITOR_GITHUB_TOKEN=ghp_the-monitors-own"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			secret, changes := credentials(w)
			for name, value := range map[string]string{
				"ZZ_PLAIN": secret, "ZZ_LINE": strings.ReplaceAll(secret, "\n", `\n`), "ZZ_BASE64": code(secret), "ZZ_BASIC": "Basic " + code("x-access-token:"+secret),
				"ZZ_ADDRESS": "https://x:" + strings.TrimSpace(strings.ReplaceAll(secret, "\n", "%0A")) + "@github.com/", "zz_quoted": `"` + secret + `"`, "ZZ_JSON": `{"a":"` + secret + `"}`,
			} {
				changes = append(changes, name+"="+value)
			}
			job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"env; cat /proc/$PPID/environ; cat ../../../.env ../../../.path 2>/dev/null || true"}})
			l := w.start(append(changes, "HARMLESS=comes-through", "HTTPS_PROXY=", "SSL_CERT_FILE= ", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED=")...)
			l.end(0)
			w.none()
			j := w.Job(job)
			if j.Result != "success" || !strings.Contains(j.Log, "HARMLESS=comes-through") {
				t.Errorf("the job: %+v", j)
			}
			for _, empty := range []string{"HTTPS_PROXY", "SSL_CERT_FILE", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"} {
				if strings.Contains(j.Log, empty) {
					t.Errorf("the job sees %s, which is set to nothing", empty)
				}
			}
			if at := strings.Index(strings.ToUpper(j.Log), "ZZ_"); at >= 0 {
				t.Errorf("the job sees %.20s…", j.Log[at:])
			}
			for _, name := range []string{"ZZ_PLAIN", "ZZ_LINE", "ZZ_BASE64", "ZZ_BASIC", "ZZ_ADDRESS", "zz_quoted", "ZZ_JSON"} {
				if !strings.Contains(l.out.String(), name+" holds credentials of org-runner") {
					t.Errorf("%s is not named", name)
				}
			}
			w.noSecretIn("the log", l.out.String())
		})
	}
}
