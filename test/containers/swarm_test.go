//go:build linux

package containers

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stack is docker-compose.yml under Swarm, with what the README says to add.
type stack struct {
	o     *organization
	name  string
	files []string
}

func (o *organization) stack(override string) *stack {
	o.t.Helper()
	state, err := try(docker, "info", "--format", "{{.Swarm.LocalNodeState}}")
	if err != nil {
		o.t.Fatal(err)
	}
	if state != "active" {
		if _, err := try(docker, "swarm", "init", "--advertise-addr", "127.0.0.1"); err != nil {
			o.t.Fatal(err)
		}
		o.t.Cleanup(func() { _, _ = try(docker, "swarm", "leave", "--force") })
	}
	dir := o.t.TempDir()
	s := &stack{o: o, name: strings.ToLower(o.name)}
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		o.t.Fatal(err)
	}
	// Engines before 23.0 demand the line that Compose calls obsolete.
	const version = "version: \"3.9\"\n"
	for name, text := range map[string]string{"compose.yml": version + string(compose), "override.yml": version + override, "github_token": goodToken + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	s.files = []string{filepath.Join(dir, "compose.yml"), filepath.Join(dir, "override.yml")}
	o.t.Cleanup(func() {
		if o.t.Failed() {
			logs, _ := try(docker, "service", "logs", "--raw", s.name+"_runner")
			tasks, _ := try(docker, "stack", "ps", "--no-trunc", s.name)
			o.t.Logf("tasks:\n%s\nlogs:\n%s", tasks, logs)
		}
		s.remove()
	})
	return s
}

// deploy starts the stack; its variables come from the shell, as stack deploy
// reads no .env.
func (s *stack) deploy(environ ...string) {
	s.o.t.Helper()
	command := exec.Command(docker, "stack", "deploy", "--resolve-image", "never", "-c", s.files[0], "-c", s.files[1], s.name)
	command.Env = append(os.Environ(), append([]string{
		"ORG_RUNNER_IMAGE=" + image, "GITHUB_SERVER_URL=" + github.URL(), "GITHUB_ORGANIZATION=" + s.o.name, "RUNNER_CPUS=0.5", "RUNNER_MEMORY=512M",
	}, environ...)...)
	if out, err := command.CombinedOutput(); err != nil {
		s.o.t.Fatalf("%v\n%s", err, out)
	}
}

// remove takes the stack away and waits until its containers are gone.
func (s *stack) remove() {
	_, _ = try(docker, "stack", "rm", s.name)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		containers, err := try(docker, "ps", "-aq", "--filter", "label=com.docker.stack.namespace="+s.name)
		networks, _ := try(docker, "network", "ls", "-q", "--filter", "label=com.docker.stack.namespace="+s.name)
		if err == nil && containers == "" && networks == "" {
			return
		}
	}
}

// containers are the ids of those that run.
func (s *stack) containers() map[string]bool {
	out, _ := try(docker, "ps", "-q", "--filter", "label=com.docker.stack.namespace="+s.name)
	ids := map[string]bool{}
	for _, id := range strings.Fields(out) {
		ids[id] = true
	}
	return ids
}

// readmeStack is what the README says to add, with a secret of the test's, two
// replicas and health checks that come sooner.
func readmeStack(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "# swarm.yml\n")
	text, _, _ = strings.Cut(text, "```")
	for _, change := range [][2]string{
		{"external: true", "file: ./github_token"}, {"replicas: 5", "replicas: 2"},
		{"    deploy:\n", "      interval: 1s\n      start_period: 1ms\n      retries: 2\n    deploy:\n"},
	} {
		changed := strings.Replace(text, change[0], change[1], 1)
		if changed == text {
			t.Fatalf("the README's swarm.yml has no %q:\n%s", change[0], text)
		}
		text = changed
	}
	return text
}

// The Compose file under Swarm: the token as a secret, two replicas, a new
// container after each job, an update that lets a job finish, and nothing left.
func TestSwarm(t *testing.T) {
	o := newOrganization(t)
	s := o.stack(readmeStack(t))
	// Runners that wait for GitHub are not replaced: new ones would ask it anew.
	github.SetDown(true)
	defer github.SetDown(false)
	s.deploy("RUNNER_STOP_GRACE=40s")
	o.until("two runners that wait for GitHub", func() bool {
		waiting := 0
		for id := range s.containers() {
			health, _ := try(docker, "inspect", "--format", "{{json .State.Health}}", id)
			if strings.Contains(health, `"Status":"healthy"`) && strings.Contains(health, "actions/runners/registration-token") {
				waiting++
			}
		}
		return waiting == 2
	})
	waiting := s.containers()
	github.SetDown(false)
	o.online(2)
	if now := s.containers(); !maps.Equal(now, waiting) {
		t.Errorf("%v have become %v", waiting, now)
	}
	first := s.containers()
	if len(first) != 2 {
		t.Errorf("%d containers", len(first))
	}
	for range 2 {
		o.enqueue("coach", poison)
	}
	o.until("both poisoned", func() bool {
		done := 0
		for _, j := range github.Jobs() {
			if strings.HasPrefix(j.Repository, o.name+"/") && j.Status == "completed" {
				done++
			}
		}
		return done == 2
	})
	clean := o.enqueue("mcp", check)
	if j := o.completed(clean); j.Result != "success" {
		t.Errorf("the job in a new container: %s", j.Log)
	}
	o.online(2)
	for id := range s.containers() {
		if first[id] {
			t.Errorf("the container %s runs again", id)
		}
	}

	// A new image while a job runs: the job finishes.
	const next = image + "-next"
	if _, err := try(docker, "tag", image, next); err != nil {
		t.Fatal(err)
	}
	job := o.enqueue("coach", "sleep 8; echo finished")
	o.running(job)
	s.deploy("RUNNER_STOP_GRACE=40s", "ORG_RUNNER_IMAGE="+next)
	if j := o.completed(job); j.Result != "success" || !strings.Contains(j.Log, "finished") {
		t.Errorf("the job during the update: %+v", j)
	}
	o.until("two containers of the new image", func() bool {
		out, _ := try(docker, "ps", "--format", "{{.Image}}", "--filter", "label=com.docker.stack.namespace="+s.name)
		return strings.Count(out+"\n", next+":latest\n")+strings.Count(out+"\n", next+"\n") == 2
	})
	o.online(2)
	s.remove()
	o.none()
}
