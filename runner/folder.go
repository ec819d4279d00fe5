//go:build linux

package runner

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/virtuoso902/org-runner/internal/safefile"
	"github.com/virtuoso902/org-runner/internal/secret"
	"github.com/virtuoso902/org-runner/runner/reset"
)

// The files in which the official runner keeps its registration
// (actions/runner, ConfigurationStore.cs).
const (
	settingsFile    = ".runner"
	credentialsFile = ".credentials"
	keyFile         = ".credentials_rsaparams"
)

var registrationFiles = []string{settingsFile, credentialsFile, keyFile, ".runner_migrated", ".credentials_migrated"}

// Settings is what .runner says of a registration.
type Settings struct {
	ID   int64  // the runner's id in GitHub's REST API
	Name string // the runner's name
}

// ParseSettings reads .runner as it really is: JSON behind a UTF-8 byte order
// mark, with camel-case keys and numbers when config.sh wrote it, with
// Pascal-case keys and every value a string when a JIT configuration did.
// encoding/json matches keys without case.
func ParseSettings(data []byte) (Settings, error) {
	var raw struct {
		AgentID   json.RawMessage `json:"agentId"`
		AgentName string          `json:"agentName"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &raw); err != nil {
		// Not %w: a JSON error quotes what it stumbled on.
		return Settings{}, fmt.Errorf("%s is no JSON object of the form that the runner writes", settingsFile)
	}
	id, err := strconv.ParseInt(strings.Trim(string(raw.AgentID), `"`), 10, 64)
	if err != nil || id <= 0 {
		return Settings{}, fmt.Errorf("%s has no agentId", settingsFile)
	}
	return Settings{ID: id, Name: raw.AgentName}, nil
}

// readSettings returns the registration in the folder; fs.ErrNotExist when
// there is none.
func readSettings(home string) (Settings, error) {
	data, err := safefile.Read(filepath.Join(home, settingsFile))
	if err != nil {
		return Settings{}, err
	}
	return ParseSettings(data)
}

// wipeRegistration removes what config.sh or a JIT configuration wrote, so that
// config.sh does not say "already configured".
func wipeRegistration(home string) error {
	return reset.Remove(home, registrationFiles...)
}

// JITConfig is a JIT configuration taken apart. The listener reads it as the
// base64 of a JSON object, file name to base64 content, writes those files and
// goes on as if config.sh had run (actions/runner, Runner.cs).
type JITConfig struct {
	Settings Settings
	// Public is the configuration without its secret files, in the form that
	// ACTIONS_RUNNER_INPUT_JITCONFIG takes.
	Public string
	files  map[string][]byte // all of them
}

// ParseJITConfig takes a JIT configuration apart, so that its secret files need
// not pass through the environment of run.sh: that stays readable in
// /proc/<pid>/environ for as long as run.sh lives, and a job runs as the same
// user. No error of it holds a part of the configuration.
func ParseJITConfig(config secret.String) (JITConfig, error) {
	malformed := errors.New("the JIT configuration is not the base64 of a JSON object of files: take encoded_jit_config as GitHub's generate-jitconfig returned it")
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(config.Reveal()))
	if err != nil {
		return JITConfig{}, malformed
	}
	var encoded map[string]string
	if json.Unmarshal(text, &encoded) != nil {
		return JITConfig{}, malformed
	}
	jit := JITConfig{files: make(map[string][]byte)}
	public := make(map[string]string)
	for name, content := range encoded {
		data, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return JITConfig{}, malformed
		}
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return JITConfig{}, errors.New("the JIT configuration names a file outside of the runner's folder: take a new one from generate-jitconfig")
		}
		if name == settingsFile {
			public[name] = content
			if jit.Settings, err = ParseSettings(data); err != nil {
				return JITConfig{}, fmt.Errorf("the JIT configuration's %w", err)
			}
		}
		jit.files[name] = data
	}
	if jit.Settings.ID == 0 {
		return JITConfig{}, fmt.Errorf("the JIT configuration has no %s: take a new one from generate-jitconfig", settingsFile)
	}
	asJSON, err := json.Marshal(public)
	if err != nil {
		return JITConfig{}, err
	}
	jit.Public = base64.StdEncoding.EncodeToString(asJSON)
	return jit, nil
}

// write writes the files for the user that the listener runs as (nil: our own).
// The listener would write .runner again; written before it starts, its absence
// always means that the listener has removed it.
func (jit JITConfig) write(home string, as *account) error {
	for name, content := range jit.files {
		path := filepath.Join(home, name)
		// Removed first: a leftover must not lend its mode or owner.
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
		if as != nil {
			if err := os.Lchown(path, int(as.uid), int(as.gid)); err != nil {
				return err
			}
		}
	}
	return nil
}
