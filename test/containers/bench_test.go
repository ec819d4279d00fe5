//go:build linux

package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkComposeUp measures docker compose up -d until the runner listens: our
// image, and in turn the plain one with config.sh and run.sh and a token that is
// there already. Both through docker-compose.yml.
//
//	go test -run xxx -bench ComposeUp -benchtime 7x ./test/containers
func BenchmarkComposeUp(b *testing.B) {
	o := newOrganization(b)
	plain := filepath.Join(b.TempDir(), "plain.yml")
	ours, theirs := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	for range b.N {
		p := o.compose()
		ours = append(ours, o.listensAfter(p))
		p.down()
		o.none()

		script := fmt.Sprintf("./config.sh --unattended --replace --ephemeral --url %s/%s --token %s --name plain && exec ./run.sh", github.URL(), o.name, github.RegistrationToken(o.name))
		text := fmt.Sprintf("services:\n  runner:\n    image: %s\n    entrypoint: [bash, -c, %q]\n    working_dir: /home/runner\n    healthcheck: {disable: true}\n", runnerImage, script)
		if err := os.WriteFile(plain, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		p = o.compose("ORG_RUNNER_IMAGE=" + runnerImage)
		p.more = []string{plain}
		theirs = append(theirs, o.listensAfter(p))
		p.do("down", "-t", "1")
		for _, r := range o.runners() {
			github.RemoveRunner(r.ID)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(ours[len(ours)/2].Seconds(), "s-ours")
	b.ReportMetric(theirs[len(theirs)/2].Seconds(), "s-plain")
	b.ReportMetric(0, "ns/op")
}

// listensAfter is the time from up to a session at GitHub.
func (o *organization) listensAfter(p *project) time.Duration {
	o.t.Helper()
	up := make(chan error, 1)
	began := time.Now()
	go func() { // it may come back later than the container listens
		_, err := try(docker, p.args("up", "-d", "--no-build")...)
		up <- err
	}()
	o.online(1)
	took := time.Since(began)
	if err := <-up; err != nil {
		o.t.Fatal(err)
	}
	return took
}
