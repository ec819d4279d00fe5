package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// Runner is a self-hosted runner as GitHub lists it.
type Runner struct {
	ID        int64   `json:"id"`
	Name      string  `json:"name"`
	OS        string  `json:"os"`
	Status    string  `json:"status"` // online, offline
	Busy      bool    `json:"busy"`
	Ephemeral bool    `json:"ephemeral"`
	GroupID   int64   `json:"runner_group_id"`
	Version   *string `json:"version"` // nil until it has connected
	Labels    []Label `json:"labels"`
}

// Label is one of a runner's.
type Label struct {
	Name string `json:"name"`
	Type string `json:"type"` // read-only, custom
}

// Group is a runner group.
type Group struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	Visibility string `json:"visibility"` // all, selected, private
	Default    bool   `json:"default"`
}

func (c *Client) runners() string { return c.options.Scope.path() + "/actions/runners" }

func (c *Client) runner(id int64) string { return c.runners() + "/" + strconv.FormatInt(id, 10) }

// RegistrationToken requests a token with which config.sh can register runners
// for the next hour. A lost answer leaves an unused token, so it may be asked
// again.
func (c *Client) RegistrationToken(ctx context.Context) (secret.String, error) {
	var out struct{ Token string }
	if _, err := c.do(ctx, http.MethodPost, c.runners()+"/registration-token", nil, &out); err != nil {
		return secret.String{}, err
	}
	token := secret.New(out.Token)
	c.options.Secret(token)
	return token, nil
}

// FindRunner returns the id of the runner of exactly this name, 0 if there is
// none.
func (c *Client) FindRunner(ctx context.Context, name string) (id int64, err error) {
	path := c.runners() + "?per_page=100&name=" + url.QueryEscape(name)
	err = c.pages(ctx, path, func(body []byte) (bool, error) {
		var page struct{ Runners []Runner }
		if err := json.Unmarshal(body, &page); err != nil {
			return false, fmt.Errorf("GitHub's list of runners: %w", err)
		}
		for _, r := range page.Runners {
			// Servers that do not know the filter return all.
			if strings.EqualFold(r.Name, name) {
				id = r.ID
				return false, nil
			}
		}
		return true, nil
	})
	return id, err
}

// RunnerState returns how GitHub sees a runner: "gone", "offline", "online" or
// "busy".
func (c *Client) RunnerState(ctx context.Context, id int64) (string, error) {
	var r Runner
	_, err := c.do(ctx, http.MethodGet, c.runner(id), nil, &r)
	switch {
	case errors.Is(err, ErrNotFound):
		return "gone", nil
	case err != nil:
		return "", err
	case r.Status != "online":
		return "offline", nil
	case r.Busy:
		return "busy", nil
	}
	return "online", nil
}

// DeleteRunner takes a runner off GitHub, whether it is online or not. One that
// is running a job stays, and busy is true; one that is gone already is no
// error, which also makes it safe to ask again after a lost answer.
func (c *Client) DeleteRunner(ctx context.Context, id int64) (busy bool, err error) {
	_, err = c.do(ctx, http.MethodDelete, c.runner(id), nil, nil)
	switch {
	case errors.Is(err, errBusy):
		return true, nil
	case errors.Is(err, ErrNotFound):
		return false, nil
	}
	return false, err
}

// JITConfig registers an ephemeral runner and returns its just-in-time
// configuration. GitHub adds no label to those given. A runner that has the name
// already (an earlier start's, or the first attempt's whose answer was lost) is
// deleted first; one that is running a job is an error.
func (c *Client) JITConfig(ctx context.Context, name, group string, labels []string, workFolder string) (secret.String, error) {
	id, err := c.groupID(ctx, group)
	if err != nil {
		return secret.String{}, err
	}
	in := struct {
		Name       string   `json:"name"`
		GroupID    int64    `json:"runner_group_id"`
		Labels     []string `json:"labels"`
		WorkFolder string   `json:"work_folder"`
	}{name, id, labels, workFolder}
	for {
		var out struct {
			Config string `json:"encoded_jit_config"`
		}
		_, err := c.do(ctx, http.MethodPost, c.runners()+"/generate-jitconfig", in, &out)
		if err == nil {
			config := secret.New(out.Config)
			c.options.Secret(config)
			return config, nil
		}
		if !errors.Is(err, errConflict) {
			return secret.String{}, c.explainGroup(err, group)
		}
		if err := c.makeRoom(ctx, name); err != nil {
			return secret.String{}, err
		}
	}
}

// makeRoom deletes the runner that has a name which we want.
func (c *Client) makeRoom(ctx context.Context, name string) error {
	const pause = time.Second // GitHub can call a runner busy for a while after its job
	for {
		old, err := c.FindRunner(ctx, name)
		if err != nil || old == 0 {
			return err
		}
		busy, err := c.DeleteRunner(ctx, old)
		if err != nil || !busy {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%w: a runner %q is running a job: set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random", ErrConfiguration, name)
			}
			return context.Cause(ctx)
		}
	}
}

// defaultGroup is the id of the group that every organization, repository and
// enterprise has from the start.
const defaultGroup = 1

// groupID finds a group by its name, without case. The default group needs no
// look: that saves the only other call of a JIT registration.
func (c *Client) groupID(ctx context.Context, name string) (int64, error) {
	if name == "" || strings.EqualFold(name, "default") || c.options.Scope.kind == "repository" {
		return defaultGroup, nil
	}
	groups, err := c.Groups(ctx)
	if err != nil {
		return 0, err
	}
	var known []string
	for _, g := range groups {
		if strings.EqualFold(g.Name, name) {
			return g.ID, nil
		}
		known = append(known, g.Name)
	}
	return 0, fmt.Errorf("%w: the %s has no runner group %q: set RUNNER_GROUP to one that exists (%s), or create it in the settings under Actions, Runner groups",
		ErrConfiguration, c.options.Scope, name, printable(strings.Join(known, ", ")))
}

// explainGroup adds what a refused JIT registration is mostly about.
func (c *Client) explainGroup(err error, group string) error {
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound && strings.HasSuffix(refusal.Path, "/generate-jitconfig") {
		if group == "" {
			group = "default"
		}
		refusal.Kind = ErrConfiguration
		refusal.Remedy = fmt.Sprintf("the %s has no runner group %q for these credentials: check RUNNER_GROUP and the target; %s", c.options.Scope, group, c.need())
	}
	return err
}

// Groups lists the runner groups of an organization or enterprise.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var groups []Group
	err := c.pages(ctx, c.options.Scope.path()+"/actions/runner-groups?per_page=100", func(body []byte) (bool, error) {
		var page struct {
			Groups []Group `json:"runner_groups"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return false, fmt.Errorf("GitHub's list of runner groups: %w", err)
		}
		groups = append(groups, page.Groups...)
		return true, nil
	})
	return groups, err
}
