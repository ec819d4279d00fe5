//go:build linux

// Sudo is a stand-in for sudo, as the official image has it: who may run it becomes
// root, if its file is root's with the set-user-id bit. As "as UID PROGRAM …" it is
// the way to another user.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	args := os.Args[1:]
	uid := 0
	if filepath.Base(os.Args[0]) == "as" {
		uid, _ = strconv.Atoi(args[0])
		args = args[1:]
		_ = syscall.Setgroups(nil)
		_ = syscall.Setgid(uid)
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-l" {
			return // anything
		}
		args = args[1:]
	}
	err := syscall.Setuid(uid)
	if err == nil {
		var path string
		if path, err = exec.LookPath(args[0]); err == nil {
			err = syscall.Exec(path, args, os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
