package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A job with sudo can leave anything for the next start of its container: a shell
// or a library that takes the registration token from config.sh's environment,
// which is good for a whole hour and organization. A JIT configuration is no such
// token: our own program asks for it, and it makes this one runner.

// way returns how the next registration is to be made. It differs from what
// RUNNER_REGISTRATION says where a job may have been root in this container.
func (l *Life) way() (func(context.Context) (Settings, error), error) {
	if l.record.Jobless != "" {
		l.jobless, l.record.Jobless = l.record.saysJobless(), ""
		l.record.save()
	}
	switch {
	case l.JIT:
		return l.registerJIT, nil
	case l.fromReleased && l.Ephemeral && l.GitHub != nil:
		// A job can write such a note: it says nothing sure of config.sh.
		l.Log.Warn().Msg("a volume of the first version: registering by JIT this once, because nothing tells for sure that no job has changed config.sh")
		return l.registerJIT, nil
	case !l.jobRan && (l.jobless || !l.used) || !l.jobsAreRoot():
		return l.registerConfig, nil
	case !l.Ephemeral || l.GitHub == nil:
		return l.registerConfig, l.exposes("RUNNER_TOKEN and EPHEMERAL=false know no JIT configuration")
	}
	l.warnOfRoot("registering by JIT instead of config.sh, so that nothing that job left gets a registration token" + l.withoutUpdate())
	return func(ctx context.Context) (Settings, error) {
		registered, err := l.registerJIT(ctx)
		var answer interface{ Missing() bool }
		if err == nil || !errors.As(err, &answer) || !answer.Missing() {
			return registered, err
		}
		if err := l.exposes("this server makes no JIT configuration: " + err.Error()); err != nil {
			return Settings{}, err
		}
		return l.registerConfig(ctx)
	}, nil
}

// noteJobless is called at a life's end, when nothing else runs any more: the next
// start of this container may trust it as the first one does. A life that ended
// before it had looked whether one has run knows nothing.
func (l *Life) noteJobless() {
	if !l.looked || l.jobRan || l.used && !l.jobless {
		return
	}
	l.record.Jobless = l.record.joblessCode()
	l.record.save()
}

func (l *Life) withoutUpdate() string {
	if l.DisableUpdate {
		return ". DISABLE_AUTO_UPDATE has no effect then"
	}
	return ""
}

// exposes warns that config.sh gets a registration token where a job has been root,
// or refuses it.
func (l *Life) exposes(why string) error {
	if l.OnReuse == Refuse {
		was, remedy := l.howRoot()
		return fmt.Errorf("%w: this container has run a job %s: start a new container, or %s", ErrConfiguration, was, remedy)
	}
	_, remedy := l.howRoot()
	l.warnOfRoot("what that job may have left (a changed shell, library or tool) can read the registration token that config.sh is given. Start a new container, or " + remedy + " (" + why + ")")
	return nil
}

// warnOfRoot says it once in a life.
func (l *Life) warnOfRoot(what string) {
	if was, _ := l.howRoot(); l.warnedOfRoot != what {
		l.warnedOfRoot = what
		l.Log.Warn().Msg("this container has run a job " + was + ": " + what)
	}
}

// howRoot says how jobs come to be root, and what to do so that they are not.
func (l *Life) howRoot() (was, remedy string) {
	if l.account.isRoot() {
		return "as root", "set RUNNER_USER to another user"
	}
	return "with sudo", "build with SUDO=false"
}

// sudoBudget bounds the question whether jobs may use sudo.
const sudoBudget = 2 * time.Second

// jobsAreRoot tells whether jobs are root or can become it.
func (l *Life) jobsAreRoot() bool {
	if l.account.isRoot() {
		return true
	}
	sudo, err := exec.LookPath("sudo")
	if err != nil || noNewPrivileges() {
		return false
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return true
	}
	defer null.Close()
	asked, err := l.reaper.start(command{path: sudo, args: sudoQuestion, dir: "/", env: l.childEnvironment("LC_ALL=C"), as: l.account, stdout: null, stderr: null})
	if err != nil {
		return false
	}
	timer := time.NewTimer(sudoBudget)
	defer timer.Stop()
	select {
	case <-asked.done:
		return asked.status.Exited() && asked.status.ExitStatus() == 0
	case <-timer.C:
		killTree(time.Now().Add(time.Second))
		return true // it has not said no
	}
}

// sudoQuestion ends with 0 if the user may run anything as root without a password.
// That it may run true says too little: some may run package managers alone.
var sudoQuestion = []string{"-n", "-l"}

// MaySudo asks the same for who is no life: whether our own user, which is not root,
// may use sudo.
func MaySudo() bool {
	return !noNewPrivileges() && exec.Command("sudo", sudoQuestion...).Run() == nil
}

// noNewPrivileges tells whether sudo is without effect for us and all below us
// (security_opt: no-new-privileges).
func noNewPrivileges() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(status), "\nNoNewPrivs:\t1\n")
}
