package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The worker is known by its program's path; nobody else is sent a signal.
func TestIsWorker(t *testing.T) {
	if isWorker(os.Getpid()) || isWorker(os.Getppid()) || isWorker(0) {
		t.Error("a process that is no worker")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep")
	}
	for folder, want := range map[string]bool{"bin": true, "bin.2.337.0": true, "binary": false, "sbin": false} {
		program := filepath.Join(t.TempDir(), folder, "Runner.Worker")
		command := &exec.Cmd{Path: sleep, Args: []string{program, "60"}}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if got := isWorker(command.Process.Pid); got != want {
			t.Errorf("%s: %t", program, got)
		}
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}
