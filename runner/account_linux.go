package runner

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// account is the user that config.sh and run.sh run as when we are root.
type account struct {
	name, home string
	uid, gid   uint32
	groups     []uint32
}

// dockerSocket is where a container that may use the host's engine finds it.
const dockerSocket = "/var/run/docker.sock"

// lookUpAccount finds a user by name. Where the engine's socket is mounted, its
// group is added: the number is the host's and no image can know it.
func lookUpAccount(name string) (*account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%w: RUNNER_USER %q is not a user of this image: name one that is, or start the container as that user", ErrConfiguration, name)
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	a := &account{name: found.Username, home: found.HomeDir, uid: uint32(uid), gid: uint32(gid)}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	if info, err := os.Stat(dockerSocket); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && !slices.Contains(a.groups, stat.Gid) {
			a.groups = append(a.groups, stat.Gid)
		}
	}
	return a, nil
}
