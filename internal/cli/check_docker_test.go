package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckDockerHost(t *testing.T) {
	dir, err := os.MkdirTemp("", "d") // short: it becomes a socket's name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "docker.sock")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := tcp.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	closed.Close()
	defer tcp.Close()
	for host, want := range map[string]told{
		"unix://" + socket:        {good, "the engine at " + socket + ", by DOCKER_HOST"},
		"unix://" + dir + "/none": {doubt, dir + "/none cannot be used"},
		"tcp://" + open:           {good, "the engine at " + open},
		"tcp://bot:hush@" + open:  {good, "the engine at " + open},
		"tcp://" + gone:           {doubt, gone + " cannot be used"},
		"ssh://me@engine.example": {skipped, "by ssh"},
		"docker.example:2375":     {doubt, "DOCKER_HOST"},
		"/var/run/docker.sock":    {doubt, "does not begin with unix://"},
		"tcp://[::1":              {doubt, "no address"},
		"unix://":                 {doubt, "no address"},
		"npipe:////./pipe/docker": {doubt, "does not begin with"},
	} {
		f := checkDocker(host)
		expect(t, host, []finding{f}, want)
		if strings.Contains(f.Detail+f.Remedy, "hush") {
			t.Errorf("%s: it shows the password: %+v", host, f)
		}
	}
}
