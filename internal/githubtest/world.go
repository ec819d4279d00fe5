package githubtest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// TokenKind is a kind of user token.
type TokenKind string

// The kinds that GitHub treats differently.
const (
	Classic     TokenKind = "classic"
	FineGrained TokenKind = "fine-grained"
	OAuth       TokenKind = "oauth"
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

// classic tells whether scopes say what a token may do.
func (t *Token) classic() bool { return t.Kind == Classic || t.Kind == OAuth }

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
	Repositories []string // with selected: owner/name
	AllowsPublic bool     // public repositories may use it too
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

	credential string // what its listener shows, its client id; replaced with the registration
	key        *rsa.PublicKey
	created    time.Time
	renewed    time.Time // when its listener last renewed its job's lock
	busyUntil  time.Time // GitHub calls it busy until then, whatever runs
	session    *session
	ended      time.Time // of its last session
	done       bool      // an ephemeral one that has had its job, and leaves then
	leaves     time.Time
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
	RunsOn     []string          // default: self-hosted
	Steps      []string          // shell scripts, one after the other
	Plan       []Step            // instead, where a script alone does not do
	Env        map[string]string // of the steps
	Actor      string
	Branch     string // default: main

	// What only a real runner does with a job.
	Commit  string            // the message of the head commit
	Outputs map[string]string // name: expression
	Timeout time.Duration     // GitHub cancels it then; default: never

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

	Outcomes []Outcome         // of its steps, hooks included
	Produced map[string]string // its outputs

	logs   *actions.Logs
	cancel bool
	told   bool   // its listener has heard that it is cancelled
	group  Group  // of its runner
	token  string // with which its worker reports
	taken  bool   // its listener has answered for it: it is delivered no more
}

// scope is what runners belong to.
type scope struct {
	id      int64
	name    string // acme, acme/coach
	kind    string // organization, repository, enterprise
	private bool   // of a repository
	policy  string // of an organization: which repositories may have runners of their own
	groups  []Group
}

// defaultGroup is the group that every scope has from the start.
const defaultGroup = 1

// issued is what is known of a registration or remove token.
type issued struct {
	scope     string
	expires   time.Time
	registers bool // it can also register
}

type world struct {
	accounts      map[string]*account // by lower-case name
	scopes        map[string]*scope   // by lower-case name; enterprises as enterprises/NAME
	tokens        map[string]*Token
	apps          []App
	registrations map[string]issued // registration and remove tokens
	runners       roster
	served        map[string]bool // credentials of ephemeral runners that have had their job
	jobs          []*Job
	secrets       []string
	nextID        int64
	installations map[int64]string // installation -> app
	quotas        map[string]*quota
	deprecations  map[string]Deprecation
	latest        string // version of the runner
}

func newWorld() world {
	return world{
		accounts: map[string]*account{}, scopes: map[string]*scope{}, tokens: map[string]*Token{}, quotas: map[string]*quota{},
		registrations: map[string]issued{}, runners: newRoster(), served: map[string]bool{}, installations: map[int64]string{}, deprecations: map[string]Deprecation{},
		nextID: 20, latest: "2.336.0",
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
		a := &account{name: name, kind: kind, id: s.id()}
		s.accounts[strings.ToLower(name)] = a
		if kind == "Organization" {
			s.addScope(a.id, name, "organization").policy = "all"
		}
	})
}

// AddEnterprise makes an enterprise.
func (s *Server) AddEnterprise(slug string) {
	s.change(func() {
		s.addScope(s.id(), "enterprises/"+slug, "enterprise")
	})
}

// AddRepository makes a private repository, owner/name.
func (s *Server) AddRepository(name string) {
	s.change(func() { s.addScope(s.id(), name, "repository").private = true })
}

// AddPublicRepository makes a repository that everybody can see.
func (s *Server) AddPublicRepository(name string) {
	s.change(func() { s.addScope(s.id(), name, "repository") })
}

// addScope makes what runners can belong to, with its default group; the lock is
// held.
func (s *Server) addScope(id int64, name, kind string) *scope {
	sc := &scope{id: id, name: name, kind: kind, groups: []Group{{ID: defaultGroup, Name: "Default", Visibility: "all"}}}
	s.scopes[strings.ToLower(name)] = sc
	return sc
}

// SetRunnerPolicy sets which repositories of an organization may have runners of
// their own: all, selected, none.
func (s *Server) SetRunnerPolicy(organization, enabled string) {
	s.change(func() { s.scopes[strings.ToLower(organization)].policy = enabled })
}

// AddToken makes a token good. Without kind and rights it is a classic one with
// all that runners need.
func (s *Server) AddToken(t Token) {
	if t.Kind == "" {
		t.Kind = Classic
	}
	if t.classic() && t.Scopes == nil {
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
	s.change(func() { token = s.issue(scope, true) })
	return token
}

// issue makes a registration or remove token; the lock is held.
func (s *Server) issue(scope string, registers bool) string {
	token := s.secret("A")
	s.registrations[token] = issued{scope, s.now().Add(time.Hour), registers}
	return token
}

// ExpireRegistrationTokens makes every registration and remove token bad, as
// time would.
func (s *Server) ExpireRegistrationTokens() { s.change(func() { clear(s.registrations) }) }

// Enqueue queues a job and returns its id. One with a RunID belongs to that run.
func (s *Server) Enqueue(job Job) int64 {
	s.change(func() {
		if job.ID = s.id(); job.RunID == 0 {
			job.RunID = s.id()
		}
		if len(job.RunsOn) == 0 {
			job.RunsOn = []string{"self-hosted"}
		}
		if job.Name == "" {
			job.Name = "build"
		}
		if job.Workflow == "" {
			job.Workflow = "CI"
		}
		job.Status, job.Queued, job.logs = "queued", time.Now(), &actions.Logs{}
		s.jobs = append(s.jobs, &job)
	})
	return job.ID
}

// AddJob adds a job as it is given, with its status and times, that no listener
// here belongs to, and returns its id. A job with a runner's name has a runner; a
// RunID of one's own is kept.
func (s *Server) AddJob(job Job) int64 {
	s.change(func() {
		job.ID = s.id()
		if job.RunID == 0 {
			job.RunID = s.id()
		}
		if job.RunnerName != "" && job.RunnerID == 0 {
			job.RunnerID = s.id()
		}
		if len(job.RunsOn) == 0 {
			job.RunsOn = []string{"self-hosted"}
		}
		s.jobs = append(s.jobs, &job)
	})
	return job.ID
}

// ChangeJob changes a job that AddJob has added.
func (s *Server) ChangeJob(id int64, change func(*Job)) {
	s.change(func() {
		for _, j := range s.jobs {
			if j.ID == id {
				change(j)
			}
		}
	})
}

// CancelJob is what a person does on the run's page.
func (s *Server) CancelJob(id int64) {
	s.change(func() {
		for _, j := range s.jobs {
			if j.ID == id {
				j.stop()
			}
		}
	})
}

// Runners returns all registrations, by id.
func (s *Server) Runners() []Runner {
	var all []Runner
	s.look(func() {
		for _, r := range s.runners.ordered {
			s.refresh(r)
			all = append(all, *r)
		}
	})
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
