package githubtest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// TokenKind is a kind of user token.
type TokenKind string

// The kinds that GitHub treats differently.
const (
	Classic     TokenKind = "classic"
	FineGrained TokenKind = "fine-grained"
)

// Token is a credential that GitHub has handed out.
type Token struct {
	Value       string
	Kind        TokenKind
	Scopes      []string          // classic: admin:org, repo, …
	Permissions map[string]string // fine-grained and App: organization_self_hosted_runners: write, …
	Account     string            // fine-grained and App: whose resources it covers; "": all
	SAML        bool              // the organization wants it authorized by single sign-on first
	Expires     time.Time         // zero: never
	appID       string            // of an installation token
}

// App is a GitHub App with one key.
type App struct {
	ID            string // number or client id
	Key           *rsa.PublicKey
	Installations map[string]int64 // by account or owner/name
	Permissions   map[string]string
}

// Group is a runner group of an organization or enterprise.
type Group struct {
	ID           int64
	Name         string
	Visibility   string   // all, selected, private
	Repositories []string // with selected
}

// Runner is a registration as GitHub keeps it.
type Runner struct {
	ID        int64
	Scope     string // acme, acme/coach
	Name      string
	Labels    []string
	GroupID   int64
	Ephemeral bool
	Online    bool
	Busy      bool
	Version   string
	JIT       bool
	WorkDir   string

	credential string    // what its listener shows; replaced with the registration
	busyUntil  time.Time // GitHub calls it busy until then, whatever runs
	session    *session
	ended      time.Time // of its last session
}

// session is a listener's connection.
type session struct {
	id      string
	polls   int // long polls open now
	lastEnd time.Time
}

// Job is one job of a workflow run.
type Job struct {
	ID         int64
	RunID      int64
	Repository string
	Workflow   string
	Name       string
	RunsOn     []string // default: self-hosted
	Steps      []string // shell scripts, one after the other

	Status     string // queued, in_progress, completed
	Result     string // success, failure, cancelled
	Shutdown   bool   // the runner said that it was shut down
	Lost       bool   // the runner was never heard of again
	RunnerID   int64
	RunnerName string
	Log        string
	Queued     time.Time
	Started    time.Time
	Completed  time.Time

	cancel bool
}

// scope is what runners belong to.
type scope struct {
	name   string // acme, acme/coach
	kind   string // organization, repository, enterprise
	groups []Group
}

type issued struct {
	scope   string
	expires time.Time
}

type world struct {
	accounts      map[string]string // lower-case name -> User, Organization
	scopes        map[string]*scope // by lower-case name; enterprises as enterprises/NAME
	tokens        map[string]*Token
	apps          []App
	registrations map[string]issued // registration and remove tokens
	runners       map[int64]*Runner
	jobs          []*Job
	secrets       []string
	nextID        int64
	installations map[int64]string // installation -> app
}

func newWorld() world {
	return world{
		accounts: map[string]string{}, scopes: map[string]*scope{}, tokens: map[string]*Token{},
		registrations: map[string]issued{}, runners: map[int64]*Runner{}, installations: map[int64]string{}, nextID: 20,
	}
}

func (w *world) id() int64 { w.nextID++; return w.nextID }

// random returns n bytes as hex.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func (w *world) secret(prefix string) string {
	s := prefix + random(20)
	w.secrets = append(w.secrets, s)
	return s
}

// AddOrganization makes an organization with its default runner group.
func (s *Server) AddOrganization(name string) { s.addAccount(name, "Organization") }

// AddUser makes a personal account.
func (s *Server) AddUser(name string) { s.addAccount(name, "User") }

func (s *Server) addAccount(name, kind string) {
	s.change(func() {
		s.accounts[strings.ToLower(name)] = kind
		if kind == "Organization" {
			s.scopes[strings.ToLower(name)] = &scope{name: name, kind: "organization", groups: []Group{{ID: 1, Name: "Default", Visibility: "all"}}}
		}
	})
}

// AddEnterprise makes an enterprise.
func (s *Server) AddEnterprise(slug string) {
	s.change(func() {
		s.scopes["enterprises/"+strings.ToLower(slug)] = &scope{name: "enterprises/" + slug, kind: "enterprise", groups: []Group{{ID: 1, Name: "Default", Visibility: "all"}}}
	})
}

// AddRepository makes a repository, owner/name.
func (s *Server) AddRepository(name string) {
	s.change(func() {
		s.scopes[strings.ToLower(name)] = &scope{name: name, kind: "repository", groups: []Group{{ID: 1, Name: "Default", Visibility: "all"}}}
	})
}

// AddGroup makes a runner group and returns its id.
func (s *Server) AddGroup(owner string, g Group) int64 {
	s.change(func() {
		g.ID = s.id()
		if g.Visibility == "" {
			g.Visibility = "all"
		}
		o := s.scopes[strings.ToLower(owner)]
		o.groups = append(o.groups, g)
	})
	return g.ID
}

// AddToken makes a token good. Without kind and rights it is a classic one with
// all that runners need.
func (s *Server) AddToken(t Token) {
	if t.Kind == "" {
		t.Kind = Classic
	}
	if t.Kind == Classic && t.Scopes == nil {
		t.Scopes = []string{"admin:org", "repo", "manage_runners:enterprise"}
	}
	s.change(func() {
		s.tokens[t.Value] = &t
		s.secrets = append(s.secrets, t.Value)
	})
}

// RevokeToken makes a token bad.
func (s *Server) RevokeToken(value string) { s.change(func() { delete(s.tokens, value) }) }

// ExpireInstallationTokens makes every installation token bad, as time would.
func (s *Server) ExpireInstallationTokens() {
	s.change(func() {
		for value, t := range s.tokens {
			if t.appID != "" {
				delete(s.tokens, value)
			}
		}
	})
}

// AddApp makes a GitHub App.
func (s *Server) AddApp(app App) {
	s.change(func() {
		s.apps = append(s.apps, app)
		for _, id := range app.Installations {
			s.installations[id] = app.ID
		}
	})
}

// Install installs an App for an account or a repository and returns the
// installation's id.
func (s *Server) Install(app, account string) int64 {
	var id int64
	s.change(func() {
		id = s.id()
		s.installations[id] = app
		for _, a := range s.apps {
			if a.ID == app {
				a.Installations[account] = id
			}
		}
	})
	return id
}

// RegistrationToken hands out a ready registration token, as an operator would
// copy it from the settings page.
func (s *Server) RegistrationToken(scope string) string {
	var token string
	s.change(func() { token = s.issue(scope) })
	return token
}

// issue makes a registration token; the lock is held.
func (s *Server) issue(scope string) string {
	token := s.secret("A")
	s.registrations[token] = issued{scope, time.Now().Add(time.Hour)}
	return token
}

// AddRunner makes a registration that no listener here belongs to: a ghost of
// an earlier life, or one of a thousand others.
func (s *Server) AddRunner(r Runner) int64 {
	s.change(func() {
		r.ID = s.id()
		if r.GroupID == 0 {
			r.GroupID = 1
		}
		if r.Busy {
			r.busyUntil = time.Now().Add(24 * time.Hour)
		}
		s.runners[r.ID] = &r
	})
	return r.ID
}

// Release ends the job of a runner made by AddRunner with Busy.
func (s *Server) Release(id int64) {
	s.change(func() {
		if r := s.runners[id]; r != nil {
			r.Busy, r.busyUntil = false, time.Time{}
		}
	})
}

// RemoveRunner deletes a runner behind its listener's back.
func (s *Server) RemoveRunner(id int64) { s.change(func() { delete(s.runners, id) }) }

// Enqueue queues a job and returns its id.
func (s *Server) Enqueue(job Job) int64 {
	s.change(func() {
		job.ID, job.RunID = s.id(), s.id()
		if len(job.RunsOn) == 0 {
			job.RunsOn = []string{"self-hosted"}
		}
		if job.Name == "" {
			job.Name = "build"
		}
		if job.Workflow == "" {
			job.Workflow = "CI"
		}
		job.Status, job.Queued = "queued", time.Now()
		s.jobs = append(s.jobs, &job)
	})
	return job.ID
}

// CancelJob is what a person does on the run's page.
func (s *Server) CancelJob(id int64) {
	s.change(func() {
		for _, j := range s.jobs {
			if j.ID == id {
				j.cancel = true
				if j.Status == "queued" {
					j.Status, j.Result, j.Completed = "completed", "cancelled", time.Now()
				}
			}
		}
	})
}

// Runners returns all registrations, by id.
func (s *Server) Runners() []Runner {
	var all []Runner
	s.look(func() { all = s.listRunners("") })
	return all
}

// listRunners lists those of a scope, or all; the lock is held.
func (s *Server) listRunners(scope string) []Runner {
	all := []Runner{}
	for _, r := range s.runners {
		if scope == "" || strings.EqualFold(r.Scope, scope) {
			r.Online = r.Online && r.session == nil || s.connected(r)
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b Runner) int { return int(a.ID - b.ID) })
	return all
}

// Jobs returns all jobs, in the order in which they were queued.
func (s *Server) Jobs() []Job {
	var all []Job
	s.look(func() {
		for _, j := range s.jobs {
			all = append(all, *j)
		}
	})
	return all
}

// Job returns one job.
func (s *Server) Job(id int64) Job {
	for _, j := range s.Jobs() {
		if j.ID == id {
			return j
		}
	}
	return Job{}
}

// Secrets returns every token that was ever made: none of them may show
// anywhere.
func (s *Server) Secrets() []string {
	var all []string
	s.look(func() { all = slices.Clone(s.secrets) })
	return all
}
