// Runner.Listener is a stand-in for the official runner's listener and worker,
// with the fake of githubtest as their GitHub. What it prints, which files it
// writes and how it answers signals is the official one's contract.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	switch command {
	case "configure":
		os.Exit(configure(root, o))
	case "remove":
		os.Exit(remove(root, o))
	case "run":
		os.Exit(run(root, o))
	}
	os.Exit(1)
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

// refused is an answer that is none of the good ones.
type refused struct {
	status int
	id     string // of the request
	body   string
}

func (r refused) Error() string {
	return fmt.Sprintf("Response status code does not indicate success: %d (%s).", r.status, http.StatusText(r.status))
}

func isRefused(err error, r *refused) bool { return errors.As(err, r) }

func isStatus(err error, status int) bool {
	var r refused
	return isRefused(err, &r) && r.status == status
}

// call is one request to GitHub, in the stand-ins' own words.
func call(ctx context.Context, method, address string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return refused{response.StatusCode, response.Header.Get("X-GitHub-Request-Id"), string(data)}
	}
	if out != nil && len(data) > 0 {
		return json.Unmarshal(data, out)
	}
	return nil
}

// behaviour is what the fake wants to be done out of the ordinary.
type behaviour struct {
	ConfigHang, ConfigHangAfter          bool
	ConfigFail                           int
	ConfigDelay, StartDelay, UpdatePause time.Duration
	ListenerExit                         int
	IgnoreInterrupt, HangInCancel, Ghost bool
	HoldOutput, LoseLines                bool
}

func askBehaviour(server, command, name string) behaviour {
	var b behaviour
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = call(ctx, http.MethodGet, server+"/_runner/behaviour?for="+command+"&name="+url.QueryEscape(name), nil, &b)
	return b
}
