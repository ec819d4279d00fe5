package cli

import (
	"errors"
	"os"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/runner"
)

// checkFolders looks, as a life does before it registers, whether the runner's
// user can work in its folders.
func checkFolders(c config.Config) finding {
	err := runner.CheckFolders(c.Home, c.WorkDir, c.User)
	var folder *runner.FolderError
	if err != nil && !errors.As(err, &folder) && os.Getpid() != 1 {
		// Not in the image, whose users are others than this machine's.
		err = runner.CheckFolders(c.Home, c.WorkDir, "root")
	}
	switch {
	case errors.As(err, &folder):
		return fail(onWorkFolder, folder.Cause, folder.Remedy)
	case err != nil:
		return fail(onWorkFolder, err.Error(), "")
	}
	if cache := runner.CheckToolCache(c.Home, c.WorkDir, c.User); cache != nil {
		return warn(onWorkFolder, cache.Cause, cache.Remedy)
	}
	return ok(onWorkFolder, "%s and the runner's folder can be written", workFolder(c))
}

// checkSudo says, in the image, what a job with sudo can leave for the registration
// that follows it in the same container.
func checkSudo(c config.Config) []finding {
	if info, err := os.Stat("/run/org-runner"); err != nil || !info.IsDir() || c.Registration == config.JIT || !jobsHaveSudo(c.User) {
		return nil
	}
	const remedy = "build the image with --build-arg SUDO=false, or take a new container for each job (docker run --rm, Swarm, Kubernetes)"
	if !c.Ephemeral || c.Credentials.Kind == config.RegistrationToken {
		return []finding{warn(onCredentials, "jobs have sudo, and what one leaves in this container can read the registration token that the next config.sh is given: EPHEMERAL=false and RUNNER_TOKEN know no JIT configuration", remedy)}
	}
	return []finding{ok(onCredentials, "jobs have sudo: in a container that has run one, the next registration is made by JIT, not by config.sh")}
}

// jobsHaveSudo asks as a life does, and as root for another user.
func jobsHaveSudo(user string) bool {
	if os.Geteuid() == 0 {
		return config.ThisMachine().Sudo(user)
	}
	return runner.MaySudo()
}
