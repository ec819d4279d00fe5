package githubtest

import (
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// actionsPrefix is what the operations of the Actions service begin with:
// actions:acquirejob. See actions/route.go for their names.
const actionsPrefix = "actions:"

// Protocol is how the Actions service speaks to real runners.
type Protocol struct {
	Flow     actions.Flow
	Encrypts bool // classic sessions have a key
	Feeds    bool // jobs name an address for their lines, as they are written
}

// Speak sets it for all registrations and sessions from now on; v2 is the default.
func (s *Server) Speak(p Protocol) { s.change(func() { s.protocol = p }) }

// StepLog is what a real runner has sent as the log of a job's step, or as the job's
// own ("job"), with its times.
func (s *Server) StepLog(job int64, name string) string {
	var text string
	s.look(func() {
		if j := s.jobByID(job); j != nil && j.logs != nil {
			text = j.logs.Text(name)
		}
	})
	return text
}

// Steps is how far a running job's steps are that its real runner has told of.
func (s *Server) Steps(job int64) []Outcome {
	var all []Outcome
	s.look(func() {
		if j := s.jobByID(job); j != nil && j.logs != nil {
			all = j.logs.States()
		}
	})
	return all
}

// handleActions answers a real runner's call.
func (s *Server) handleActions(q request) response {
	switch strings.TrimPrefix(q.operation, actionsPrefix) {
	case "message", "broker-message":
		return s.actionsMessage(q)
	}
	var answer response
	s.change(func() {
		s.sweep(time.Now())
		answer = respond(s.service.Handle(actionsWorld{s}, q.service))
	})
	return answer
}

func respond(a actions.Answer) response {
	return response{status: a.Status, body: a.Body, header: a.Header}
}

// brokerPatience is how long the service keeps a poll without news.
const brokerPatience = 50 * time.Second

// actionsMessage is a real listener's long poll.
func (s *Server) actionsMessage(q request) response {
	w := actionsWorld{s}
	var l actions.Listener
	var name string
	var refused actions.Answer
	s.change(func() {
		s.sweep(time.Now())
		if l, refused = s.service.Listen(w, q.service); refused.Status == 0 {
			name = s.runners.byCredential[l.Client].Name
		}
	})
	if refused.Status != 0 {
		return respond(refused)
	}
	return s.listen(q.context, listening{
		credential: l.Client, session: l.Session, patience: brokerPatience,
		held:    func() bool { return s.served[l.Client] },
		gone:    func() response { return respond(s.service.Gone(l, name)) },
		expired: func() response { return respond(s.service.Expired(l)) },
		nothing: func() response { return respond(s.service.Nothing(l)) },
		news:    func(r *Runner) response { return s.actionsNews(r, l) },
	})
}

// actionsNews is a job for a runner, or the word that its job is cancelled.
func (s *Server) actionsNews(r *Runner, l actions.Listener) response {
	w := actionsWorld{s}
	if d := s.deprecations[l.Version].Runtime; !d.IsZero() && s.now().After(d) {
		return respond(s.service.Deprecated(l))
	}
	for _, j := range s.jobs {
		if j.RunnerID == r.ID && j.Status == "in_progress" && j.taken && j.cancel && !j.told {
			if answer, migrates := s.service.Migrates(w, l); migrates {
				return respond(answer)
			}
			j.told = true
			return respond(s.service.Cancel(w, l, w.job(j)))
		}
	}
	if answer, migrates := s.service.Migrates(w, l); migrates {
		if s.offers(r) {
			return respond(answer)
		}
		return response{}
	}
	if j := s.assign(r); j != nil {
		return respond(s.service.Offer(w, l, w.describe(r), w.job(j)))
	}
	return response{}
}

// offers tells whether there is a job for a runner, without giving it out.
func (s *Server) offers(r *Runner) bool {
	for _, j := range s.jobs {
		if j.Status == "queued" && !r.Busy && s.serves(r, j) || j.Status == "in_progress" && j.RunnerID == r.ID && !j.taken {
			return true
		}
	}
	return false
}
