package actions

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Request is a call to the service.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         []byte

	parts  []string
	claims claims
	runner Runner // whose access token it shows
	job    Job    // whose token it shows
}

// Answer is what the service says to it. A body that is no text is sent as JSON.
type Answer struct {
	Status int
	Header http.Header
	Body   any // nil: none
}

// Service answers the calls.
type Service struct{ secret []byte }

// New makes a service with a secret of its own: tokens of another are not good.
func New() *Service {
	s := &Service{secret: make([]byte, 32)}
	_, _ = rand.Read(s.secret)
	return s
}

func ok(body any) Answer { return Answer{Status: http.StatusOK, Body: body} }

func noContent() Answer { return Answer{Status: http.StatusNoContent} }

// refuse is the answer of GitHub's own front.
func refuse(status int, message string) Answer {
	return Answer{Status: status, Body: map[string]any{"message": message}}
}

// unauthorized makes a classic client ask for a token.
func unauthorized(message string) Answer {
	answer := refuse(http.StatusUnauthorized, message)
	answer.Header = http.Header{"Www-Authenticate": {"Bearer"}}
	return answer
}

// exception is how the classic service refuses.
func exception(status int, kind, message string, code int) Answer {
	return Answer{Status: status, Body: map[string]any{"$id": "1", "innerException": nil, "message": message,
		"typeName": "GitHub.DistributedTask.WebApi." + kind + ", GitHub.DistributedTask.WebApi", "typeKey": kind, "errorCode": code, "eventId": 3000}}
}

// brokerError is how the broker refuses.
func brokerError(status int, kind, message string) Answer {
	return Answer{Status: status, Body: map[string]any{"source": "actions-broker-listener", "errorKind": kind, "statusCode": status, "errorMessage": message}}
}

// runError is how the run service refuses.
func runError(status int, message string) Answer {
	return Answer{Status: status, Body: map[string]any{"source": "actions-run-service", "statusCode": status, "errorMessage": message}}
}

// Handle answers a call, except of messages: see Listen.
func (s *Service) Handle(w World, r Request) Answer {
	i, parts := find(r.Method, r.Path)
	if i < 0 || operations[i].handle == nil {
		return refuse(http.StatusNotFound, "Not Found")
	}
	o := operations[i]
	r.parts = parts
	if refused := s.authenticate(w, &r, o.needs); refused.Status != 0 {
		return refused
	}
	if refused := contentType(o.name, r); refused.Status != 0 {
		return refused
	}
	return o.handle(s, w, r)
}

// authenticate fills in whose token a call shows.
func (s *Service) authenticate(w World, r *Request, needs who) Answer {
	if needs == nobody {
		return Answer{}
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	c, good := s.verify(w, text)
	if !strings.EqualFold(scheme, "Bearer") || !good {
		return unauthorized("no valid access token")
	}
	r.claims = c
	switch c.Kind {
	case "agent":
		runner, known := w.Client(c.Client)
		if !known {
			return unauthorized("the registration of this token is gone")
		}
		if r.runner = runner; needs == agent || needs == manages || needs == renewer {
			return Answer{}
		}
	case "manage":
		if needs == manager || needs == manages {
			return Answer{}
		}
	case "job":
		job, known := w.Job(c.Job)
		if !known {
			return unauthorized("the job of this token is gone")
		}
		if r.job = job; needs == worker || needs == renewer {
			return Answer{}
		}
	}
	return refuse(http.StatusForbidden, "this token may not do that")
}

// contentType refuses a body of another kind than the service takes.
func contentType(operation string, r Request) Answer {
	want := "application/json"
	switch operation {
	case "token":
		want = "application/x-www-form-urlencoded"
	case "append-log", "attachment":
		want = "application/octet-stream"
	case "blob":
		return Answer{}
	}
	if len(r.Body) > 0 && !strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), want) {
		return refuse(http.StatusUnsupportedMediaType, "the body must be "+want)
	}
	return Answer{}
}

// decode reads a JSON body.
func decode(r Request, into any) Answer {
	if json.Unmarshal(r.Body, into) != nil {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	return Answer{}
}

// tenant is the address of a scope's classic service.
func tenant(w World, scope string) string {
	return w.URL() + "/_services/pipelines/" + strings.ReplaceAll(scope, "/", "~") + "/"
}

func tokenURL(w World, scope string) string {
	return w.URL() + "/_services/token/" + strings.ReplaceAll(scope, "/", "~")
}

// Files are those of a JIT configuration: Pascal case, and every value a string.
// A stand-in's listener finds its word of honour beside the client id.
func Files(w World, r Runner, workFolder string, key []byte) map[string][]byte {
	settings := map[string]string{"AgentId": number(r.ID), "AgentName": r.Name, "DisableUpdate": "False", "Ephemeral": "True", "GitHubUrl": "",
		"PoolId": number(r.Group.ID), "PoolName": r.Group.Name, "ServerUrl": w.URL(), "WorkFolder": workFolder}
	if w.Flow() != Classic {
		settings["UseV2Flow"], settings["ServerUrlV2"] = "True", w.URL()+"/_broker/"
	}
	runner, _ := json.Marshal(settings)
	credentials, _ := json.Marshal(map[string]any{"Scheme": "OAuth", "Data": map[string]string{
		"ClientId": r.Client, "AuthorizationUrl": tokenURL(w, r.Scope), "RequireFipsCryptography": "True", "token": r.Client}})
	return map[string][]byte{".runner": runner, ".credentials": credentials, ".credentials_rsaparams": key}
}
