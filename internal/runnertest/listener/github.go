package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// refused is an answer that is none of the good ones.
type refused struct {
	status int
	id     string // of the request
	body   string
}

func (r refused) Error() string {
	return fmt.Sprintf("Response status code does not indicate success: %d (%s).", r.status, http.StatusText(r.status))
}

func isRefused(err error, r *refused) bool { return errors.As(err, r) }

func isStatus(err error, status int) bool {
	var r refused
	return isRefused(err, &r) && r.status == status
}

// message is GitHub's own, in the body.
func (r refused) message() string {
	var body struct{ Message string }
	_ = json.Unmarshal([]byte(r.body), &body)
	return body.Message
}

// isKind tells an answer of the service apart from others of its status.
func isKind(err error, kind string) bool {
	var r refused
	return isRefused(err, &r) && strings.Contains(r.body, `"kind":"`+kind+`"`)
}

// call is one request to GitHub, in the stand-ins' own words.
func call(ctx context.Context, method, address string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return refused{response.StatusCode, response.Header.Get("X-GitHub-Request-Id"), string(data)}
	}
	if out != nil && len(data) > 0 {
		return json.Unmarshal(data, out)
	}
	return nil
}

// askBehaviour asks what the fake wants to be done out of the ordinary.
func askBehaviour(server, command, name string) githubtest.Behaviour {
	var b githubtest.Behaviour
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_ = call(ctx, http.MethodGet, server+"/_runner/behaviour?for="+command+"&name="+url.QueryEscape(name), nil, &b)
	return b
}

// finished is the report of a job's end, which its worker makes with the job's
// own token.
type finished struct {
	Job      int64                `json:"job"`
	Token    string               `json:"token"`
	Result   string               `json:"result"`
	Log      string               `json:"log"`
	Shutdown bool                 `json:"shutdown"`
	Outcomes []githubtest.Outcome `json:"outcomes"`
}

func (f finished) send(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), pace(callTimeout))
	defer cancel()
	return call(ctx, http.MethodPost, server+"/_runner/finish", f, nil)
}
