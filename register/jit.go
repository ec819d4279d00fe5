package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

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
// configuration. GitHub adds no label to those given. A runner that has the name
// already (an earlier start's, or the first attempt's whose answer was lost) is
// deleted first; for one that is running a job it waits, as long as its context
// allows.
func (c *Client) JITConfig(ctx context.Context, name, group string, labels []string, workFolder string) (secret.String, error) {
	in := jitRequest{Name: name, GroupID: usualDefaultGroup, Labels: labels, WorkFolder: workFolder}
	if group != "" && !strings.EqualFold(group, "default") && c.options.Scope.kind != "repository" {
		id, err := c.groupID(ctx, group)
		if err != nil {
			return secret.String{}, err
		}
		in.GroupID = id
	}
	for try := 0; ; try++ {
		config, err := c.generate(ctx, in)
		switch {
		case errors.Is(err, errConflict):
			if err := c.makeRoom(ctx, name, try, err); err != nil {
				return secret.String{}, err
			}
		case errors.Is(err, ErrNotFound):
			id, err := c.otherGroup(ctx, group, in.GroupID, err)
			if err != nil {
				return secret.String{}, err
			}
			in.GroupID = id
		default:
			return config, err
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

// makeRoom deletes the runner that has a name which we want. GitHub can call a
// runner busy for a while after its job, and a list can be older than a
// conflict: then it waits, 1 to 2 s at first and 30 s at most.
func (c *Client) makeRoom(ctx context.Context, name string, try int, conflict error) error {
	for ; ; try++ {
		if try > 0 {
			if err := pause(ctx, try); err != nil {
				if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					return err
				}
				return conflict
			}
		}
		old, err := c.FindRunner(ctx, name)
		if err != nil || old == 0 {
			return err
		}
		busy, err := c.DeleteRunner(ctx, old)
		if err != nil || !busy {
			return err
		}
		conflict = fmt.Errorf("%w: a runner %q is running a job: set another RUNNER_NAME, or RUNNER_NAME_SUFFIX=random", ErrConfiguration, name)
	}
}

// pause waits before the n-th next look (n from 1). It returns at once if that
// would outlast the context.
func pause(ctx context.Context, n int) error {
	left := time.Duration(1<<63 - 1)
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline) - shortestAttempt
	}
	// No shorter than half of the bound: each look is two calls, and their number
	// in the whole time should have a bound too.
	most := min(time.Second<<min(n, 5), 30*time.Second)
	wait, over := draw(most/2, most, left)
	if over {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
