package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
)

// checkNetwork reaches for what the runner needs. Nothing but a connection is
// made, and no credential is sent.
func checkNetwork(ctx context.Context, c config.Config) []finding {
	addresses := []string{rootOf(c.ServerURL)}
	if api := rootOf(c.APIURL); api != addresses[0] {
		addresses = append(addresses, api)
	}
	if c.ServerURL.Host == "github.com" {
		// docs.github.com, "Communication requirements for self-hosted runners".
		addresses = append(addresses, "https://codeload.github.com", "https://pipelines.actions.githubusercontent.com",
			"https://results-receiver.actions.githubusercontent.com", "https://objects.githubusercontent.com")
	}
	var checks []func(context.Context) []finding
	for _, address := range addresses {
		checks = append(checks, timed(func(ctx context.Context) []finding {
			if err := reach(ctx, address); err != nil {
				return []finding{{Check: "network", Result: bad, code: exitUnreachable, Detail: hostOf(address) + " cannot be reached: " + err.Error(),
					Remedy: "check this container's network and DNS, its firewall, and HTTPS_PROXY and NO_PROXY"}}
			}
			return nil
		}))
	}
	if failures := sideways(ctx, checks); len(failures) > 0 {
		return failures
	}
	how := ""
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: c.APIURL}); err == nil && proxy != nil {
		how = " through the proxy " + proxy.Host
	}
	return []finding{ok("network", "%s%s", plural(len(addresses), "address")+" reached", how)}
}

// rootOf is the address of a server, without a path.
func rootOf(u *url.URL) string { return u.Scheme + "://" + u.Host + "/" }

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// reach makes a request without credentials; any answer is one.
func reach(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer")
	}
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// parts is what the runner's folder has to hold.
var parts = []string{"config.sh", "run.sh", "env.sh", "run-helper.sh.template", "bin/Runner.Listener"}

// runnerVersion asks the official runner in a folder for its version; "" if
// there is none. It gets no credentials: jobs can have changed it.
func runnerVersion(ctx context.Context, home string, environ []string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(home, "bin", "Runner.Listener"), "--version")
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); !config.IsOurs(name) {
			command.Env = append(command.Env, variable)
		}
	}
	command.WaitDelay = time.Second
	out, err := command.Output()
	version := strings.TrimSpace(string(out))
	if err != nil || !versionNumber.MatchString(version) {
		return ""
	}
	return version
}

var versionNumber = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// checkHere looks at this container.
func checkHere(call Invocation, c config.Config) []finding {
	if _, err := os.Stat(c.Home); errors.Is(err, fs.ErrNotExist) {
		return []finding{skip("runner folder", "%s is not here: docker compose run --rm runner check looks at it in the container", c.Home)}
	}
	var missing []string
	for _, part := range parts {
		if _, err := os.Stat(filepath.Join(c.Home, part)); err != nil {
			missing = append(missing, part)
		}
	}
	var findings []finding
	if len(missing) > 0 {
		findings = append(findings, fail("runner folder", c.Home+" lacks "+quoted(missing), "set RUNNER_HOME to the folder of the official runner, or build the image anew"))
	} else {
		findings = append(findings, ok("runner folder", "%s is complete", c.Home))
	}
	work := c.WorkDir
	if !filepath.IsAbs(work) {
		work = filepath.Join(c.Home, work)
	}
	findings = append(findings, checkWritable(c.Home), checkRoom(existing(work)))
	return append(findings, checkDocker()...)
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

func checkWritable(dir string) finding {
	f, err := os.CreateTemp(dir, ".org-runner-check-*")
	if err != nil {
		return fail("writable", fmt.Sprintf("%s cannot be written: %v", dir, err), "the runner keeps its registration there: mount a volume or tmpfs that its user owns")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return ok("writable", "%s", dir)
}

const (
	leastRoom  = 2 << 30 // bytes
	leastShare = 20      // a twentieth
)

// checkRoom looks at the disk below the work folder.
func checkRoom(dir string) finding {
	free, total, err := room(dir)
	if err != nil {
		return skip("disk", "%s: %v", dir, err)
	}
	text := fmt.Sprintf("%.1f GiB of %.1f GiB are free for the work folder", float64(free)/(1<<30), float64(total)/(1<<30))
	if free < leastRoom || free < total/leastShare {
		return warn("disk", text, "make room (docker system prune), or mount a larger volume at the work folder")
	}
	return ok("disk", "%s", text)
}

// checkDocker says whether jobs can use an engine; neither is wrong.
func checkDocker() []finding {
	const socket = "/var/run/docker.sock"
	if _, err := os.Stat(socket); err != nil {
		return []finding{ok("docker", "no socket here: jobs that use docker will fail, and none can reach the host's engine")}
	}
	connection, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return []finding{warn("docker", fmt.Sprintf("%s is here and cannot be used: %v", socket, err), "give the container the socket's group (group_add in compose), or do not mount it")}
	}
	_ = connection.Close()
	return []finding{warn("docker", "jobs can use the host's engine: they are root there, and can read this container's token", "take the socket away unless every contributor of every repository is trusted")}
}
