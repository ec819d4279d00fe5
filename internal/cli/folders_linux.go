package cli

import (
	"errors"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/runner"
)

// checkFolders looks, as a life does before it registers, whether the runner's
// user can work in its folders.
func checkFolders(c config.Config) finding {
	err := runner.CheckFolders(c.Home, c.WorkDir, c.User)
	var folder *runner.FolderError
	switch {
	case errors.As(err, &folder):
		return fail(onWorkFolder, folder.Cause, folder.Remedy)
	case err != nil:
		return fail(onWorkFolder, err.Error(), "")
	}
	return ok(onWorkFolder, "%s and the runner's folder can be written", workFolder(c))
}
