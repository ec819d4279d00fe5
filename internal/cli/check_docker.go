package cli

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// checkDocker says whether jobs can use an engine, at its usual socket or where
// DOCKER_HOST says; none can be meant too.
func checkDocker(host string) finding {
	const socket, usual = "/var/run/docker.sock", "unix:///var/run/docker.sock"
	if _, err := os.Stat(socket); host == "" && err != nil {
		return ok(onDocker, "no socket here: jobs that use docker will fail, and none can reach the host's engine")
	}
	set := host != ""
	if !set {
		host = usual
	}
	const example = "write it as in unix:///var/run/docker.sock or tcp://docker:2376, or remove it"
	u, err := url.Parse(host)
	if err != nil || u.Host+u.Path == "" {
		return warn(onDocker, "DOCKER_HOST is no address of an engine: jobs that use docker will fail", example)
	}
	network, address := "tcp", u.Host
	switch u.Scheme {
	case "unix":
		network, address = "unix", u.Host+u.Path // the client takes unix://run/docker.sock too
	case "tcp", "http", "https":
		if u.Port() == "" {
			address = net.JoinHostPort(u.Hostname(), "2375") // the client's default
		}
	case "ssh":
		return skip(onDocker, "not checked: DOCKER_HOST is reached by ssh, with the keys of the jobs' user")
	default:
		return warn(onDocker, "DOCKER_HOST does not begin with unix://, tcp:// or ssh://: jobs that use docker will fail", example)
	}
	connection, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return unusable(address, network == "unix", set, err)
	}
	_ = connection.Close()
	if set {
		return ok(onDocker, "jobs can use the engine at %s, by DOCKER_HOST: they are root there, and can read the token of every container that it runs", address)
	}
	return ok(onDocker, "jobs can use the host's engine: they are root there, and can read this container's token")
}

// unusable is an engine that jobs would look for and not find.
func unusable(address string, isSocket, set bool, err error) finding {
	text := fmt.Sprintf("%s is here and cannot be used: %v", address, err)
	remedy := "give the container the socket's group (group_add in compose), or do not mount it"
	if set {
		text = fmt.Sprintf("DOCKER_HOST is set, and the engine at %s cannot be used: %v", address, err)
		remedy = "start the engine there and let this container reach it, or remove DOCKER_HOST"
		if isSocket && !strings.Contains(err.Error(), "permission") {
			remedy = "mount the engine's socket there, or remove DOCKER_HOST"
		} else if isSocket {
			remedy = "give the container the socket's group (group_add in compose), or remove DOCKER_HOST"
		}
	}
	return warn(onDocker, text, remedy)
}
