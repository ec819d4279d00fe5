package githubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// sweepNowAndThen notices lost connections also when nobody asks.
func (s *Server) sweepNowAndThen() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			if s.sweep(now) {
				s.wake()
			}
			s.mu.Unlock()
		}
	}
}

func (s *Server) connected(r *Runner) bool {
	return r.session != nil && (r.session.polls > 0 || time.Since(r.session.lastEnd) < s.options.OfflineAfter)
}

// sweep brings up to date what depends on time; the lock is held.
func (s *Server) sweep(now time.Time) (changed bool) {
	for _, j := range s.jobs {
		if j.Timeout > 0 && j.Status == "in_progress" && !j.cancel && now.Sub(j.Started) > j.Timeout {
			j.cancel, changed = true, true
		}
	}
	for _, r := range s.runners.live {
		if r.done && !now.Before(r.leaves) {
			s.runners.remove(r.ID)
			changed = true
			continue
		}
		if r.session == nil {
			if r.Busy && !r.ended.IsZero() && now.Sub(r.ended) > s.options.LostAfter && now.Sub(r.renewed) > s.options.LostAfter {
				s.lose(r, now)
				changed = true
			}
			continue
		}
		if online := s.connected(r); online != r.Online {
			r.Online, changed = online, true
		}
		if r.Busy && r.session.polls == 0 && now.Sub(r.session.lastEnd) > s.options.LostAfter && now.Sub(r.renewed) > s.options.LostAfter {
			s.lose(r, now)
			changed = true
		}
	}
	return changed
}

// lose gives up the job of a runner that is heard of no more.
func (s *Server) lose(r *Runner, now time.Time) {
	for _, j := range s.jobs {
		if j.RunnerID == r.ID && j.Status == "in_progress" {
			j.Status, j.Result, j.Lost, j.Completed = "completed", "failure", true, now
		}
	}
	r.Busy = false
}

// handleRunner is the runner's own protocol with GitHub, in our words.
func (s *Server) handleRunner(q request) response {
	if q.operation == "runner:message" || q.operation == "runner:hold" {
		return s.message(q)
	}
	if strings.HasPrefix(q.operation, actionsPrefix) {
		return s.handleActions(q)
	}
	var answer response
	s.change(func() {
		s.sweep(time.Now())
		answer = s.runnerCall(q)
	})
	return answer
}

type runnerRequest struct {
	ID                                        int64
	Token, URL, Name, Group, WorkDir, Version string
	Labels                                    []string
	Ephemeral, Replace                        bool
	Credential, Session                       string
	Job                                       int64
	Result, Log                               string
	Shutdown                                  bool
	Outcomes                                  []Outcome
}

func (s *Server) runnerCall(q request) response {
	if q.operation == "runner:behaviour" {
		return ok(s.nextBehaviour(q.values.Get("name"), q.values.Get("for")))
	}
	var in runnerRequest
	if json.Unmarshal(q.body, &in) != nil {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	switch q.operation {
	case "runner:register":
		return s.register(in)
	case "runner:remove":
		return s.unregister(in)
	case "runner:finish":
		return s.finish(in)
	}
	r := s.runners.byCredential[in.Credential]
	if r == nil || r.done {
		return ofKind("RunnerNotFound")
	}
	switch q.operation {
	case "runner:session":
		return s.openSession(in.Credential, in.Version)
	case "runner:end-session":
		if r.session != nil && r.session.id == in.Session {
			r.session, r.Online, r.ended = nil, false, time.Now()
		}
		return noContent()
	case "runner:acquire", "runner:renew":
		for _, j := range s.jobs {
			j.taken = j.taken || j.ID == in.Job
		}
		return noContent()
	case "runner:acknowledge":
		return noContent()
	}
	return notFound()
}

// openSession opens the session of a registration's listener; the lock is held.
func (s *Server) openSession(credential, version string) response {
	r := s.runners.byCredential[credential]
	switch {
	case r == nil || r.done:
		return notFound()
	case s.connected(r):
		return refuse(http.StatusConflict, "Session conflict")
	}
	r.session = &session{id: guid(), lastEnd: time.Now()}
	r.Online, r.Version = true, version
	s.runners.live[r.ID] = r
	return ok(map[string]any{"session": r.session.id})
}

// ofKind is a 404 of the service, which a listener tells from others.
func ofKind(kind string) response {
	return response{status: http.StatusNotFound, body: map[string]any{"message": "Not Found", "kind": kind}}
}

// authorized returns the scope that a registration or remove token is for, nil
// if it is no good for the address.
func (s *Server) authorized(in runnerRequest) *scope {
	t, known := s.registrations[in.Token]
	sc := s.scopes[strings.ToLower(strings.Trim(strings.TrimPrefix(in.URL, s.url), "/"))]
	if !known || s.now().After(t.expires) || sc == nil || !strings.EqualFold(sc.name, t.scope) {
		return nil
	}
	return sc
}

// unregister is what config.sh remove asks for.
func (s *Server) unregister(in runnerRequest) response {
	sc, r := s.authorized(in), s.runners.byID[in.ID]
	switch {
	case sc == nil || r == nil || !strings.EqualFold(r.Scope, sc.name):
		return notFound()
	case s.isBusy(r):
		return unprocessable("Runner is currently running a job and cannot be deleted.")
	}
	s.runners.remove(r.ID)
	return noContent()
}

// register is what config.sh asks for. A bad token gets a bare 404, as GitHub
// gives it.
func (s *Server) register(in runnerRequest) response {
	sc := s.authorized(in)
	if sc == nil || !s.registrations[in.Token].registers {
		return notFound()
	}
	group := sc.group(defaultGroup)
	if in.Group != "" {
		if group = sc.groupNamed(in.Group); group == nil {
			return response{status: http.StatusUnprocessableEntity, body: map[string]any{"message": "no such group", "kind": "NoSuchGroup"}}
		}
	}
	r := &Runner{Scope: sc.name, Name: in.Name, Labels: in.Labels, GroupID: group.ID, Ephemeral: in.Ephemeral, WorkDir: in.WorkDir, credential: ownCredential()}
	if old := s.runners.byName[nameKey(sc.name, in.Name)]; old != nil {
		if !in.Replace {
			return response{status: http.StatusConflict, body: map[string]any{"message": "Already exists - A runner with the name " + in.Name + " already exists.", "kind": "NameTaken"}}
		}
		// Replaced in place: the old credentials are no good any more.
		r.ID = old.ID
		s.lose(old, time.Now())
	} else {
		r.ID = s.id()
	}
	s.runners.put(r)
	return ok(map[string]any{"id": r.ID, "credential": r.credential, "poolId": group.ID, "poolName": group.Name})
}

// listening is a listener's long poll, in the words of its protocol.
type listening struct {
	credential, session    string
	patience               time.Duration
	held                   func() bool // it hears nothing more
	gone, expired, nothing func() response
	news                   func(*Runner) response // no status: none yet
}

// message is the stand-in's long poll: up to 5 s without news. A listener also holds
// a call of its own open, which never brings any: a runner whose polls go wrong, or
// that waits a minute before the next, is no runner that GitHub has lost.
func (s *Server) message(q request) response {
	var in runnerRequest
	if json.Unmarshal(q.body, &in) != nil {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	return s.listen(q.context, listening{
		credential: in.Credential, session: in.Session, patience: 5 * time.Second,
		// Its listener has not seen the worker's end yet.
		held:    func() bool { return in.Job != 0 && s.served[in.Credential] },
		gone:    func() response { return ofKind("RunnerNotFound") },
		expired: func() response { return ofKind("SessionExpired") },
		nothing: func() response { return ok(map[string]any{}) },
		news: func(r *Runner) response {
			if q.operation != "runner:message" {
				return response{}
			}
			return s.news(r, in)
		},
	})
}

// listen waits for what a listener is to hear.
func (s *Server) listen(gone <-chan struct{}, l listening) response {
	var mine *session
	defer func() {
		if mine != nil {
			s.change(func() { mine.polls--; mine.lastEnd = time.Now() })
		}
	}()
	timeout := time.NewTimer(l.patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		var answer response
		r := s.runners.byCredential[l.credential]
		switch {
		case l.held():
		case r == nil || r.done:
			answer = l.gone()
		case r.session == nil || r.session.id != l.session:
			answer = l.expired()
		default:
			arrived := mine == nil
			if arrived {
				mine = r.session
				mine.polls++
				r.Online = true
			}
			answer = l.news(r)
			// Waking all for nothing new would have every poll wake every other.
			if arrived || answer.status != 0 {
				s.wake()
			}
		}
		changed, down := s.changed, s.down
		s.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		if answer.status != 0 {
			return answer
		}
		select {
		case <-changed:
		case <-timeout.C:
			return l.nothing()
		case <-gone:
			return l.nothing()
		case <-s.done:
			return l.nothing()
		}
	}
}

// news is a job for an idle runner, or the word that its job is cancelled; the
// lock is held.
func (s *Server) news(r *Runner, in runnerRequest) response {
	if in.Job != 0 {
		if j := s.jobByID(in.Job); j != nil && j.cancel {
			return ok(map[string]any{"cancel": true})
		}
		return response{}
	}
	j := s.assign(r)
	if j == nil {
		return response{}
	}
	return ok(map[string]any{"job": map[string]any{
		"id": j.ID, "run": j.RunID, "repository": j.Repository, "workflow": j.Workflow, "name": j.Name, "steps": j.Steps, "plan": j.Plan, "env": j.Env, "token": j.token,
	}})
}

func (s *Server) jobByID(id int64) *Job {
	if at := slices.IndexFunc(s.jobs, func(j *Job) bool { return j.ID == id }); at >= 0 {
		return s.jobs[at]
	}
	return nil
}

// assign gives a runner a job, nil if there is none for it. One whose message was
// lost on the way is delivered again.
func (s *Server) assign(r *Runner) *Job {
	for _, j := range s.jobs {
		again := j.Status == "in_progress" && j.RunnerID == r.ID && !j.taken
		if !again && (j.Status != "queued" || r.Busy || !s.serves(r, j)) {
			continue
		}
		if j.token == "" {
			j.token = "job-" + random(20)
		}
		j.Status, j.Started, j.RunnerID, j.RunnerName = "in_progress", time.Now(), r.ID, r.Name
		r.Busy = true
		if group := s.groupOf(r); group != nil {
			j.group = *group
		}
		return j
	}
	return nil
}

// serves tells whether a runner may take a job: its scope, its group, and every
// label of runs-on, without case.
func (s *Server) serves(r *Runner, j *Job) bool {
	owner, _, _ := strings.Cut(j.Repository, "/")
	if !strings.EqualFold(r.Scope, owner) && !strings.EqualFold(r.Scope, j.Repository) && !strings.HasPrefix(r.Scope, "enterprises/") {
		return false
	}
	if group := s.groupOf(r); group != nil && !strings.Contains(r.Scope, "/") && !s.admits(group, j.Repository) {
		return false
	}
	for _, want := range j.RunsOn {
		if !slices.ContainsFunc(r.Labels, func(l string) bool { return strings.EqualFold(l, want) }) {
			return false
		}
	}
	return true
}

func (s *Server) groupOf(r *Runner) *Group {
	sc := s.scopes[strings.ToLower(r.Scope)]
	if sc == nil {
		return nil
	}
	return sc.group(r.GroupID)
}

// finish ends a job, with the job's own token, for its runner may be gone by then,
// or with its runner's credential. An ephemeral runner is removed with it.
func (s *Server) finish(in runnerRequest) response {
	own := s.runners.byCredential[in.Credential]
	at := slices.IndexFunc(s.jobs, func(j *Job) bool {
		return j.ID == in.Job && (j.token != "" && j.token == in.Token || own != nil && own.ID == j.RunnerID)
	})
	if at < 0 {
		return notFound()
	}
	s.complete(s.jobs[at], actions.End{Result: in.Result, Log: in.Log, Shutdown: in.Shutdown, Outcomes: in.Outcomes})
	return noContent()
}

// complete ends a job, and what its runner had with it; false if it has ended
// before. The lock is held.
func (s *Server) complete(j *Job, end actions.End) bool {
	running := j.Status == "in_progress"
	if running {
		j.Status, j.Result, j.Log, j.Shutdown, j.Outcomes, j.Completed = "completed", end.Result, end.Log, end.Shutdown, end.Outcomes, time.Now()
		j.Produced = end.Outputs
	}
	r := s.runners.byID[j.RunnerID]
	if r == nil || !r.Busy {
		return running
	}
	r.Busy = false
	r.busyUntil = time.Now().Add(s.options.BusyAfterJob)
	if r.Ephemeral {
		s.served[r.credential] = true
		r.done, r.leaves = true, time.Now().Add(s.options.RemoveAfterJob)
		s.sweep(time.Now())
	}
	return running
}
