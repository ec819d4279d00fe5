package register

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

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
	// AllowsPublic tells whether public repositories may use it too.
	AllowsPublic bool `json:"allows_public_repositories"`
}

func (c *Client) runners() string { return c.options.Scope.path() + "/actions/runners" }

func (c *Client) runner(id int64) string { return c.runners() + "/" + strconv.FormatInt(id, 10) }

// RegistrationToken requests a token with which config.sh can register runners
// for the next hour. A lost answer leaves an unused token, so it may be asked
// again.
func (c *Client) RegistrationToken(ctx context.Context) (secret.String, error) {
	var out struct{ Token string }
	path := c.runners() + "/registration-token"
	a, err := c.do(ctx, http.MethodPost, path, nil, &out)
	if err == nil && out.Token == "" {
		err = malformed(http.MethodPost, path, a)
	}
	if err != nil {
		return secret.String{}, err
	}
	token := secret.New(out.Token)
	c.options.Secret(token)
	return token, nil
}

// Runners yields all runners of the scope, page by page; after an error it ends.
func (c *Client) Runners(ctx context.Context) iter.Seq2[Runner, error] {
	return list[Runner](ctx, c, c.runners()+"?per_page=100", "runners")
}

// RunnersPage is one page of them: the one that next names, or the first.
func (c *Client) RunnersPage(ctx context.Context, next string) (Page[Runner], error) {
	return page[Runner](ctx, c, cmp.Or(next, c.runners()+"?per_page=100"), "runners")
}

// FindRunner returns the id of the runner of this name, 0 if there is none, and
// how GitHub sees it, as RunnerState does. It is compared without case, so that a
// conflict over a name is never with a runner that cannot be found.
func (c *Client) FindRunner(ctx context.Context, name string) (id int64, state string, err error) {
	path := c.runners() + "?per_page=100&name=" + url.QueryEscape(name)
	for r, err := range list[Runner](ctx, c, path, "runners") {
		// A server that does not know the filter lists all.
		if err != nil || strings.EqualFold(r.Name, name) {
			return r.ID, r.state(), err
		}
	}
	return 0, "gone", nil
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
	}
	return r.state(), nil
}

func (r Runner) state() string {
	switch {
	case r.Status != "online":
		return "offline"
	case r.Busy:
		return "busy"
	}
	return "online"
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

// Groups lists the runner groups of an organization or enterprise.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var groups []Group
	for g, err := range list[Group](ctx, c, c.options.Scope.path()+"/actions/runner-groups?per_page=100", "runner_groups") {
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}
