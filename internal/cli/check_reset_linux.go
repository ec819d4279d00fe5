package cli

import (
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/runner"
)

// checkReset says before a job does what is deleted between two jobs, and what
// stays.
func checkReset(c config.Config) []finding {
	options := runner.Options{Home: c.Home, WorkDir: c.WorkDir, User: c.User, StateDir: runner.StateDir(c.Home), NoteKey: noteKey(c)}
	places, err := runner.Survey(options)
	switch {
	case err != nil:
		return []finding{fail(onReset, err.Error(), "start a new container")}
	case places == nil:
		return []finding{ok(onReset, "not in a container of org-runner's image: nothing is deleted between jobs there")}
	}
	defer places.Close()
	refuse := runner.Reuse(c.OnReuse) == runner.Refuse
	var findings []finding
	if refuse && places.Used() {
		findings = append(findings, fail(onReset, "a runner has been on a volume here, and RUNNER_ON_REUSE is refuse", "give the container new volumes, or set RUNNER_ON_REUSE=reset"))
	}
	for _, why := range places.Stays() {
		if refuse {
			findings = append(findings, fail(onReset, why+", and RUNNER_ON_REUSE is refuse", "do not mount it, or set RUNNER_ON_REUSE=reset"))
		} else {
			findings = append(findings, warn(onReset, why, "to have it reset, stop the runners, empty it, and start a new container"))
		}
	}
	if len(findings) > 0 {
		return findings
	}
	text := "what jobs write is deleted before the next one"
	if refuse {
		text = "the container starts once"
	}
	if mounts := places.Kept(); len(mounts) > 0 {
		text += "; not below " + strings.Join(mounts, ", ") + ", where something is mounted"
	}
	if !refuse && !c.DisableAutoUpdate {
		text += "; the runner's update of itself leaves up to 540 MB until then (DISABLE_AUTO_UPDATE=true keeps it from that)"
	}
	return []finding{ok(onReset, "%s", text)}
}
