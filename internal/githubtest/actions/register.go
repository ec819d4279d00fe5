package actions

import (
	"crypto/rsa"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// remote is the registration token of config.sh's calls to the front.
func remote(r Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "RemoteAuth ")
	return token
}

// registration is config.sh's first call: where to register, or to take off. A bad
// token gets a bare 404, as GitHub gives it.
func (s *Service) registration(w World, r Request) Answer {
	var in struct {
		URL   string `json:"url"`
		Event string `json:"runner_event"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	scope, good := w.ScopeOf(remote(r), in.URL, in.Event == "register")
	if !good {
		return refuse(http.StatusNotFound, "Not Found")
	}
	return ok(map[string]any{"url": tenant(w, scope), "token_schema": "OAuthAccessToken",
		"token": s.sign(w, claims{Kind: "manage", Scope: scope}, time.Hour), "use_v2_flow": w.Flow() == V2})
}

type label struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

func names(labels []label) []string {
	var all []string
	for _, l := range labels {
		if !slices.ContainsFunc(all, func(have string) bool { return strings.EqualFold(have, l.Name) }) {
			all = append(all, l.Name)
		}
	}
	return all
}

// register is the v2 registration.
func (s *Service) register(w World, r Request) Answer {
	var in struct {
		URL       string  `json:"url"`
		Group     int64   `json:"group_id"`
		Name      string  `json:"name"`
		Version   string  `json:"version"`
		Ephemeral bool    `json:"ephemeral"`
		Labels    []label `json:"labels"`
		Key       string  `json:"public_key"`
		RunnerID  int64   `json:"runner_id"`
		Replace   bool    `json:"replace"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	scope, good := w.ScopeOf(remote(r), in.URL, true)
	if !good {
		return refuse(http.StatusNotFound, "Not Found")
	}
	key, err := publicKeyXML(in.Key)
	if err != nil || in.Name == "" {
		return refuse(http.StatusUnprocessableEntity, "Validation Failed")
	}
	reg := Registration{Scope: scope, Name: in.Name, Version: in.Version, Labels: names(in.Labels), GroupID: in.Group, Ephemeral: in.Ephemeral, Key: key}
	if in.Replace {
		reg.Replaces = in.RunnerID
	}
	runner, err := w.Register(reg)
	switch {
	case errors.Is(err, ErrConflict):
		return refuse(http.StatusConflict, "Already exists - A runner with the name "+in.Name+" already exists.")
	case err != nil:
		return refuse(http.StatusNotFound, "Not Found")
	}
	return Answer{Status: http.StatusCreated, Body: map[string]any{"id": runner.ID, "name": runner.Name, "authorization": map[string]any{
		"authorization_url": tokenURL(w, scope), "server_url": w.URL() + "/_broker/", "client_id": runner.Client,
	}}}
}

// Removes tells whether a call is config.sh's own DELETE of a runner, which shows a
// remove token. Others of the same path are the REST API's.
func Removes(header http.Header) bool {
	return strings.HasPrefix(header.Get("Authorization"), "RemoteAuth ")
}

// remove is config.sh remove of the v2 flow.
func (s *Service) remove(w World, r Request) Answer {
	scope := strings.Join(r.parts[1:len(r.parts)-1], "/")
	if r.parts[0] == "enterprises" {
		scope = "enterprises/" + scope
	}
	if _, good := w.ScopeOf(remote(r), w.URL()+"/"+scope, false); !good {
		return refuse(http.StatusNotFound, "Not Found")
	}
	return removed(w.Unregister(scope, parse(r.parts[len(r.parts)-1])))
}

func removed(err error) Answer {
	switch {
	case errors.Is(err, ErrBusy):
		return refuse(http.StatusUnprocessableEntity, "Runner is currently running a job and cannot be deleted.")
	case err != nil:
		return refuse(http.StatusNotFound, "Not Found")
	}
	return noContent()
}

// parse is a number of a path, 0 for none.
func parse(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// token gives a listener its access token.
func (s *Service) token(w World, r Request) Answer {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || form.Get("grant_type") != "client_credentials" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return Answer{Status: http.StatusBadRequest, Body: map[string]any{"error": "invalid_request", "error_description": "no client assertion"}}
	}
	client, err := asserted(w, form.Get("client_assertion"), w.URL()+r.Path, func(client string) (*rsa.PublicKey, bool) {
		runner, known := w.Client(client)
		return runner.Key, known
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return Answer{Status: http.StatusBadRequest, Body: map[string]any{"error": "invalid_client", "error_description": "Registration " + client + " was not found."}}
	case err != nil:
		return Answer{Status: http.StatusBadRequest, Body: map[string]any{"error": "invalid_grant", "error_description": err.Error()}}
	}
	return ok(map[string]any{"access_token": s.sign(w, claims{Kind: "agent", Client: client}, time.Hour), "token_type": "bearer", "expires_in": 3600, "scope": "LocationService.Connect"})
}
