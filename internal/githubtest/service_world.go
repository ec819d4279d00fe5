package githubtest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// actionsWorld is the server as the Actions service sees it; the lock is held.
type actionsWorld struct{ s *Server }

func (w actionsWorld) URL() string        { return w.s.url }
func (w actionsWorld) Now() time.Time     { return w.s.now() }
func (w actionsWorld) Flow() actions.Flow { return w.s.protocol.Flow }
func (w actionsWorld) Encrypts() bool     { return w.s.protocol.Encrypts }
func (w actionsWorld) Feeds() bool        { return w.s.protocol.Feeds }

func (w actionsWorld) ScopeOf(token, address string, registers bool) (string, bool) {
	sc := w.s.authorized(runnerRequest{Token: token, URL: address})
	if sc == nil || registers && !w.s.registrations[token].registers {
		return "", false
	}
	return sc.name, true
}

func (w actionsWorld) Groups(scope string) []actions.Group {
	sc := w.s.scopes[strings.ToLower(scope)]
	if sc == nil {
		return nil
	}
	var all []actions.Group
	for _, g := range sc.groups {
		all = append(all, actions.Group{ID: g.ID, Name: g.Name})
	}
	return append(all, actions.Group{ID: hostedGroup, Name: "GitHub Actions", Hosted: true})
}

func (w actionsWorld) Named(scope, name string) []actions.Runner {
	var all []actions.Runner
	for _, r := range w.s.in(scope, name) {
		all = append(all, w.describe(r))
	}
	return all
}

func (w actionsWorld) describe(r *Runner) actions.Runner {
	group := actions.Group{ID: r.GroupID}
	if g := w.s.groupOf(r); g != nil {
		group.Name = g.Name
	}
	return actions.Runner{ID: r.ID, Scope: r.Scope, Name: r.Name, Version: r.Version, Labels: r.Labels, Group: group, Ephemeral: r.Ephemeral,
		Client: r.credential, Key: r.key, Created: r.created}
}

func (w actionsWorld) Register(reg actions.Registration) (actions.Runner, error) {
	sc := w.s.scopes[strings.ToLower(reg.Scope)]
	if sc == nil || sc.group(reg.GroupID) == nil {
		return actions.Runner{}, actions.ErrNotFound
	}
	old := w.s.runners.byName[nameKey(sc.name, reg.Name)]
	switch {
	case old != nil && old.ID != reg.Replaces:
		return actions.Runner{}, actions.ErrConflict
	case old == nil && reg.Replaces != 0:
		return actions.Runner{}, actions.ErrNotFound
	}
	r := &Runner{Scope: sc.name, Name: reg.Name, Version: reg.Version, Labels: reg.Labels, GroupID: reg.GroupID, Ephemeral: reg.Ephemeral,
		credential: ownCredential(), key: reg.Key, created: w.s.now()}
	if old != nil {
		r.ID = old.ID
		w.s.lose(old, time.Now())
	} else {
		r.ID = w.s.id()
	}
	w.s.runners.put(r)
	return w.describe(r), nil
}

func (w actionsWorld) Unregister(scope string, id int64) error {
	r := w.s.runners.byID[id]
	switch {
	case r == nil || !strings.EqualFold(r.Scope, scope):
		return actions.ErrNotFound
	case w.s.isBusy(r):
		return actions.ErrBusy
	}
	w.s.runners.remove(id)
	return nil
}

func (w actionsWorld) Client(client string) (actions.Runner, bool) {
	r := w.s.runners.byCredential[client]
	if r == nil || r.done {
		return actions.Runner{}, false
	}
	return w.describe(r), true
}

func (w actionsWorld) OpenSession(client, version string) (string, error) {
	answer := w.s.openSession(client, version)
	switch answer.status {
	case http.StatusConflict:
		return "", actions.ErrConflict
	case http.StatusOK:
		return w.s.runners.byCredential[client].session.id, nil
	}
	return "", actions.ErrNotFound
}

var errSession = errors.New("no such session")

// CloseSession closes a session by its id, or the one there is.
func (w actionsWorld) CloseSession(client, session string) error {
	r := w.s.runners.byCredential[client]
	if r == nil || r.session == nil || session != "" && r.session.id != session {
		return errSession
	}
	r.session, r.Online, r.ended = nil, false, time.Now()
	return nil
}

func (w actionsWorld) Job(id int64) (actions.Job, bool) {
	j := w.s.jobByID(id)
	if j == nil || j.RunnerID == 0 || j.logs == nil {
		return actions.Job{}, false
	}
	return w.job(j), true
}

func (w actionsWorld) job(j *Job) actions.Job {
	job := actions.Job{ID: j.ID, RunID: j.RunID, Runner: j.RunnerID, Repository: j.Repository, Workflow: j.Workflow, Name: j.Name, Actor: j.Actor, Branch: j.Branch,
		Commit: j.Commit, GroupName: j.group.Name, Token: "ghs_" + strings.TrimPrefix(j.token, "job-"), Env: j.Env, Outputs: j.Outputs, Logs: j.logs}
	if job.Branch == "" {
		job.Branch = "main"
	}
	if job.Actor == "" {
		job.Actor = "octocat"
	}
	plan := j.Plan
	if len(plan) == 0 {
		for _, script := range j.Steps {
			plan = append(plan, Step{Run: script})
		}
	}
	for _, step := range plan {
		job.Steps = append(job.Steps, actions.Step{ID: step.ID, Name: step.Name, Run: step.Run, If: step.If, Env: step.Env, ContinueOnError: step.ContinueOnError, Timeout: step.Timeout})
	}
	return job
}

func (w actionsWorld) Take(id int64) bool {
	j := w.s.jobByID(id)
	if j == nil || j.Status != "in_progress" {
		return false
	}
	j.taken = true
	return true
}

func (w actionsWorld) Renew(id int64) bool {
	if !w.Take(id) {
		return false
	}
	if r := w.s.runners.byID[w.s.jobByID(id).RunnerID]; r != nil {
		r.renewed = time.Now()
	}
	return true
}

func (w actionsWorld) Finish(id int64, end actions.End) bool {
	j := w.s.jobByID(id)
	return j != nil && w.s.complete(j, end)
}
