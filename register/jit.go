package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// usualDefaultGroup is the id that the group "Default" has on github.com. It is
// tried before it is looked up: that saves the only other call of a JIT
// registration, and a server where it is another one refuses it.
const usualDefaultGroup = 1

// jitRequest is the body of generate-jitconfig.
type jitRequest struct {
	Name       string   `json:"name"`
	GroupID    int64    `json:"runner_group_id"`
	Labels     []string `json:"labels"`
	WorkFolder string   `json:"work_folder"`
}

// JITConfig registers an ephemeral runner and returns its just-in-time
// configuration. GitHub adds no label to those given. taken says that a runner has
// the name already: another one's, an earlier start's, or the one of a first attempt
// whose answer was lost.
func (c *Client) JITConfig(ctx context.Context, name, group string, labels []string, workFolder string) (config secret.String, taken bool, err error) {
	in := jitRequest{Name: name, GroupID: usualDefaultGroup, Labels: labels, WorkFolder: workFolder}
	if group != "" && !strings.EqualFold(group, "default") && c.options.Scope.kind != "repository" {
		if in.GroupID, err = c.groupID(ctx, group); err != nil {
			return secret.String{}, false, err
		}
	}
	for {
		config, err := c.generate(ctx, in)
		switch {
		case errors.Is(err, errConflict):
			return secret.String{}, true, nil
		case errors.Is(err, ErrNotFound):
			if in.GroupID, err = c.otherGroup(ctx, group, in.GroupID, err); err != nil {
				return secret.String{}, false, err
			}
		default:
			return config, false, err
		}
	}
}

func (c *Client) generate(ctx context.Context, in jitRequest) (secret.String, error) {
	var out struct {
		Config string `json:"encoded_jit_config"`
	}
	path := c.runners() + "/generate-jitconfig"
	a, err := c.do(ctx, http.MethodPost, path, in, &out)
	if err == nil && out.Config == "" {
		err = malformed(http.MethodPost, path, a)
	}
	if err != nil {
		return secret.String{}, err
	}
	config := secret.New(out.Config)
	c.options.Secret(config)
	return config, nil
}

// groupID finds a group by its name, without case.
func (c *Client) groupID(ctx context.Context, name string) (int64, error) {
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

// otherGroup answers a 404 of generate-jitconfig: the group is not the one that
// was tried, or is gone, or the whole target is not there for these credentials.
// The last the list of groups tells by its own refusal.
func (c *Client) otherGroup(ctx context.Context, name string, tried int64, refusal error) (int64, error) {
	if name == "" {
		name = "default"
	}
	id, err := c.groupID(ctx, name)
	if err != nil {
		return 0, err
	}
	if id != tried {
		return id, nil
	}
	var e *Error
	if errors.As(refusal, &e) {
		e.Kind, e.Remedy = ErrConfiguration, fmt.Sprintf("the credentials may not register runners in the group %q: needed is %s", name, c.need())
	}
	return 0, refusal
}
