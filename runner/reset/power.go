//go:build linux

package reset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Command is the name of org-runner's own hidden command that sweeps as another
// user: what it does is said at its standard input.
const Command = "sweep"

var executable = os.Executable // tests have another

// Help is that command.
func Help(in io.Reader, out io.Writer) error {
	var s Sweep
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("%s is org-runner's own: %w", Command, err)
	}
	return json.NewEncoder(out).Encode(s.run())
}

// asRoot sweeps as root through the sudo that the official image gives its user.
func (s *Sweep) asRoot() (Result, error) {
	program, err := executable()
	if err != nil {
		return Result{}, err
	}
	return s.by(exec.Command("sudo", "-n", "--", program, Command))
}

// asUser sweeps as the user that jobs have, with no more rights than those.
func (s *Sweep) asUser(uid, gid uint32) (Result, error) {
	program, err := executable()
	if err != nil {
		return Result{}, err
	}
	command := exec.Command(program, Command)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	return s.by(command)
}

func (s *Sweep) by(command *exec.Cmd) (Result, error) {
	order, err := json.Marshal(s)
	if err != nil {
		return Result{}, err
	}
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(order), &out, &errs
	command.Dir, command.Env = "/", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := command.Run(); err != nil {
		return Result{}, errors.New(strings.TrimSpace(strings.Split(errs.String()+"\n", "\n")[0] + " (" + err.Error() + ")"))
	}
	var r Result
	return r, json.Unmarshal(out.Bytes(), &r)
}
