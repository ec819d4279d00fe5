package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
		// The kernel shows a new program's arguments a moment after its start.
		cmdline := fmt.Sprintf("/proc/%d/cmdline", command.Process.Pid)
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if data, err := os.ReadFile(cmdline); err != nil || len(data) > 0 {
				break
			}
		}
		if got := isWorker(command.Process.Pid); got != want {
			t.Errorf("%s: %t", program, got)
		}
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}
