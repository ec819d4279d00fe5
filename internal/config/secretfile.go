package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

const (
	// longestSecret bounds a file with a secret in bytes: an App's key has 2 KiB, a
	// JIT configuration 4 KiB.
	longestSecret = 64 << 10
	// longestFile bounds every file that is read: all authorities of a system have
	// 220 KiB.
	longestFile = 8 << 20
)

var (
	errFolder     = errors.New("is a folder")
	errNotRegular = errors.New("is not a regular file")
	errTooLarge   = errors.New("too large")
)

// readFile reads a regular file. Others, a pipe for one, might never end.
func readFile(path string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, info, errFolder
	case !info.Mode().IsRegular():
		return nil, info, errNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, info, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, longestFile+1))
	if err == nil && len(data) > longestFile {
		err = errTooLarge
	}
	return data, info, err
}

// maySudo asks sudo, as root. A user that is root needs none.
func maySudo(user string) bool {
	if user == "root" {
		return true
	}
	list := exec.Command("sudo", "-n", "-l", "-U", user)
	list.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := list.Output()
	return err == nil && strings.Contains(string(out), "NOPASSWD:")
}

// given reads a credential's variable or the file that its _FILE twin names. It
// returns the text, "" after a problem, and the variable to blame for it.
func (p *parser) given(variable, value, file string) (text, from string) {
	from = variable + "_FILE"
	switch {
	case value != "" && file != "":
		p.problem(from, "is set together with "+variable, "keep one of the two: remove "+variable+" if the file is the right one")
		return "", from
	case file == "":
		return value, variable
	}
	data, info, err := p.machine.ReadFile(file)
	if err != nil {
		p.unreadable(from, file, "the secret", err)
		return "", from
	}
	if len(data) > longestSecret {
		p.tooLarge(from, file, "the secret", longestSecret)
		return "", from
	}
	// Notepad puts a byte order mark in front.
	text = strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
	if text == "" {
		p.problem(from, "names an empty file: "+quote(file), "write the secret into it")
		return "", from
	}
	switch {
	case info == nil:
	case p.machine.UID != 0:
		p.warn("%s: jobs run as the user that reads %s, uid %d, so they can read it too: start the container as root, with the file readable for root alone, and jobs run as RUNNER_USER", from, quote(file), p.machine.UID)
	case p.machine.Sudo != nil && p.machine.Sudo(p.raw.User):
		p.warn("%s: jobs run as %s, who may become root by sudo and read %s: build the image with --build-arg SUDO=false, or give the secret as a variable and start the container as its own user", from, quote(p.raw.User), quote(file))
	case info.Mode().Perm()&0o004 != 0:
		p.warn("%s: every user of this container can read %s, jobs included: give it the mode 0400", from, quote(file))
	}
	return text, from
}

// unreadable says why a file is not read that holds what it is named for, and what
// to do.
func (p *parser) unreadable(variable, file, what string, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.problem(variable, "names a file that does not exist: "+quote(file), "mount "+what+" there, or correct the path: it is a path inside of the container")
	case errors.Is(err, fs.ErrPermission):
		p.problem(variable, "names a file that this user must not read: "+quote(file), fmt.Sprintf("make it readable for uid %d, or start the container as root: jobs then run as RUNNER_USER", p.machine.UID))
	case errors.Is(err, errFolder):
		p.problem(variable, "names a folder: "+quote(file), "name the file in it; Docker makes a folder when the file to mount does not exist on the host")
	case errors.Is(err, errNotRegular):
		p.problem(variable, "names what is no regular file: "+quote(file), "name a file that holds "+what)
	case errors.Is(err, errTooLarge):
		p.tooLarge(variable, file, what, longestFile)
	default:
		p.problem(variable, "names a file that cannot be read: "+quote(file)+": "+quote(cause(err)), "mount "+what+" there, readable for this user")
	}
}

func (p *parser) tooLarge(variable, file, what string, most int) {
	p.problem(variable, fmt.Sprintf("names a file of more than %d KiB: %s", most>>10, quote(file)), "name the file that holds nothing but "+what)
}
