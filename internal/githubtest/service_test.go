package githubtest_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // so does the service
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// client is a registered runner with an access token, by hand.
type client struct {
	*replay
	t       *testing.T
	runner  int64
	session string
}

func newClient(t *testing.T, p githubtest.Protocol, options githubtest.Options) *client {
	t.Helper()
	w := newWorld(t, options)
	w.Speak(p)
	c := &client{replay: &replay{world: w, learned: map[string]string{}}, t: t}
	c.takeJIT(w.JITConfig("acme", "by-hand", "self-hosted"), "e30=")
	c.runner = w.Runners()[0].ID
	a := c.ask("POST", "/_services/token/acme", c.assertion("/_services/token/acme"), "")
	if c.agent = a.get("access_token"); a.status != http.StatusOK || c.agent == "" {
		t.Fatalf("no access token: %d %s", a.status, a.body)
	}
	return c
}

// ask makes a call with a token; the body of a token request is a form.
func (c *client) ask(method, path, body, token string, headers ...string) answer {
	c.t.Helper()
	request, err := http.NewRequest(method, c.URL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/_services/token") {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}
}

const (
	classicSessions = "/_services/pipelines/acme/_apis/distributedtask/pools/1/sessions"
	classicMessages = "/_services/pipelines/acme/_apis/distributedtask/pools/1/messages?sessionId="
	classicRequests = "/_services/pipelines/acme/_apis/distributedtask/pools/1/jobrequests/"
)

// open opens a session.
func (c *client) open(path string) answer {
	c.t.Helper()
	a := c.ask("POST", path, fmt.Sprintf(`{"ownerName":"by hand","agent":{"id":%d,"version":"2.336.0"}}`, c.runner), c.agent)
	if c.session = a.get("sessionId"); a.status != http.StatusOK {
		c.t.Fatalf("no session: %d %s", a.status, a.body)
	}
	return a
}

// acquired has a job of the v2 flow, with the answer of acquirejob.
func (c *client) acquired() (id int64, message answer) {
	c.t.Helper()
	c.open("/_broker/session")
	id = c.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	var offer struct {
		Request string `json:"runner_request_id"`
	}
	a := c.ask("GET", "/_broker/message?sessionId="+c.session, "", c.agent)
	if err := json.Unmarshal([]byte(a.get("body")), &offer); err != nil {
		c.t.Fatalf("%v: %d %s", err, a.status, a.body)
	}
	message = c.ask("POST", "/_run/acquirejob", `{"jobMessageId":"`+offer.Request+`"}`, c.agent)
	c.jobToken = flatten(string(message.body))[".resources.endpoints[0].authorization.parameters.AccessToken"]
	return id, message
}

func TestServiceRefuses(t *testing.T) {
	t.Parallel()
	c := newClient(t, githubtest.Protocol{}, githubtest.Options{})
	other := newClient(t, githubtest.Protocol{}, githubtest.Options{})
	id, message := c.acquired()
	fields := flatten(string(message.body))
	ids := fmt.Sprintf(`{"planId":%q,"jobId":%q,"conclusion":"succeeded"}`, fields[".plan.planId"], fields[".jobId"])
	step := fmt.Sprintf(`{"workflow_run_backend_id":%q,"workflow_job_run_backend_id":%q,"step_backend_id":"1"}`, fields[".plan.planId"], fields[".jobId"])
	url := "/_results/twirp/results.services.receiver.Receiver/GetStepLogsSignedBlobURL"
	blob := strings.TrimPrefix(c.ask("POST", url, step, c.jobToken).get("logs_url"), c.URL())
	for name, row := range map[string]struct {
		got  answer
		want int
	}{
		"a session without a token":        {c.ask("POST", "/_broker/session", `{}`, ""), 401},
		"a token of another GitHub's":      {c.ask("POST", "/_broker/session", `{}`, other.agent), 401},
		"another runner's session":         {c.ask("POST", "/_broker/session", `{"agent":{"id":1}}`, c.agent), 403},
		"an unknown session":               {c.ask("GET", "/_broker/message?sessionId=x", "", c.agent), 404},
		"an unknown request":               {c.ask("POST", "/_run/acquirejob", `{"jobMessageId":"x"}`, c.agent), 404},
		"an unknown acknowledgement":       {c.ask("POST", "/_broker/acknowledge", `{"runnerRequestId":"x"}`, c.agent), 404},
		"a job's end by its listener":      {c.ask("POST", "/_run/completejob", ids, c.agent), 403},
		"the end of another job":           {c.ask("POST", "/_run/completejob", `{"planId":"x","jobId":"y"}`, c.jobToken), 404},
		"a body that is no JSON":           {c.ask("POST", "/_run/completejob", `{`, c.jobToken), 400},
		"a body of another type":           {c.ask("POST", "/_run/completejob", ids, c.jobToken, "Content-Type: text/plain"), 415},
		"a blob without a type":            {c.ask("PUT", blob, "log", ""), 400},
		"a blob with another's signature":  {c.ask("PUT", blob+"0", "log", "", "x-ms-blob-type: BlockBlob"), 403},
		"a blob":                           {c.ask("PUT", blob, "log", "", "x-ms-blob-type: BlockBlob"), 201},
		"a registration without a token":   {c.ask("POST", "/api/v3/actions/runner-registration", `{"url":"`+c.URL()+`/acme","runner_event":"register"}`, ""), 404},
		"an access token without a secret": {c.ask("POST", "/_services/token/acme", "grant_type=client_credentials", ""), 400},
		"another runner's assertion":       {c.ask("POST", "/_services/token/acme", other.assertion("/_services/token/acme"), ""), 400},
		"a renewal":                        {c.ask("POST", "/_run/renewjob", ids, c.jobToken), 200},
		"the runner's deletion meanwhile":  {c.call("DELETE", fmt.Sprint("/orgs/acme/actions/runners/", c.runner), nil), 422},
	} {
		if row.got.status != row.want {
			t.Errorf("%s: %d, want %d: %s", name, row.got.status, row.want, row.got.body)
		}
	}
	if a := c.ask("POST", "/_run/completejob", ids, c.jobToken); a.status != 204 {
		t.Errorf("the job's end: %d %s", a.status, a.body)
	}
	if j := c.Job(id); j.Result != "success" || j.Log != "log" {
		t.Errorf("the job: %+v", j)
	}
	if a := c.ask("POST", "/_run/completejob", ids, c.jobToken); a.status != 404 {
		t.Errorf("its second end: %d %s", a.status, a.body)
	}
	if a := c.ask("DELETE", "/_broker/session", "", c.agent); a.status != 401 || a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("a token of a runner that is gone: %d %v", a.status, a.header)
	}
}

// A classic session has a key of its own, and messages that only it opens; a lock
// that is another's is refused.
func TestClassicMessagesAreEncrypted(t *testing.T) {
	t.Parallel()
	c := newClient(t, githubtest.Protocol{Flow: actions.Classic, Encrypts: true}, githubtest.Options{})
	opened := c.open(classicSessions)
	id := c.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"echo a secret"}})
	a := c.ask("GET", classicMessages+c.session, "", c.agent)
	sealed, _ := base64.StdEncoding.DecodeString(opened.get("encryptionKey.value"))
	key, err := rsa.DecryptOAEP(sha1.New(), nil, c.key, sealed, nil) //nolint:gosec // so does the service
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	iv, _ := base64.StdEncoding.DecodeString(a.get("iv"))
	body, _ := base64.StdEncoding.DecodeString(a.get("body"))
	if strings.Contains(string(a.body), "secret") || len(iv) != block.BlockSize() || len(body) == 0 {
		t.Fatalf("the message: %s", a.body)
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(body, body)
	body = body[:len(body)-int(body[len(body)-1])]
	if fields := flatten(string(body)); fields[".requestId"] != fmt.Sprint(id) {
		t.Errorf("the message: %s", body)
	}
	request := classicRequests + fmt.Sprint(id) + "?lockToken="
	if a := c.ask("PATCH", request+"11111111-0000-0000-0000-000000000000", `{}`, c.agent); a.status != 409 {
		t.Errorf("another's lock: %d %s", a.status, a.body)
	}
	if a := c.ask("PATCH", request+"00000000-0000-0000-0000-000000000000", `{}`, c.agent); a.status != 200 {
		t.Errorf("its lock: %d %s", a.status, a.body)
	}
	if a := c.ask("GET", classicMessages+"x", "", c.agent); a.status != 404 || a.get("typeKey") != "TaskAgentSessionExpiredException" {
		t.Errorf("an unknown session: %d %s", a.status, a.body)
	}
}

// Faults hit the service's calls by their names, and a job's time is GitHub's to
// keep.
func TestFaultsOfTheService(t *testing.T) {
	t.Parallel()
	c := newClient(t, githubtest.Protocol{}, githubtest.Options{})
	for _, name := range []string{"token", "broker-session", "acquirejob", "renewjob", "completejob", "acknowledge"} {
		c.Inject(githubtest.Fault{Operation: "actions:" + name, Status: 503, Times: 1})
	}
	for _, path := range []string{"/_services/token/acme", "/_broker/session", "/_run/acquirejob", "/_run/renewjob", "/_run/completejob", "/_broker/acknowledge"} {
		if a := c.ask("POST", path, `{}`, c.agent); a.status != 503 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	id, _ := c.acquired()
	if n := c.Count("actions:acquirejob"); n != 2 {
		t.Errorf("%d calls of acquirejob were seen", n)
	}
	c.Deprecate("2.336.0", githubtest.Deprecation{Runtime: time.Now().Add(-time.Hour)})
	if a := c.ask("GET", "/_broker/message?runnerVersion=2.336.0&sessionId="+c.session, "", c.agent); a.status != 403 || a.get("errorKind") != "RunnerVersionTooOld" {
		t.Errorf("a version that is refused: %d %s", a.status, a.body)
	}
	c.CancelJob(id)
	if a := c.ask("GET", "/_broker/message?sessionId="+c.session, "", c.agent); a.get("messageType") != "JobCancellation" {
		t.Errorf("a cancelled job: %d %s", a.status, a.body)
	}
}

// A job that takes longer than it may is cancelled by GitHub.
func TestJobsOwnTimeout(t *testing.T) {
	t.Parallel()
	c := newClient(t, githubtest.Protocol{}, githubtest.Options{})
	c.open("/_broker/session")
	c.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}, Timeout: time.Millisecond})
	var offer struct {
		Request string `json:"runner_request_id"`
	}
	a := c.ask("GET", "/_broker/message?sessionId="+c.session, "", c.agent)
	_ = json.Unmarshal([]byte(a.get("body")), &offer)
	c.ask("POST", "/_run/acquirejob", `{"jobMessageId":"`+offer.Request+`"}`, c.agent)
	if a := c.ask("GET", "/_broker/message?sessionId="+c.session, "", c.agent); a.get("messageType") != "JobCancellation" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
