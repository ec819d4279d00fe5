// Runner.Listener is a stand-in for the official runner's listener and worker,
// with the fake of githubtest as their GitHub. What it prints, which files it
// writes and how it answers signals is the official one's contract.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const version = "2.336.0"

func main() {
	root := filepath.Dir(filepath.Dir(os.Args[0]))
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: Runner.Listener configure|remove|run")
		os.Exit(1)
	}
	if filepath.Base(os.Args[0]) == "Runner.Worker" {
		os.Exit(work(root))
	}
	if os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	loadDotEnv(root)
	inputs := takeInputs()
	command := os.Args[1]
	o := parse(command, os.Args[2:], inputs)
	code := 1
	switch command {
	case "configure":
		code = configure(root, o)
	case "remove":
		code = remove(root, o)
	case "run":
		code = run(root, o)
	}
	term.trace("Listener", "Runner execution has finished with return code %d", code)
	os.Exit(code)
}

// loadDotEnv reads .env of the runner's folder into the environment.
func loadDotEnv(root string) {
	data, _ := os.ReadFile(filepath.Join(root, ".env"))
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok && name != "" {
			os.Setenv(name, value)
		}
	}
}

// takeInputs takes the options that come by environment, and removes them there.
func takeInputs() map[string]string {
	const prefix = "ACTIONS_RUNNER_INPUT_"
	inputs := map[string]string{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if rest, ok := strings.CutPrefix(strings.ToUpper(name), prefix); ok {
			if value = strings.TrimSpace(value); value != "" {
				inputs[rest] = value
			}
			os.Unsetenv(name)
		}
	}
	return inputs
}

const byteOrderMark = "\xef\xbb\xbf"

// settings is .runner, in the spelling of config.sh.
type settings struct {
	AgentID       int64  `json:"agentId"`
	AgentName     string `json:"agentName"`
	PoolID        int64  `json:"poolId"`
	PoolName      string `json:"poolName"`
	Ephemeral     bool   `json:"ephemeral,omitempty"`
	DisableUpdate bool   `json:"disableUpdate,omitempty"`
	ServerURL     string `json:"serverUrl"`
	GitHubURL     string `json:"gitHubUrl"`
	WorkFolder    string `json:"workFolder"`
	UseV2Flow     bool   `json:"useV2Flow"`
}

var registrationFiles = []string{".runner", ".credentials", ".credentials_rsaparams"}

// readSettings reads .runner in either spelling.
func readSettings(root string) (settings, error) {
	var s settings
	data, err := os.ReadFile(filepath.Join(root, ".runner"))
	if err != nil {
		return s, err
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if err := json.Unmarshal(data, &s); err == nil && s.AgentID != 0 {
		return s, nil
	}
	var jit struct{ AgentId, AgentName, Ephemeral, ServerUrl, WorkFolder string } //nolint:revive // the file's own spelling
	if err := json.Unmarshal(data, &jit); err != nil {
		return s, err
	}
	s = settings{AgentName: jit.AgentName, Ephemeral: jit.Ephemeral == "True", ServerURL: jit.ServerUrl, WorkFolder: jit.WorkFolder}
	_, err = fmt.Sscan(jit.AgentId, &s.AgentID)
	return s, err
}

func readCredential(root string) string {
	var c struct{ Data struct{ Token string } }
	data, _ := os.ReadFile(filepath.Join(root, ".credentials"))
	_ = json.Unmarshal(data, &c)
	return c.Data.Token
}

// server is the address of GitHub in a URL of a runner.
func server(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}
