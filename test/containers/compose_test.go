//go:build linux

package containers

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// project is docker-compose.yml as it is, with an .env of the test's.
type project struct {
	o    *organization
	name string
	env  string
	more []string // further files

	before string // the logs until down has removed the containers
}

func (o *organization) compose(lines ...string) *project {
	o.t.Helper()
	if out, err := try(docker, "compose", "version"); err != nil {
		if os.Getenv("ORG_RUNNER_REQUIRE_ENGINE") != "" {
			o.t.Fatal(err)
		}
		o.t.Skip("no Docker Compose: " + lastLine([]byte(out)))
	}
	p := &project{o: o, name: strings.ToLower(o.name), env: filepath.Join(o.t.TempDir(), "env")}
	text := strings.Join(append([]string{
		"ORG_RUNNER_IMAGE=" + image, "GITHUB_SERVER_URL=" + github.URL(), "GITHUB_ORGANIZATION=" + o.name, "GITHUB_TOKEN=" + goodToken, "RUNNER_CPUS=0.5", "RUNNER_MEMORY=512M",
	}, lines...), "\n")
	if err := os.WriteFile(p.env, []byte(text+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		if o.t.Failed() {
			o.t.Logf("logs:\n%s\n%s", p.before, p.logs())
		}
		_, _ = try(docker, p.args("down", "-v", "-t", "1")...)
	})
	return p
}

func (p *project) args(args ...string) []string {
	all := []string{"compose", "-p", p.name, "--env-file", p.env, "-f", filepath.Join(root, "docker-compose.yml")}
	for _, file := range p.more {
		all = append(all, "-f", file)
	}
	return append(all, args...)
}

func (p *project) do(args ...string) string {
	p.o.t.Helper()
	out, err := try(docker, p.args(args...)...)
	if err != nil {
		p.o.t.Fatal(err)
	}
	return out
}

func (p *project) logs() string {
	out, _ := try(docker, p.args("logs", "--no-color")...)
	return out
}

func (p *project) up(args ...string) {
	p.o.t.Helper()
	p.do(append([]string{"up", "-d", "--no-build"}, args...)...)
}

func (p *project) down() {
	p.o.t.Helper()
	p.do("stop")
	p.before = p.logs()
	p.do("down")
}

// One job after the other in the same service, each in a clean container, then
// down: nothing is left.
func TestComposeRestartsAfterEachJob(t *testing.T) {
	o := newOrganization(t)
	p := o.compose()
	first := o.enqueue("coach", poison)
	p.up()
	if j := o.completed(first); j.Result != "success" {
		t.Fatalf("the first job: %+v", j)
	}
	second := o.enqueue("mcp", check)
	j := o.completed(second)
	if j.Result != "success" {
		t.Errorf("the second job: %s", j.Log)
	}
	o.again(j, 1) // the third life waits
	p.down()
	o.none()
}

// What .env says of the network and of the official runner reaches the runner and
// its jobs; what it leaves empty is unset there.
func TestComposeHandsOnTheNetwork(t *testing.T) {
	o := newOrganization(t)
	address, err := url.Parse(github.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := o.compose("HTTPS_PROXY=http://user:hushhush@proxy.test:3128", "https_proxy=", "HTTP_PROXY=http://proxy.test:3128", "NO_PROXY="+address.Hostname(), "no_proxy="+address.Hostname(),
		"ACTIONS_RUNNER_CONTAINER_HOOKS=", "RUNNER_LOGRETENTION=3", "ACTIONS_RUNNER_HOOK_JOB_STARTED=", "ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER=false")
	job := o.enqueue("coach", "env | sort")
	p.up()
	j := o.completed(job)
	for _, line := range []string{"HTTPS_PROXY=http://user:hushhush@proxy.test:3128", "HTTP_PROXY=http://proxy.test:3128", "NO_PROXY=" + address.Hostname(), "no_proxy=" + address.Hostname(), "RUNNER_LOGRETENTION=3", "ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER=false"} {
		if !strings.Contains(j.Log, line+"\n") {
			t.Errorf("the job has no %s", line)
		}
	}
	for _, name := range []string{"https_proxy", "ACTIONS_RUNNER_CONTAINER_HOOKS", "RUNNER_WAIT_FOR_DOCKER_IN_SECONDS"} {
		if strings.Contains(j.Log, "\n"+name+"=") {
			t.Errorf("the job has %s, which is set to nothing", name)
		}
	}
	if logs := p.logs(); strings.Contains(logs, "hushhush") {
		t.Errorf("the proxy's password is shown:\n%s", logs)
	}
	o.again(j, 1)
	p.down()
	o.none()
}

// Five replicas: five names, five jobs at the same time, and none sees another.
func TestComposeScale(t *testing.T) {
	const replicas = 5
	o := newOrganization(t)
	p := o.compose()
	p.up("--scale", fmt.Sprint("runner=", replicas))
	o.online(replicas)
	names := map[string]bool{}
	for _, r := range o.runners() {
		names[r.Name] = true
	}
	if len(names) != replicas {
		t.Errorf("the names %v are not different", names)
	}
	var jobs []int64
	for range replicas {
		jobs = append(jobs, o.enqueue("coach", "hostname -I 2>/dev/null || awk '/32 host/ {print f} {f=$2}' /proc/net/fib_trie", "sleep 3"))
	}
	for _, id := range jobs {
		o.running(id)
	}
	atOnce := 0
	for _, id := range jobs {
		if github.Job(id).Status == "in_progress" {
			atOnce++
		}
	}
	if atOnce != replicas {
		t.Errorf("%d of %d jobs run at the same time", atOnce, replicas)
	}
	for _, id := range jobs {
		if j := o.completed(id); j.Result != "success" {
			t.Errorf("a job: %+v", j)
		}
	}
	// The next five lives wait. A stop that comes in the moment between a
	// container's end and its restart is the engine's to lose, not ours.
	o.online(replicas)
	p.down()
	o.none()
}

// A job that makes processes without end is told so, and the number is .env's.
func TestComposeBoundsProcesses(t *testing.T) {
	o := newOrganization(t)
	p := o.compose("RUNNER_PIDS=300")
	p.more = []string{filepath.Join(root, "docker-compose.override.yml")}
	job := o.enqueue("coach", "for i in $(seq 400); do sleep 30 & done 2>/dev/null; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true")
	p.up()
	id := strings.Fields(p.do("ps", "-q", "runner"))[0]
	if out, err := try(docker, "inspect", "--format", "{{.HostConfig.PidsLimit}}", id); err != nil || out != "300" {
		t.Errorf("the limit is %q, %v", out, err)
	}
	o.again(o.completed(job), 1) // and not for lack of the host
	p.down()
	o.none()
}

// down with a running job waits for it, as long as stop_grace_period gives.
func TestComposeDownDrains(t *testing.T) {
	o := newOrganization(t)
	p := o.compose("RUNNER_STOP_GRACE=30s")
	job := o.enqueue("coach", "sleep 8; echo finished") // longer than half of the default
	p.up()
	o.running(job)
	p.down()
	if j := github.Job(job); j.Result != "success" || !strings.Contains(j.Log, "finished") {
		t.Errorf("the job: %+v", j)
	}
	o.none()
}

// The token as a file: docker inspect does not show it, and check in a container
// of the same service finds everything right.
func TestComposeSecret(t *testing.T) {
	o := newOrganization(t)
	p := o.compose("GITHUB_TOKEN=", "GITHUB_TOKEN_FILE=/run/secrets/github_token")
	dir := t.TempDir()
	secret, override := filepath.Join(dir, "github_token"), filepath.Join(dir, "override.yml")
	for path, text := range map[string]string{secret: goodToken + "\n",
		override: "services:\n  runner:\n    user: root\n    secrets: [github_token]\nsecrets:\n  github_token:\n    file: " + secret + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	p.more = []string{override}
	job := o.enqueue("coach", "id -u; ! cat /run/secrets/github_token")
	p.up()
	if j := o.completed(job); j.Result != "success" || !strings.Contains(j.Log, "1001") {
		t.Errorf("the job: %+v", j)
	}
	o.online(1)
	for _, id := range strings.Fields(p.do("ps", "-q")) {
		if out, err := try(docker, "inspect", id); err != nil || strings.Contains(out, goodToken) {
			t.Errorf("docker inspect shows the token, or fails: %v", err)
		}
	}
	if out := p.do("run", "--rm", "runner", "check"); !strings.Contains(out, "0 failures") {
		t.Errorf("check says\n%s", out)
	}
	p.down()
	o.none()
}

// Neighbours on the runners' network do not reach each other; GitHub they do.
func TestRunnersDoNotSeeEachOther(t *testing.T) {
	o := newOrganization(t)
	p := o.compose()
	p.up("--scale", "runner=2")
	o.online(2)
	var addresses []string
	for _, id := range strings.Fields(p.do("ps", "-q")) {
		address, err := try(docker, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
	}
	// Both listen on a port and try the other's.
	script := `(exec 3<>/dev/tcp/` + strings.TrimPrefix(strings.Split(github.URL(), ":")[1], "//") + `/` + strings.Split(github.URL(), ":")[2] + `) && echo reached GitHub
for address in ` + strings.Join(addresses, " ") + `; do
  if ip=$(awk '/32 host/ {print f} {f=$2}' /proc/net/fib_trie | grep -c "^$address$"); then continue; fi
  if timeout 3 bash -c "exec 3<>/dev/tcp/$address/9" 2>err; then echo "reached $address"; elif grep -q refused err; then echo "reached $address"; else echo "closed $address"; fi
done`
	job := o.enqueue("coach", script)
	j := o.completed(job)
	// A refused connection would mean that the neighbour's kernel answered.
	if strings.Contains(j.Log, "reached 1") || !strings.Contains(j.Log, "closed 1") || !strings.Contains(j.Log, "reached GitHub") {
		t.Errorf("the job says\n%s", j.Log)
	}
	o.again(j, 2)
	p.down()
	o.none()
}

// A wrong token under a restart policy: a clear message, and no hammering.
func TestComposeWrongToken(t *testing.T) {
	o := newOrganization(t)
	p := o.compose("GITHUB_TOKEN=ghp_wrong-one")
	before := github.Count("registration-token")
	p.up()
	for deadline := time.Now().Add(patience); !strings.Contains(p.logs(), "waiting until"); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no wait in\n%s", p.logs())
		}
	}
	if got := github.Count("registration-token") - before; got != 1 {
		t.Errorf("GitHub was asked %d times before the first wait", got)
	}
	if !strings.Contains(p.logs(), "the token is wrong, expired or revoked") {
		t.Errorf("the log says\n%s", p.logs())
	}
	p.down()
	o.none()
}

// No network at the start, network later: the runner comes.
func TestGitHubComesLater(t *testing.T) {
	o := newOrganization(t)
	github.SetDown(true)
	defer github.SetDown(false)
	c := o.run()
	for deadline := time.Now().Add(patience); !strings.Contains(c.logs(), "retrying in "); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never tried again")
		}
	}
	github.SetDown(false)
	o.online(1)
	c.do("stop", c.id)
	o.none()
}
