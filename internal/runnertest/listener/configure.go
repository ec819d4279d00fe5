//lint:file-ignore ST1005 These errors are printed as they are: the official runner's own lines.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
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

// configure registers the runner and writes its files.
func configure(root string, o options) int {
	interrupted := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGINT) {
		signal.Notify(interrupted, syscall.SIGINT)
	}
	go func() {
		<-interrupted
		fmt.Println("Exiting...")
		os.Exit(1)
	}()
	term.open(root, "Runner")
	term.chatter("HostContext", 190)
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
	banner()
	heading("Authentication")
	b := askBehaviour(s.ServerURL, "configure", s.AgentName)
	s.UseV2Flow = !b.Classic
	if b.ConfigHang {
		select {}
	}
	if b.ConfigAbort != "" {
		abort(b.ConfigAbort)
	}
	time.Sleep(b.ConfigDelay)
	if b.ConfigFail > 0 {
		return fail("told to fail")
	}
	labels, err := labelsFor(o)
	if err != nil {
		return fail("%s", err)
	}
	credential, err := register(&s, o, labels, b.ConfigCall)
	if err != nil {
		return fail("%s", err)
	}
	if b.ConfigHangAfter {
		select {}
	}
	if err := s.save(root, credential); err != nil {
		return fail("%s", err)
	}
	heading("Runner settings")
	term.line("")
	success("Settings Saved.")
	term.line("")
	work := s.WorkFolder
	if !filepath.IsAbs(work) {
		work = filepath.Join(root, work)
	}
	_ = os.MkdirAll(work, 0o755) // one that cannot be written fails the first job
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

// register asks three times, 1 to 5 s apart, but once only when the answer is 404.
// Whether the name is taken it asks before: a registration whose answer was lost
// is met by its own second try.
func register(s *settings, o options, labels []string, at githubtest.ConfigCall) (credential string, err error) {
	in := map[string]any{
		"token": o.values["token"], "url": s.GitHubURL, "name": s.AgentName, "group": s.PoolName, "labels": labels,
		"ephemeral": s.Ephemeral, "replace": o.is("replace"), "workdir": s.WorkFolder,
	}
	var out struct {
		ID, PoolID           int64
		PoolName, Credential string
	}
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), pace(callTimeout))
		err = call(ctx, http.MethodPost, s.ServerURL+"/_runner/register", in, &out)
		cancel()
		if err == nil {
			break
		}
		if at != "" || isKind(err, "NoSuchGroup") || isKind(err, "NameTaken") && try == 1 {
			connected()
		}
		switch {
		case isKind(err, "NoSuchGroup"):
			return "", fmt.Errorf("Could not find any self-hosted runner group named %q.", s.PoolName) //nolint:staticcheck // the official words
		case isKind(err, "NameTaken") && try == 1:
			term.line("A runner exists with the same name")
			return "", fmt.Errorf("A runner exists with the same name %s.", s.AgentName) //nolint:staticcheck // the official words
		}
		err = refusal(err, s.ServerURL, at, try > 1)
		if isStatus(err, http.StatusNotFound) || at == githubtest.ConfigPools || try == 3 {
			return "", err
		}
		in["replace"] = false
		time.Sleep(between(time.Second, 5*time.Second))
	}
	connected()
	heading("Runner Registration")
	term.line("")
	term.line("")
	term.line("")
	success("Runner successfully added")
	if !s.UseV2Flow {
		success("Runner connection is good")
	}
	s.AgentID, s.PoolID, s.PoolName = out.ID, out.PoolID, out.PoolName
	return out.Credential, nil
}

// refusal says which call was refused, and is what config.sh ends with.
func refusal(err error, server string, at githubtest.ConfigCall, again bool) error {
	var r refused
	if !isRefused(err, &r) {
		return errors.New("An error occurred while sending the request.") //nolint:staticcheck // the official words
	}
	method, path := "POST", "actions/runner-registration"
	switch {
	case at == githubtest.ConfigPools:
		return errors.New(http.StatusText(r.status))
	case at == githubtest.ConfigGroups:
		method, path = "Get", string(at)
	case at == githubtest.ConfigRegister || again && isKind(err, "NameTaken"):
		method, path = "Post", string(githubtest.ConfigRegister)
	}
	fail("Http response code: %s from '%s %s/api/v3/%s' (Request Id: %s)\n%s", strings.ReplaceAll(http.StatusText(r.status), " ", ""), method, server, path, r.id, r.body)
	return err
}

func connected() {
	term.line("")
	success("Connected to GitHub")
}

func heading(text string) {
	term.line("")
	term.line("# %s", text)
	term.line("")
}

// banner is config.sh's first words, one of which is written in two parts.
func banner() {
	term.line("")
	line := strings.Repeat("-", 80)
	term.line("%s", line)
	for _, text := range []string{
		`        ____ _ _   _   _       _          _        _   _                      `,
		`       / ___(_) |_| | | |_   _| |__      / \   ___| |_(_) ___  _ __  ___      `,
		`      | |  _| | __| |_| | | | | '_ \    / _ \ / __| __| |/ _ \| '_ \/ __|     `,
		`      | |_| | | |_|  _  | |_| | |_) |  / ___ \ (__| |_| | (_) | | | \__ \     `,
		`       \____|_|\__|_| |_|\__,_|_.__/  /_/   \_\___|\__|_|\___/|_| |_|___/     `,
		`                                                                              `,
	} {
		term.line("|%s|", text)
	}
	fmt.Print("|                       ")
	term.trace("Terminal", "WRITE: Self-hosted runner registration")
	fmt.Println("Self-hosted runner registration                        |")
	term.line("|%78s|", "")
	term.line("%s", line)
}

// abort dies of an exception as .NET does: with its trace and SIGABRT.
func abort(exception string) {
	fmt.Fprintf(os.Stderr, "Unhandled exception. %s\n   at System.IO.RandomAccess.WriteAtOffset(SafeFileHandle handle, ReadOnlySpan`1 buffer, Int64 fileOffset)\n"+
		"   at System.IO.StreamWriter.Flush(Boolean flushStream, Boolean flushEncoder)\n   at GitHub.Runner.Common.HostTraceListener.WriteHeader(String source, TraceEventType eventType, Int32 id)\n", exception)
	// Go's own runtime would make another exit code of the signal.
	_ = syscall.Exec("/bin/sh", []string{"Runner.Listener", "-c", "ulimit -c 0; kill -ABRT $$"}, os.Environ())
	os.Exit(134)
}

// save writes the three files, .runner with a byte order mark. Only the key is for
// the owner alone.
func (s settings) save(root, credential string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name, content string
		mode          os.FileMode
	}{
		{".credentials_rsaparams", `{"d":"x"}`, 0o600},
		{".credentials", fmt.Sprintf(`{"scheme":"OAuth","data":{"token":%q}}`, credential), 0o644},
		{".runner", byteOrderMark + string(text), 0o644},
	} {
		if err := os.WriteFile(filepath.Join(root, file.name), []byte(file.content), file.mode); err != nil {
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
	heading("Runner removal")
	if o.is("local") {
		forget(root)
		return 0
	}
	s, err := readSettings(root)
	if err != nil {
		term.line("Cannot connect to server, because config files are missing. Skipping removing runner from the server.")
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
	term.line("")
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
			term.line("Does not exist. Skipping Removing %s", file)
		}
	}
}
