package cli

import (
	"fmt"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

// remote is what the commands have that ask GitHub and run no runner.
type remote struct {
	config config.Config
	github *register.Client
	build  Build
}

// newRemote reads the configuration for a command that needs the API. Waits for
// GitHub are told on stderr.
func newRemote(call Invocation) (remote, error) {
	c, err := call.parse(config.ThisMachine())
	if err != nil {
		return remote{}, err
	}
	return connect(call, c)
}

// connect makes the client; with may change its options.
func connect(call Invocation, c config.Config, with ...func(*register.Options)) (remote, error) {
	switch c.Credentials.Kind {
	case config.RegistrationToken, config.JITConfig:
		return remote{}, fmt.Errorf("%w: RUNNER_TOKEN and RUNNER_JITCONFIG give no access to GitHub's API: set GITHUB_TOKEN, or GITHUB_APP_ID with its key, for this command", register.ErrConfiguration)
	}
	log := zerolog.New(zerolog.ConsoleWriter{Out: call.Stderr, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}).Level(zerolog.WarnLevel)
	client, err := newClient(call.Build, c, call.masker, log, with...)
	return remote{c, client, call.Build}, err
}
