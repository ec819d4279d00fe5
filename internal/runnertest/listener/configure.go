package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// options are the command line and the inputs by environment, by lower-case
// name without dashes.
type options struct {
	values  map[string]string
	unknown []string
}

var withValue = []string{"url", "token", "name", "runnergroup", "labels", "work"}
var flags = []string{"unattended", "replace", "ephemeral", "disableupdate", "no-default-labels", "local"}

func contains(list []string, what string) bool {
	for _, item := range list {
		if item == what {
			return true
		}
	}
	return false
}

func parse(args []string, inputs map[string]string) options {
	o := options{values: map[string]string{}}
	for name, value := range inputs {
		o.values[strings.ToLower(name)] = value
	}
	for i := 0; i < len(args); i++ {
		name := strings.ToLower(strings.TrimPrefix(args[i], "--"))
		switch {
		case !strings.HasPrefix(args[i], "--"):
			o.unknown = append(o.unknown, args[i])
		case contains(flags, name):
			o.values[name] = "true"
		case contains(withValue, name) && i+1 < len(args):
			i++
			o.values[name] = args[i]
		default:
			o.unknown = append(o.unknown, args[i])
		}
	}
	return o
}

func fail(format string, values ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	return 1
}

// configure registers the runner and writes its files.
func configure(root string, o options) int {
	if len(o.unknown) > 0 {
		return fail("Unrecognized command-line input arguments for command configure: '%s'. For usage refer to: .\\config.cmd --help or ./config.sh --help", strings.Join(o.unknown, ", "))
	}
	if _, err := os.Stat(filepath.Join(root, ".runner")); err == nil {
		return fail("Cannot configure the runner because it is already configured. To reconfigure the runner, run 'config.cmd remove' or './config.sh remove' first.")
	}
	if o.values["unattended"] == "" || o.values["url"] == "" || o.values["token"] == "" {
		return fail("Invalid configuration provided for url or token. Terminating unattended configuration.")
	}
	if o.values["no-default-labels"] != "" && o.values["labels"] == "" {
		return fail("An error occurred: '--labels' must be set when '--no-default-labels' is used.")
	}
	github := server(o.values["url"])
	b := askBehaviour(github, "configure")
	if b.ConfigHang {
		select {}
	}
	time.Sleep(b.ConfigDelay)
	if b.ConfigFail > 0 {
		return fail("An error occurred: told to fail")
	}
	labels := []string{}
	if o.values["no-default-labels"] == "" {
		labels = append(labels, "self-hosted", "Linux", "X64")
	}
	for label := range strings.SplitSeq(o.values["labels"], ",") {
		if label = strings.TrimSpace(label); len(label) > 256 {
			return fail("An error occurred: Invalid label %q", label)
		} else if label != "" && !contains(lower(labels), strings.ToLower(label)) {
			labels = append(labels, label)
		}
	}
	name := o.values["name"]
	if name == "" || len(name) > 64 {
		return fail("An error occurred: Runner name should be between 1 and 64 characters")
	}
	work := o.values["work"]
	if work == "" {
		work = "_work"
	}
	var registered struct {
		ID         int64
		Credential string
		PoolID     int64
	}
	in := map[string]any{
		"token": o.values["token"], "url": o.values["url"], "name": name, "group": o.values["runnergroup"], "labels": labels,
		"ephemeral": o.values["ephemeral"] != "", "replace": o.values["replace"] != "", "workdir": work,
	}
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := call(ctx, http.MethodPost, github+"/_runner/register", in, &registered)
		cancel()
		if err == nil {
			break
		}
		if isStatus(err, http.StatusUnprocessableEntity) {
			return fail("An error occurred: Could not find any self-hosted runner group named %q.", o.values["runnergroup"])
		}
		fmt.Fprintf(os.Stderr, "Http response code: %s\n", err)
		if isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusConflict) || try == 3 {
			return fail("An error occurred: %s", err)
		}
		time.Sleep(time.Second)
	}
	fmt.Println("√ Connected to GitHub")
	if b.ConfigHangAfter {
		select {}
	}
	fmt.Println("√ Runner successfully added")
	s := settings{
		AgentID: registered.ID, AgentName: name, PoolID: registered.PoolID, PoolName: o.values["runnergroup"], Ephemeral: o.values["ephemeral"] != "",
		DisableUpdate: o.values["disableupdate"] != "", ServerURL: github, GitHubURL: o.values["url"], WorkFolder: work, UseV2Flow: true,
	}
	text, _ := json.MarshalIndent(s, "", "  ")
	credentials := fmt.Sprintf(`{"scheme":"OAuth","data":{"token":%q}}`, registered.Credential)
	for file, content := range map[string]string{".runner": "\xef\xbb\xbf" + string(text), ".credentials": credentials, ".credentials_rsaparams": `{"d":"x"}`} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(content), 0o600); err != nil {
			return fail("An error occurred: %s", err)
		}
	}
	fmt.Println("√ Settings Saved.")
	return 0
}

func lower(list []string) []string {
	var all []string
	for _, item := range list {
		all = append(all, strings.ToLower(item))
	}
	return all
}

// remove deregisters with a token and deletes the files.
func remove(root string, o options) int {
	s, err := readSettings(root)
	if err != nil {
		return fail("Cannot connect to server, because config files are missing. Skipping removing runner from the server.")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	in := map[string]any{"token": o.values["token"], "credential": readCredential(root)}
	if err := call(ctx, http.MethodPost, s.ServerURL+"/_runner/remove", in, nil); err != nil {
		return fail("Failed: Removing runner from the server\n%s", err)
	}
	fmt.Println("√ Runner removed successfully")
	for _, file := range registrationFiles {
		_ = os.Remove(filepath.Join(root, file))
	}
	return 0
}
