package actions

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// Listener is who asks for messages.
type Listener struct {
	Client  string
	Session string
	Version string
	Last    int64 // the message that it has, classic
	Broker  bool  // it asks the broker
	Busy    bool  // so it says
}

// Listen tells who asks for messages; the answer is set if the call is refused.
func (s *Service) Listen(w World, r Request) (Listener, Answer) {
	if refused := s.authenticate(w, &r, agent); refused.Status != 0 {
		return Listener{}, refused
	}
	q := r.Query
	return Listener{Client: r.claims.Client, Session: q.Get("sessionId"), Version: q.Get("runnerVersion"), Last: parse(q.Get("lastMessageId")),
		Broker: strings.HasPrefix(r.Path, "/_broker/"), Busy: q.Get("status") == "Busy"}, Answer{}
}

// Gone is the answer to a listener whose runner is deleted.
func (s *Service) Gone(l Listener, name string) Answer {
	if l.Broker {
		return brokerError(http.StatusNotFound, "RunnerNotFound", "The runner "+name+" was not found.")
	}
	return exception(http.StatusNotFound, "TaskAgentNotFoundException", "The runner "+name+" was not found.", 0)
}

// Expired is the answer to one whose session is not open.
func (s *Service) Expired(l Listener) Answer {
	if l.Broker {
		return brokerError(http.StatusNotFound, "RunnerSessionInvalid", "The session is not valid.")
	}
	return exception(http.StatusNotFound, "TaskAgentSessionExpiredException", "The session has expired.", 0)
}

// Deprecated is the answer to one whose version gets no jobs any more.
func (s *Service) Deprecated(l Listener) Answer {
	message := "Runner version v" + l.Version + " is deprecated and cannot receive messages."
	if l.Broker {
		return brokerError(http.StatusForbidden, "RunnerVersionTooOld", message)
	}
	return exception(http.StatusForbidden, "AccessDeniedException", message, 1)
}

// Nothing is the answer to a listener for which there is no message.
func (s *Service) Nothing(l Listener) Answer {
	if l.Broker {
		return Answer{Status: http.StatusAccepted}
	}
	return Answer{Status: http.StatusNoContent}
}

// Migrates tells a classic listener to ask the broker, once it has a message to get.
func (s *Service) Migrates(w World, l Listener) (Answer, bool) {
	if w.Flow() != Migrated || l.Broker {
		return Answer{}, false
	}
	// In the clear: it holds no secret, and one client would take its vector for the
	// broker's next message.
	return plainMessage(l.Last+1, "BrokerMigration", map[string]any{"brokerBaseUrl": w.URL() + "/_broker/"}), true
}

// Offer is the message of a job.
func (s *Service) Offer(w World, l Listener, runner Runner, job Job) Answer {
	id := jobMessage(job.ID)
	if !l.Broker {
		return s.message(w, l, id, "PipelineAgentJobRequest", s.jobMessage(w, runner, job, false))
	}
	return s.message(w, l, id, "RunnerJobRequest", map[string]any{"id": number(id), "runner_request_id": guid(idRequest, job.ID),
		"run_service_url": w.URL() + "/_run/", "billing_owner_id": "owner", "should_acknowledge": true})
}

// Cancel is the word that a job is cancelled.
func (s *Service) Cancel(w World, l Listener, job Job) Answer {
	return s.message(w, l, cancelMessage(job.ID), "JobCancellation", map[string]any{"jobId": guid(idJob, job.ID), "timeout": "00:05:00"})
}

// message is a message, encrypted where the session has a key.
func (s *Service) message(w World, l Listener, id int64, kind string, body any) Answer {
	if l.Broker || !w.Encrypts() {
		return plainMessage(id, kind, body)
	}
	text, _ := json.Marshal(body)
	iv, hidden := s.encrypt(l.Session, string(text))
	return ok(map[string]any{"messageId": id, "messageType": kind, "iv": iv, "body": hidden})
}

func plainMessage(id int64, kind string, body any) Answer {
	text, _ := json.Marshal(body)
	return ok(map[string]any{"messageId": id, "messageType": kind, "body": string(text)})
}

// describe is a runner as sessions have it.
func describe(w World, r Runner, broker bool) map[string]any {
	labels := []any{}
	for i, name := range r.Labels {
		kind := "user"
		switch strings.ToLower(name) {
		case "self-hosted", "linux", "x64", "arm64":
			kind = "system"
		}
		labels = append(labels, map[string]any{"id": i + 1, "name": name, "type": kind})
	}
	agent := map[string]any{"id": r.ID, "name": r.Name, "version": r.Version, "osDescription": nil, "enabled": true, "ephemeral": r.Ephemeral, "disableUpdate": false,
		"status": "online", "provisioningState": "Provisioned", "maxParallelism": 1, "createdOn": stamp(r.Created), "labels": labels}
	if broker {
		return agent
	}
	properties := map[string]any{}
	if w.Flow() == Mixed {
		properties["ServerUrlV2"], properties["UseV2Flow"] = w.URL()+"/_broker/", true
	}
	agent["properties"] = properties
	authorization := map[string]any{"authorizationUrl": tokenURL(w, r.Scope), "clientId": r.Client}
	if r.Key != nil {
		authorization["publicKey"] = describeKey(r.Key)
	}
	agent["authorization"] = authorization
	return agent
}

type sessionRequest struct {
	Owner string `json:"ownerName"`
	Fips  bool   `json:"useFipsEncryption"`
	Agent struct {
		ID      int64  `json:"id"`
		Version string `json:"version"`
	} `json:"agent"`
}

// open opens a listener's session.
func (s *Service) open(w World, r Request) (in sessionRequest, session string, refused Answer, err error) {
	if refused = decode(r, &in); refused.Status != 0 {
		return in, "", refused, nil
	}
	if in.Agent.ID != r.runner.ID {
		return in, "", refuse(http.StatusForbidden, "the token is another runner's"), nil
	}
	session, err = w.OpenSession(r.claims.Client, in.Agent.Version)
	return in, session, Answer{}, err
}

func (s *Service) brokerSession(w World, r Request) Answer {
	in, session, refused, err := s.open(w, r)
	switch {
	case refused.Status != 0:
		return refused
	case errors.Is(err, ErrConflict):
		return refuse(http.StatusConflict, "Conflict")
	case err != nil:
		return refuse(http.StatusNotFound, "Not Found")
	}
	return ok(map[string]any{"sessionId": session, "ownerName": in.Owner, "useFipsEncryption": false, "agent": describe(w, r.runner, true)})
}

func (s *Service) endBrokerSession(w World, r Request) Answer {
	_ = w.CloseSession(r.claims.Client, "")
	return noContent()
}

func (s *Service) session(w World, r Request) Answer {
	in, session, refused, err := s.open(w, r)
	switch {
	case refused.Status != 0:
		return refused
	case errors.Is(err, ErrConflict):
		return exception(http.StatusConflict, "TaskAgentSessionConflictException", "A session for this runner already exists.", 0)
	case err != nil:
		return s.Gone(Listener{}, r.runner.Name)
	}
	answer := map[string]any{"sessionId": session, "ownerName": in.Owner, "useFipsEncryption": in.Fips, "agent": describe(w, r.runner, false)}
	if w.Encrypts() && r.runner.Key != nil {
		answer["encryptionKey"] = map[string]any{"encrypted": true, "value": s.wrap(session, r.runner.Key, in.Fips)}
	}
	return ok(answer)
}

func (s *Service) endSession(w World, r Request) Answer {
	if w.CloseSession(r.claims.Client, r.parts[1]) != nil {
		return s.Expired(Listener{})
	}
	return noContent()
}

// deleteMessage is a classic listener's word that it has a message.
func (s *Service) deleteMessage(w World, r Request) Answer {
	if id := parse(r.parts[1]); id%2 == 0 {
		w.Take(id / 2)
	}
	return noContent()
}

// acknowledge is a v2 listener's.
func (s *Service) acknowledge(w World, r Request) Answer {
	var in struct {
		Request string `json:"runnerRequestId"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	job, known := w.Job(ofKind(idRequest, in.Request))
	if !known || job.Runner != r.runner.ID {
		return brokerError(http.StatusNotFound, "AcknowledgeJobNotFound", "There is no such job for this runner.")
	}
	return ok(map[string]any{})
}
