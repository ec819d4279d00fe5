package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
	"github.com/virtuoso902/org-runner/runner"
)

// checkNetwork reaches for what the runner needs, and looks at GitHub's clock in
// the answer. Nothing but a request without credentials is made.
func checkNetwork(ctx context.Context, c config.Config) []finding {
	addresses := needed(c)
	transport := register.NewTransport()
	clock := notChecked("GitHub did not answer", onClock)
	var checks []func(context.Context) []finding
	for i, address := range addresses {
		checks = append(checks, timed(func(ctx context.Context) []finding {
			header, err := reach(ctx, transport, address)
			if err != nil {
				return []finding{unreached(address.Host, err)}
			}
			if date, err := http.ParseTime(header.Get("Date")); i == 0 && err == nil {
				clock = []finding{judgeClock(time.Since(date), c.Credentials.Kind == config.App)}
			}
			return nil
		}))
	}
	if failures := sideways(ctx, checks); len(failures) > 0 {
		return append(clock, slices.Compact(failures)...) // a proxy refuses all for one reason
	}
	how := ""
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: c.APIURL}); err == nil && proxy != nil {
		how = " through the proxy " + proxy.Host
	}
	return append(clock, ok(onNetwork, "%s reached%s", plural(len(addresses), "address"), how))
}

// needed are the servers that a runner talks to, the API first.
func needed(c config.Config) []*url.URL {
	root := func(u *url.URL) *url.URL { return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"} }
	addresses := []*url.URL{root(c.APIURL)}
	if c.ServerURL.Host != c.APIURL.Host {
		addresses = append(addresses, root(c.ServerURL))
	}
	if c.ServerURL.Host != "github.com" {
		return addresses
	}
	// docs.github.com, "Self-hosted runners reference", communication; and where
	// the runner's own --check looks.
	hosts := []string{"codeload.github.com", "broker.actions.githubusercontent.com", "pipelines.actions.githubusercontent.com", "results-receiver.actions.githubusercontent.com"}
	if !c.DisableAutoUpdate {
		hosts = append(hosts, "objects.githubusercontent.com")
	}
	for _, host := range hosts {
		addresses = append(addresses, &url.URL{Scheme: "https", Host: host, Path: "/"})
	}
	return addresses
}

// reach makes a request without credentials; any answer is one, a redirection
// too.
func reach(ctx context.Context, transport http.RoundTripper, address *url.URL) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	response, err := transport.RoundTrip(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, errors.New("no answer")
	}
	if err != nil {
		return nil, err
	}
	return response.Header, response.Body.Close()
}

// unreached says why a server could not be reached.
func unreached(host string, err error) finding {
	f := fail(onNetwork, host+" cannot be reached: "+err.Error(), "check this container's network and DNS, its firewall, and HTTPS_PROXY and NO_PROXY")
	f.code = exitUnreachable
	var certificate *tls.CertificateVerificationError
	var proxy *register.Error
	switch {
	case errors.As(err, &proxy):
		f.code, f.Detail, f.Remedy = exitCode(err), proxy.Message, proxy.Remedy
	case errors.As(err, &certificate):
		f.code = exitConfiguration
		f.Remedy = "if a proxy of your own opens the connections, set SSL_CERT_FILE to a file with its authority's certificate; otherwise check the address and this machine's clock"
	}
	return f
}

// judgeClock says whether this machine's clock, ahead of GitHub's by so much, is
// right enough. GitHub's is told in whole seconds.
func judgeClock(ahead time.Duration, app bool) finding {
	const (
		skew = 30 * time.Second
		// An App's tokens are dated back by a minute and good for nine in all
		// (register/app.go).
		appAhead  = 55 * time.Second
		appBehind = 8*time.Minute - 5*time.Second
	)
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("this machine's is %s %s GitHub's", ahead.Abs().Round(time.Second), direction)
	switch {
	case app && (ahead > appAhead || ahead < -appBehind):
		return fail(onClock, text+", which dates the App's tokens so that GitHub refuses them", "set the clock (NTP)")
	case ahead.Abs() > skew:
		return warn(onClock, text, "set the clock (NTP): certificates and logs depend on it")
	}
	return ok(onClock, "as GitHub's")
}

// parts is what the runner's folder has to hold.
var parts = []string{"config.sh", "run.sh", "env.sh", "run-helper.sh.template", "bin/Runner.Listener"}

// runnerVersion asks the official runner in a folder for its version; "" if there
// is none. environ has no credentials in it, and it is not asked as root: jobs can
// have changed it.
func runnerVersion(ctx context.Context, home string, environ []string) string {
	if os.Getuid() == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(home, "bin", "Runner.Listener"), "--version")
	command.Env = append([]string{}, environ...) // nil would be our own
	command.WaitDelay = time.Second
	out, err := command.Output()
	version := strings.TrimSpace(string(out))
	if err != nil || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		return ""
	}
	return version
}

// checkHere looks at this container.
func checkHere(c config.Config, environ []string) []finding {
	var missing []string
	for _, part := range parts {
		if _, err := os.Stat(filepath.Join(c.Home, part)); err != nil {
			missing = append(missing, part)
		}
	}
	// On a host there is no runner, and in the image we are process 1.
	folder := judgeFolder(c.Home, missing, os.Getpid() == 1)
	if folder.Result == skipped {
		return notChecked("not in the container; docker compose run --rm runner check looks at it there", ofContainer...)
	}
	work := existing(workFolder(c))
	findings := append([]finding{folder, checkFolders(c)}, checkReset(c)...)
	findings = append(findings, checkHooks(environ, c))
	if free, total, err := room(work); err != nil {
		findings = append(findings, skip(onDisk, "%s: %v", work, err))
	} else {
		findings = append(findings, judgeRoom(free, total))
	}
	return append(findings, checkRecords(c.Records, sameDisk), checkDocker(config.DockerHost(environ)))
}

// judgeFolder says whether the official runner is whole.
func judgeFolder(home string, missing []string, inContainer bool) finding {
	switch {
	case len(missing) == 0:
		return ok(onRunnerFolder, "%s is complete", home)
	case len(missing) == len(parts) && !inContainer:
		return skip(onRunnerFolder, "not in the container")
	}
	return fail(onRunnerFolder, home+" lacks "+quoted(missing), "set RUNNER_HOME to the folder of the official runner (/home/runner in the image), take away what is mounted over it, or build the image anew")
}

// workFolder is where jobs work, as an absolute path.
func workFolder(c config.Config) string {
	if filepath.IsAbs(c.WorkDir) {
		return c.WorkDir
	}
	return filepath.Join(c.Home, c.WorkDir)
}

// existing is the nearest folder above a path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// checkHooks looks at the operator's own hooks.
func checkHooks(environ []string, c config.Config) finding {
	doubt, err := runner.CheckHooks(environ, c.Home, len(c.AllowedRepositories.Rules()) > 0)
	switch {
	case err != nil:
		return fail(onHooks, strings.TrimPrefix(err.Error(), runner.ErrConfiguration.Error()+": "), "")
	case doubt != "":
		return warn(onHooks, doubt, "")
	}
	return ok(onHooks, "those that are named can run")
}

// checkRecords looks where job records are to be kept. A folder of the container
// itself is emptied between jobs, or goes with the container.
func checkRecords(path string, sameDisk func(a, b string) bool) finding {
	if path == "" {
		return ok(onRecords, "told in the log only: RUNNER_RECORDS is not set")
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".org-runner-check-*")
	if err != nil {
		return warn(onRecords, fmt.Sprintf("%s cannot be written: %v", dir, cause(err)), fmt.Sprintf("mount a volume there that uid %d may write, or set RUNNER_RECORDS to a file on one", os.Getuid()))
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if sameDisk(dir, "/") {
		return warn(onRecords, path+" is in the container itself, and goes with it", "mount a volume at "+dir+", as monitoring/records.yml does")
	}
	return ok(onRecords, "%s, on a volume", path)
}

// cause is the part of a path error that does not repeat the path.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// judgeRoom looks at the disk below the work folder, in bytes.
func judgeRoom(free, total uint64) finding {
	const (
		least = 2 << 30
		share = 20 // a twentieth
		gib   = 1 << 30
	)
	text := fmt.Sprintf("%.1f GiB of %.1f GiB are free for the work folder", float64(free)/gib, float64(total)/gib)
	if free < least || free < total/share {
		return warn(onDisk, text, "make room (docker system prune), or mount a larger volume at the work folder")
	}
	return ok(onDisk, "%s", text)
}
