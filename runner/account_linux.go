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

// accountFor returns whose config.sh and run.sh are: nil is our own user. Only root
// can give them another one.
func accountFor(name string) (*account, error) {
	if os.Geteuid() != 0 || name == "root" {
		return nil, nil
	}
	return lookUpAccount(name)
}

func (a *account) String() string {
	if a == nil {
		return fmt.Sprintf("uid %d", os.Geteuid())
	}
	return fmt.Sprintf("%s (uid %d)", a.name, a.uid)
}

// isRoot tells whether the children run as root, which the official scripts refuse
// unless they are told that it is meant.
func (a *account) isRoot() bool {
	if a == nil {
		return os.Geteuid() == 0
	}
	return a.uid == 0
}

// dockerSocket is where a container that may use the host's engine finds it.
const dockerSocket = "/var/run/docker.sock"

// lookUpAccount finds a user by name. It gets the groups that the engine was told
// to add to the container (group_add), and where the engine's socket is mounted
// that one's: the numbers are the host's and no image can know them.
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
	for _, id := range append(ids, addedGroups()...) {
		a.join(id)
	}
	if info, err := os.Stat(dockerSocket); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			a.join(strconv.FormatUint(uint64(stat.Gid), 10))
		}
	}
	return a, nil
}

func (a *account) join(gid string) {
	if n, err := strconv.ParseUint(gid, 10, 32); err == nil && !slices.Contains(a.groups, uint32(n)) {
		a.groups = append(a.groups, uint32(n))
	}
}

// addedGroups are those that our process has beyond what the image gives root.
func addedGroups() (added []string) {
	own := []string{"0"}
	if root, err := user.LookupId("0"); err == nil {
		if ids, err := root.GroupIds(); err == nil {
			own = append(own, ids...)
		}
	}
	groups, _ := os.Getgroups()
	for _, gid := range groups {
		if id := strconv.Itoa(gid); !slices.Contains(own, id) {
			added = append(added, id)
		}
	}
	return added
}
