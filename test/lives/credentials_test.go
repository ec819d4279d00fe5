//go:build linux

package lives

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// appKey is made once: it takes a while.
var appKey = func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}()

func (w *world) addApp() string {
	w.AddApp(githubtest.App{ID: "Iv1.app", Key: &appKey.PublicKey, Installations: map[string]int64{"acme": 99},
		Permissions: map[string]string{"organization_self_hosted_runners": "write", "administration": "write"}})
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(appKey)}))
}

func (w *world) secretFile(text string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// Every kind of credentials, every way to register, every target: a whole life
// with a job, and one that is stopped.
func TestCredentialsMatrix(t *testing.T) {
	t.Parallel()
	targets := map[string]struct{ scope, variable string }{
		"organization": {"acme", "GITHUB_ORGANIZATION=acme"},
		"repository":   {"acme/coach", "GITHUB_REPOSITORY=acme/coach"},
		"enterprise":   {"enterprises/corp", "GITHUB_ENTERPRISE=corp"},
	}
	kinds := map[string]func(w *world, scope string) []string{
		"token":      func(w *world, _ string) []string { return []string{"GITHUB_TOKEN=" + goodToken} },
		"token file": func(w *world, _ string) []string { return []string{"GITHUB_TOKEN_FILE=" + w.secretFile(goodToken)} },
		"App": func(w *world, _ string) []string {
			return []string{"GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY=" + strings.ReplaceAll(w.addApp(), "\n", `\n`)}
		},
		"App file": func(w *world, _ string) []string {
			return []string{"GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY_FILE=" + w.secretFile(w.addApp()), "GITHUB_APP_INSTALLATION_ID=99"}
		},
		"registration token": func(w *world, scope string) []string { return []string{"RUNNER_TOKEN=" + w.RegistrationToken(scope)} },
		"registration token file": func(w *world, scope string) []string {
			return []string{"RUNNER_TOKEN_FILE=" + w.secretFile(w.RegistrationToken(scope))}
		},
		"JIT configuration": func(w *world, scope string) []string {
			return []string{"RUNNER_JITCONFIG=" + w.JITConfig(scope, "ready", "self-hosted")}
		},
	}
	for kind, credentials := range kinds {
		for target, where := range targets {
			for _, registration := range []string{"config", "jit"} {
				ready := strings.HasPrefix(kind, "registration") || strings.HasPrefix(kind, "JIT")
				if ready && registration == "jit" || target == "enterprise" && strings.HasPrefix(kind, "App") {
					continue // what does not exist, and is refused by the configuration's own tests
				}
				t.Run(strings.Join([]string{kind, target, registration}, "/"), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, githubtest.Options{})
					w.AddEnterprise("corp")
					w.AddToken(githubtest.Token{Value: "ghp_the-monitors"})
					changes := []string{"GITHUB_TOKEN=", "MONITOR_GITHUB_TOKEN=ghp_the-monitors", "GITHUB_ORGANIZATION=", where.variable}
					if !ready {
						changes = append(changes, "RUNNER_REGISTRATION="+registration)
					}
					changes = append(changes, credentials(w, where.scope)...)
					job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"env; cat /proc/$PPID/environ"}})
					l := w.start(changes...)
					l.end(0)
					w.none()
					if j := w.Job(job); j.Result != "success" {
						t.Errorf("the job: %+v", j)
					}
					w.noSecretIn("the job", w.Job(job).Log)
					w.noSecretIn("the log", l.out.String())

					if kind == "JIT configuration" {
						return // good for one runner
					}
					l = w.start(changes...)
					w.untilOnline()
					l.signal(syscall.SIGTERM)
					l.end(0)
					w.none()
				})
			}
		}
	}
}

// A credential of a wrong form is sent nowhere: 78, and GitHub has seen nothing.
func TestWrongFormIsSentNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	code := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	registration, jit, key := w.RegistrationToken("acme"), w.JITConfig("acme", "ready", "self-hosted"), w.addApp()
	left := len(w.Runners()) // the JIT configuration's
	for name, changes := range map[string][]string{
		"bearer":               {"GITHUB_TOKEN=Bearer " + goodToken},
		"base64":               {"GITHUB_TOKEN=" + code(goodToken)},
		"a path":               {"GITHUB_TOKEN=/run/secrets/token"},
		"a registration token": {"GITHUB_TOKEN=" + registration},
		"a JIT configuration":  {"GITHUB_TOKEN=", "RUNNER_TOKEN=" + jit},
		"a token as JIT":       {"GITHUB_TOKEN=", "RUNNER_JITCONFIG=" + goodToken},
		"in a file":            {"GITHUB_TOKEN=", "GITHUB_TOKEN_FILE=" + w.secretFile("GITHUB_TOKEN="+goodToken)},
		"a key in base64":      {"GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY=" + code(key)},
		"a key's path":         {"GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY=/run/secrets/key.pem"},
	} {
		l := w.start(changes...)
		l.end(78)
		w.noSecretIn(name, l.out.String())
		for _, part := range []string{code(goodToken), code(key)[:60]} {
			if strings.Contains(l.out.String(), part) {
				t.Errorf("%s: it is shown", name)
			}
		}
	}
	w.counts(map[string]int{})
	if n := len(w.Runners()); n != left {
		t.Errorf("%d runners, want %d", n, left)
	}
}

// The calls of a life are counted: GitHub's limits are for a whole fleet.
func TestCallsOfALife(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		changes []string
		app     bool
		want    map[string]int
	}{
		{"config", nil, false, map[string]int{"registration-token": 1}},
		{"jit", []string{"RUNNER_REGISTRATION=jit"}, false, map[string]int{"generate-jitconfig": 1}},
		{"App", nil, true, map[string]int{"installation": 1, "access-token": 1, "registration-token": 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, githubtest.Options{})
			changes := row.changes
			if row.app {
				changes = append(changes, "GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY="+w.addApp())
			}
			w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
			w.start(changes...).end(0)
			w.counts(row.want)
		})
	}
}

// A job outlives the App's token: the delete of the stop gets a new one.
func TestTokenExpiresDuringTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	l := w.start("GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY="+w.addApp())
	w.untilOnline()
	w.ExpireInstallationTokens()
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
	w.counts(map[string]int{"installation": 1, "access-token": 2, "registration-token": 1, "delete-runner": 2})
}

// A clock that is wrong makes every JWT bad: the refusal says so.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{Skew: -5 * time.Minute})
	l := w.start("GITHUB_TOKEN=", "GITHUB_APP_ID=Iv1.app", "GITHUB_APP_PRIVATE_KEY="+w.addApp())
	l.end(77)
	// The Date header tells whole seconds, and the answer takes its time.
	if !regexp.MustCompile(`this machine's clock is (5m\d+s) ahead of GitHub's`).MatchString(l.out.String()) {
		t.Errorf("it says\n%s", l.out.String())
	}
}

// No argument list of any process holds a secret, at any time of a life.
func TestNoSecretOnACommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Behave(githubtest.Behaviour{ConfigDelay: 300 * time.Millisecond, StartDelay: 300 * time.Millisecond})
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 0.3"}})
	l := w.start()
	looks := 0
	for ended := false; !ended; looks++ {
		select {
		case <-l.ended:
			ended = true
		default:
		}
		w.noSecretIn("a command line", strings.Join(processes(w.home), "\n"))
	}
	l.end(0)
	if looks < 10 {
		t.Errorf("only %d looks", looks)
	}
}

// The custom authority of a server is trusted by us and by the runner.
func TestOwnCertificateAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{TLSHosts: []string{"127.0.0.1"}})
	l := w.start()
	l.end(78)
	if !strings.Contains(l.out.String(), "SSL_CERT_FILE") {
		t.Errorf("it says\n%s", l.out.String())
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	w.start("SSL_CERT_FILE=" + ca).end(0)
	w.none()
}
