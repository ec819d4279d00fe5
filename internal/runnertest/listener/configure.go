//lint:file-ignore ST1005 These errors are printed as they are: the official runner's own lines.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line and the inputs by environment, by lower-case
// name without dashes.
type options struct {
	values  map[string]string
	unknown []string
}

// The options of the commands; false is a flag.
var commands = map[string]map[string]bool{
	"configure": {"url": true, "token": true, "name": true, "runnergroup": true, "labels": true, "work": true,
		"unattended": false, "replace": false, "ephemeral": false, "disableupdate": false, "no-default-labels": false},
	"remove": {"token": true, "local": false},
	"run":    {"jitconfig": true, "startuptype": true, "once": false},
}

// parse reads arguments; the command line wins over the environment, whose names
// have an underscore for a dash.
func parse(command string, args []string, inputs map[string]string) options {
	o := options{values: map[string]string{}}
	for name, value := range inputs {
		o.values[strings.ReplaceAll(strings.ToLower(name), "_", "-")] = value
	}
	for i := 0; i < len(args); i++ {
		name, dashed := strings.CutPrefix(strings.ToLower(args[i]), "--")
		takesValue, known := commands[command][name]
		switch {
		case !dashed || !known:
			o.unknown = append(o.unknown, args[i])
		case takesValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--"):
			i++
			o.values[name] = args[i]
		case takesValue:
			o.values[name] = ""
		default:
			o.values[name] = "true"
		}
	}
	return o
}

// check complains of unknown arguments. The official listener complains and goes
// on without them; here it is the end, so that a test sees it.
func (o options) check(command string) bool {
	if len(o.unknown) > 0 {
		fail("Unrecognized command-line input arguments for command %s: '%s'. For usage refer to: .\\config.cmd --help or ./config.sh --help", command, strings.Join(o.unknown, ", "))
	}
	return len(o.unknown) == 0
}

func (o options) is(name string) bool { return strings.EqualFold(o.values[name], "true") }

// fail prints an error as the official listener does, and is its exit code.
func fail(format string, values ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	return 1
}

func success(text string) { fmt.Println("√ " + text) }

// configure registers the runner and writes its files.
func configure(root string, o options) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	go func() {
		<-interrupted
		fmt.Println("Exiting...")
		os.Exit(1)
	}()
	if !o.check("configure") {
		return 1
	}
	if _, err := os.Stat(filepath.Join(root, ".runner")); err == nil {
		return fail("Cannot configure the runner because it is already configured. To reconfigure the runner, run 'config.cmd remove' or './config.sh remove' first.")
	}
	if !o.is("unattended") {
		return fail("There is nobody to answer questions: use --unattended.")
	}
	for _, name := range []string{"url", "token"} {
		if o.values[name] == "" {
			return fail("Invalid configuration provided for %s. Terminating unattended configuration.", name)
		}
	}
	s := settings{
		AgentName: o.values["name"], PoolName: o.values["runnergroup"], Ephemeral: o.is("ephemeral"), DisableUpdate: o.is("disableupdate"),
		ServerURL: server(o.values["url"]), GitHubURL: o.values["url"], WorkFolder: o.values["work"], UseV2Flow: true,
	}
	if s.AgentName == "" {
		s.AgentName, _ = os.Hostname()
	}
	if s.WorkFolder == "" {
		s.WorkFolder = "_work"
	}
	fmt.Println("\n# Authentication")
	b := askBehaviour(s.ServerURL, "configure", s.AgentName)
	if b.ConfigHang {
		select {}
	}
	time.Sleep(b.ConfigDelay)
	if b.ConfigFail > 0 {
		return fail("told to fail")
	}
	labels, err := labelsFor(o)
	if err != nil {
		return fail("%s", err)
	}
	credential, err := register(&s, o, labels)
	if err != nil {
		return fail("%s", err)
	}
	if b.ConfigHangAfter {
		select {}
	}
	if err := s.save(root, credential); err != nil {
		return fail("%s", err)
	}
	fmt.Println("\n# Runner settings")
	fmt.Println()
	success("Settings Saved.")
	// For a service, which containers do not use.
	if err := os.WriteFile(filepath.Join(root, "svc.sh"), []byte("#!/bin/bash\n"), 0o755); err != nil {
		return fail("%s", err)
	}
	return 0
}

// labelsFor adds the system's labels to those given.
func labelsFor(o options) ([]string, error) {
	labels := []string{}
	if !o.is("no-default-labels") {
		labels = append(labels, "self-hosted", "Linux", "X64")
	}
	for label := range strings.SplitSeq(o.values["labels"], ",") {
		label = strings.TrimSpace(label)
		if len(label) > 256 {
			return nil, fmt.Errorf("Invalid configuration provided for labels. Terminating unattended configuration.") //nolint:staticcheck // the official words
		}
		if label != "" && !slices.ContainsFunc(labels, func(l string) bool { return strings.EqualFold(l, label) }) {
			labels = append(labels, label)
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("Disabling default labels via --no-default-labels without specifying --labels is not supported") //nolint:staticcheck // the official words
	}
	return labels, nil
}

// lookUp asks once for a runner of the name, as config.sh does before it registers.
func lookUp(s *settings, o options) (id int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out struct{ ID int64 }
	err = call(ctx, http.MethodPost, s.ServerURL+"/_runner/look", map[string]any{"token": o.values["token"], "url": s.GitHubURL, "name": s.AgentName}, &out)
	var r refused
	if isRefused(err, &r) {
		return 0, nil // registering will be refused too, and says so
	}
	return out.ID, err
}

// register asks three times, but once only when the answer is 404.
func register(s *settings, o options, labels []string) (credential string, err error) {
	old, err := lookUp(s, o)
	if err != nil {
		return "", err
	}
	if old != 0 {
		fmt.Println()
		success("Connected to GitHub")
		fmt.Println("A runner exists with the same name")
		if !o.is("replace") {
			return "", fmt.Errorf("A runner exists with the same name %s.", s.AgentName) //nolint:staticcheck // the official words
		}
	}
	in := map[string]any{
		"token": o.values["token"], "url": s.GitHubURL, "name": s.AgentName, "group": s.PoolName, "labels": labels,
		"ephemeral": s.Ephemeral, "id": old, "workdir": s.WorkFolder,
	}
	var out struct {
		ID, PoolID           int64
		PoolName, Credential string
	}
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err = call(ctx, http.MethodPost, s.ServerURL+"/_runner/register", in, &out)
		cancel()
		if err == nil {
			break
		}
		switch {
		case isStatus(err, http.StatusUnprocessableEntity):
			fmt.Println()
			success("Connected to GitHub")
			return "", fmt.Errorf("Could not find any self-hosted runner group named %q.", s.PoolName) //nolint:staticcheck // the official words
		}
		var r refused
		if isRefused(err, &r) {
			fail("Http response code: %s from 'POST %s/api/v3/actions/runner-registration' (Request Id: %s)\n%s", strings.ReplaceAll(http.StatusText(r.status), " ", ""), s.ServerURL, r.id, r.body)
		}
		if r.status == http.StatusNotFound || try == 3 {
			return "", err
		}
		time.Sleep(time.Second)
	}
	fmt.Println()
	success("Connected to GitHub")
	fmt.Println("\n# Runner Registration")
	fmt.Println()
	if old != 0 {
		success("Successfully replaced the runner")
	} else {
		success("Runner successfully added")
	}
	s.AgentID, s.PoolID, s.PoolName = out.ID, out.PoolID, out.PoolName
	return out.Credential, nil
}

// save writes the three files, .runner with a byte order mark.
func (s settings) save(root, credential string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct{ name, content string }{
		{".credentials_rsaparams", `{"d":"x"}`},
		{".credentials", fmt.Sprintf(`{"scheme":"OAuth","data":{"token":%q}}`, credential)},
		{".runner", byteOrderMark + string(text)},
	} {
		if err := os.WriteFile(filepath.Join(root, file.name), []byte(file.content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// remove deregisters with a token and deletes the files.
func remove(root string, o options) int {
	if !o.check("remove") {
		return 1
	}
	fmt.Println("\n# Runner removal")
	if o.is("local") {
		forget(root)
		return 0
	}
	s, err := readSettings(root)
	if err != nil {
		fmt.Println("Cannot connect to server, because config files are missing. Skipping removing runner from the server.")
		forget(root)
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	in := map[string]any{"token": o.values["token"], "url": s.GitHubURL, "id": s.AgentID}
	if err := call(ctx, http.MethodPost, s.ServerURL+"/_runner/remove", in, nil); err != nil {
		fail("Failed: Removing runner from the server")
		return fail("%s", err)
	}
	fmt.Println()
	success("Runner removed successfully")
	forget(root)
	return 0
}

// forget deletes what a registration has left here.
func forget(root string) {
	found := map[string]bool{}
	for _, file := range registrationFiles {
		found[file] = os.Remove(filepath.Join(root, file)) == nil
	}
	for _, file := range []string{".credentials", ".runner"} {
		if found[file] {
			success("Removed " + file)
		} else {
			fmt.Println("Does not exist. Skipping Removing " + file)
		}
	}
}
