package cli

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
	"github.com/virtuoso902/org-runner/register"
)

const rollbackHelp = `Puts the repository-level .env back from .env.repository-backup, and keeps the
organization's as .env.organization. What another image's .env said comes back in
our words; the backup stays as it is. Nothing else is changed: the next
docker compose up starts with it.

  org-runner rollback --check
  org-runner rollback && docker compose up -d --force-recreate

  --check           shows what would be done, and does nothing
  --directory DIR   where .env is; default: here`

const migrateHelp = `Makes the organization's .env out of the repository-level one, which it keeps as
.env.repository-backup, byte for byte: GITHUB_REPOSITORY is taken out,
GITHUB_ORGANIZATION put in, another image's variables become ours, all else
stays. org-runner rollback is the way back.

  org-runner migrate --organization acme --check
  org-runner migrate --organization acme && docker compose up -d --force-recreate

  --organization NAME  whom the runners shall serve
  --check              shows what would be done, and does nothing
  --directory DIR      where .env is; default: here`

// The files of both ways.
const (
	current        = ".env"
	repositoryCopy = ".env.repository-backup"
	ownCopy        = ".env.organization"
)

// changeover is one way between the two.
type changeover struct {
	call  Invocation
	dir   string
	check bool
}

func newChangeover(call Invocation, set *flag.FlagSet) (*changeover, error) {
	c := &changeover{call: call}
	set.BoolVar(&c.check, "check", false, "")
	set.StringVar(&c.dir, "directory", ".", "")
	return c, parseFlags(call, set, 0)
}

func (c *changeover) path(name string) string { return filepath.Join(c.dir, name) }

// envFileIn is a parsed file and its bytes.
type envFileIn struct {
	*dotenv.File
	data []byte
}

// read reads and parses one of the files.
func (c *changeover) read(name, missing string) (envFileIn, error) {
	data, err := os.ReadFile(c.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return envFileIn{}, fmt.Errorf("%w: there is no %s: %s", register.ErrConfiguration, c.path(name), missing)
	case err != nil:
		return envFileIn{}, fmt.Errorf("%w: %w: make it readable; nothing was changed", register.ErrConfiguration, err)
	}
	file, err := dotenv.Parse(data)
	if err != nil {
		return envFileIn{}, fmt.Errorf("%w: %s: %w; nothing was changed", register.ErrConfiguration, c.path(name), err)
	}
	return envFileIn{file, data}, nil
}

func valueOf(file *dotenv.File, name string) string {
	value, _ := file.Get(name)
	return value
}

// inOurWords is the file without another image's words.
func (f envFileIn) inOurWords() (*dotenv.File, error) {
	ours, err := dotenv.Parse(f.data)
	if err != nil {
		return nil, err
	}
	return ours, translate(ours)
}

// comesFrom tells whether the file is what a backup holds, or what rollback makes
// of that.
func (f envFileIn) comesFrom(backup []byte) bool {
	if bytes.Equal(f.data, backup) {
		return true
	}
	ours, err := envFileIn{data: backup}.inOurWords()
	return err == nil && bytes.Equal(f.data, ours.Bytes())
}

// validate holds a file against the parser that every start uses, without this
// shell's variables.
func (c *changeover) validate(what string, file *dotenv.File) error {
	c.call.know(config.Secrets(file.Environ()))
	machine := config.ThisMachine()
	machine.ReadFile = func(string) ([]byte, os.FileInfo, error) { return nil, nil, fs.ErrNotExist }
	_, err := config.Parse(file.Environ(), machine)
	var problems config.Problems
	if errors.As(err, &problems) {
		// Secret files and authorities are the container's: whether they are there
		// shows in it.
		problems = slices.DeleteFunc(problems, func(p config.Problem) bool { return strings.HasSuffix(p.Variable, "_FILE") })
		if err = problems; len(problems) == 0 {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s would not start a runner; nothing was changed. %w", what, err)
	}
	return nil
}

// rollback goes back to the repository's runners.
func rollback(call Invocation) error {
	set := flag.NewFlagSet("rollback", flag.ContinueOnError)
	c, err := newChangeover(call, set)
	if err != nil {
		return err
	}
	backup, err := c.read(repositoryCopy, "org-runner migrate makes it; without one, set GITHUB_REPOSITORY in .env yourself")
	if err != nil {
		return err
	}
	next, err := backup.inOurWords()
	if err != nil {
		return fmt.Errorf("%s: %w", c.path(repositoryCopy), err)
	}
	if err := c.validate(repositoryCopy, next); err != nil {
		return err
	}
	repository, _ := next.Get("GITHUB_REPOSITORY")
	if repository == "" {
		return fmt.Errorf("%w: %s is not of a repository: it sets no GITHUB_REPOSITORY; nothing was changed", register.ErrConfiguration, c.path(repositoryCopy))
	}
	now, err := os.ReadFile(c.path(current))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w: make it readable; nothing was changed", register.ErrConfiguration, err)
	}
	if bytes.Equal(now, next.Bytes()) {
		fmt.Fprintf(call.Stdout, "%s is the repository-level one already (%s)\n", c.path(current), repository)
		return nil
	}
	old, err := dotenv.Parse(now)
	if err != nil {
		old = &dotenv.File{} // broken, which may be why one goes back; its copy is kept as it is
	}
	// Only what is the organization's is kept as the organization's.
	var steps []step
	if _, ok := old.Get("GITHUB_ORGANIZATION"); ok || err != nil {
		steps = append(steps, step{ownCopy, now})
	} else if len(now) > 0 {
		return fmt.Errorf("%w: %s is no organization's (it sets no GITHUB_ORGANIZATION) and not the backup either: it would be lost. Move it away, then try again; nothing was changed", register.ErrConfiguration, c.path(current))
	}
	return c.carryOut(append(steps, step{current, next.Bytes()}), old, next, "back to the repository "+repository)
}

// migrate goes forward to the organization's runners.
func migrate(call Invocation) error {
	set := flag.NewFlagSet("migrate", flag.ContinueOnError)
	organization := set.String("organization", "", "")
	c, err := newChangeover(call, set)
	if err != nil {
		return err
	}
	if *organization == "" {
		return fmt.Errorf("%w: migrate wants the organization's name, as in org-runner migrate --organization acme", errUsage)
	}
	now, err := c.read(current, "start from a copy of .env.example")
	if err != nil {
		return err
	}
	before, err := now.inOurWords()
	if name, _ := now.Get("GITHUB_ORGANIZATION"); name != "" {
		if !strings.EqualFold(name, *organization) {
			return fmt.Errorf("%w: %s is of the organization %s already: change GITHUB_ORGANIZATION in it; nothing was changed", register.ErrConfiguration, c.path(current), name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.path(current), err)
		}
		if server, _ := before.Get("GITHUB_SERVER_URL"); server != valueOf(now.File, "GITHUB_SERVER_URL") {
			return fmt.Errorf("%w: %s is the organization's already (%s), and its server stands in a variable that org-runner does not read: set GITHUB_SERVER_URL=%s in its place; nothing was changed", register.ErrConfiguration, c.path(current), name, server)
		}
		fmt.Fprintf(call.Stdout, "%s is the organization's already (%s)\n", c.path(current), name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.path(current), err)
	}
	next, _ := now.inOurWords()
	if repository, _ := before.Get("GITHUB_REPOSITORY"); repository == "" {
		return fmt.Errorf("%w: %s sets no GITHUB_REPOSITORY, so there is nothing to migrate: set %s in it; nothing was changed", register.ErrConfiguration, c.path(current),
			place{valueOf(before, "GITHUB_SERVER_URL"), config.Organization, *organization}.inOurVariables())
	}
	next.Unset("GITHUB_REPOSITORY")
	next.Set("GITHUB_ORGANIZATION", *organization)
	if err := c.validate("the organization's "+current, next); err != nil {
		return err
	}
	// What goes back must be good too, or it is no way back.
	if err := c.validate(current, before); err != nil {
		return err
	}
	var steps []step
	switch kept, err := os.ReadFile(c.path(repositoryCopy)); {
	case errors.Is(err, fs.ErrNotExist):
		steps = append(steps, step{repositoryCopy, now.data})
	case err != nil:
		return fmt.Errorf("%w: %w: make it readable; nothing was changed", register.ErrConfiguration, err)
	case !now.comesFrom(kept):
		return fmt.Errorf("%w: %s exists and holds something else: move it away, then try again; nothing was changed", register.ErrConfiguration, c.path(repositoryCopy))
	}
	return c.carryOut(append(steps, step{current, next.Bytes()}), now.File, next, "forward to the organization "+*organization)
}

// step is a file to be written.
type step struct {
	name string
	data []byte
}

// carryOut shows the difference and writes the files: all of them are written
// beside their places first, then put there, the copies before what they are copies
// of. Whatever ends us in between, nothing is lost and a second try goes on from
// there.
func (c *changeover) carryOut(steps []step, old, next *dotenv.File, where string) error {
	difference(c.call.Stdout, old, next)
	if warning := readableByOthers(c.path(current), old); warning != nil {
		fmt.Fprintf(c.call.Stdout, "warn  %s: %s\n", warning.Detail, warning.Remedy)
	}
	verb := "would be written"
	if !c.check {
		verb = "written"
		if err := c.write(steps); err != nil {
			return fmt.Errorf("%w: %w: make room or the folder writable, then try again: what was not written is as it was", register.ErrConfiguration, err)
		}
	}
	for _, s := range steps {
		copied := ""
		if s.name != current {
			copied = ", an exact copy of " + c.path(current)
		}
		fmt.Fprintf(c.call.Stdout, "%s %s%s\n", c.path(s.name), verb, copied)
	}
	if c.check {
		fmt.Fprintln(c.call.Stdout, "nothing was changed; without --check it goes "+where)
		return nil
	}
	fmt.Fprintf(c.call.Stdout, "%s; next:\n\n  docker compose up -d --force-recreate\n", where)
	return nil
}

// write puts the files in their places. Nothing is there before all have found room
// on the disk.
func (c *changeover) write(steps []step) error {
	owner := c.path(current)
	if _, err := os.Stat(owner); err != nil {
		owner = c.path(repositoryCopy)
	}
	var staged []*dotenv.Staged
	for _, s := range steps {
		// A copy holds the same secrets, whatever the mode of the file was: it is for
		// the owner of .env alone.
		options := dotenv.Placement{OwnerOf: owner, Private: s.name != current}
		file, err := dotenv.Stage(c.path(s.name), s.data, options)
		if err != nil {
			for _, other := range staged {
				other.Discard()
			}
			return err
		}
		staged = append(staged, file)
	}
	for i, file := range staged {
		if err := file.Commit(); err != nil {
			for _, other := range staged[i:] {
				other.Discard()
			}
			return err
		}
	}
	return nil
}

// placeholder stands for what may not be shown, or is not here.
const placeholder = "****"

// difference shows what changes, variable by variable, and what stays without
// effect; secrets never.
func difference(w io.Writer, old, next *dotenv.File) {
	secret := map[string]bool{}
	for _, v := range config.Variables() {
		secret[v.Name] = v.Secret
	}
	show := func(sign, variable string) {
		name, value, _ := strings.Cut(variable, "=")
		// A name that is not ours may hold another image's token, unless it is only
		// another name of what is no secret.
		known := cmp.Or(translated[name], name)
		// An address may have a password in it.
		if value != "" && (secret[known] || !config.IsOurs(known) || strings.Contains(value, "@")) {
			value = placeholder
		}
		fmt.Fprintf(w, "%s %s=%s\n", sign, name, printable(value))
	}
	before, after := old.Environ(), next.Environ()
	for _, v := range before {
		if !slices.Contains(after, v) {
			show("-", v)
		}
	}
	for _, v := range after {
		if !slices.Contains(before, v) {
			show("+", v)
		}
	}
	for _, v := range after {
		if name, value, _ := strings.Cut(v, "="); value != "" && config.Hint(name) != "" {
			fmt.Fprintf(w, "warn  %s\n", config.Hint(name))
		}
	}
}
