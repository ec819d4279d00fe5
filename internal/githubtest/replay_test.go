package githubtest_test

import (
	"bufio"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// recorded is one request of the official runner's, and what it was answered.
type recorded struct {
	T                         time.Time
	MS                        int
	Method, Path, Query, Auth string
	Request, Response         string
	Status                    int
}

func (r recorded) begun() time.Time { return r.T.Add(-time.Duration(r.MS) * time.Millisecond) }

// polls tells a long poll from other calls.
func (r recorded) polls() bool {
	return r.Method == http.MethodGet && (strings.HasSuffix(r.Path, "/message") || strings.HasSuffix(r.Path, "/messages"))
}

func readTrace(t *testing.T, name string) []recorded {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b recorded) int { return a.begun().Compare(b.begun()) })
	return all
}

// steps are those of the recorded jobs.
var recordedSteps = map[string][]githubtest.Step{
	"ok":     {{Run: "echo hello"}},
	"drain":  {{Run: "sleep 4"}},
	"cancel": {{Run: `trap "echo got INT" INT; for i in 1 2 3 4 5 6 7 8; do sleep 1; done`}},
	"job": {{ID: "first", Name: "first", Run: `echo one; echo "a=1" >> $GITHUB_OUTPUT`}, {Name: "second", Run: "exit 3"},
		{Name: "third", If: "always()", Run: "echo always"}, {Name: "fourth", Run: "echo never"}},
}

// What the official runner sent, sent again with this fake's ids and tokens: the
// answers have the recorded status, and every field that the recorded ones have.
func TestRecordedOfficialRunner(t *testing.T) {
	traces, _ := filepath.Glob("testdata/official/*.jsonl.gz")
	if len(traces) < 8 {
		t.Fatalf("%d recordings", len(traces))
	}
	for _, file := range traces {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl.gz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := strings.Split(name, "-")
			// A runner is online while it polls, and not a moment longer.
			p := &replay{world: newWorld(t, githubtest.Options{OfflineAfter: time.Nanosecond}), learned: map[string]string{}, steps: recordedSteps[parts[2]]}
			p.AddGroup("acme", githubtest.Group{Name: "gpu"})
			p.AddGroup("acme", githubtest.Group{Name: "Prod Group"})
			p.Speak(githubtest.Protocol{Flow: map[string]actions.Flow{"v2": actions.V2}[parts[0]] + actions.Flow(strings.TrimPrefix(parts[0], "v2"))})
			p.play(readTrace(t, file))
			p.check(parts[2])
		})
	}
}

// replay sends a recording to a fake.
type replay struct {
	*world
	steps   []githubtest.Step
	job     int64
	learned map[string]string // recorded: the fake's

	key                                   *rsa.PrivateKey
	registration, manage, agent, jobToken string
}

func (p *replay) play(all []recorded) {
	for i := 0; i < len(all); i++ {
		r := all[i]
		if !r.polls() {
			p.compare(r, p.send(r))
			continue
		}
		// What happened while it was asked happens while it is asked.
		answers := make(chan answer, 1)
		poll, request := r, p.request(r)
		go func() { answers <- p.do(request) }()
		p.await("the poll", func() bool { return p.Runners()[0].Online })
		for i+1 < len(all) && all[i+1].begun().Before(poll.T) {
			i++
			p.compare(all[i], p.send(all[i]))
		}
		switch {
		case strings.Contains(poll.Response, "JobCancellation"):
			p.CancelJob(p.job)
		case poll.Status == http.StatusOK:
			p.job = p.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "build", Plan: p.steps})
		}
		p.compare(poll, <-answers)
	}
}

func (p *replay) send(r recorded) answer { return p.do(p.request(r)) }

// request is a recorded request with the fake's ids and tokens in it.
func (p *replay) request(r recorded) *http.Request {
	path, query := r.Path, r.Query
	if whole, blob := p.learned["http://127.0.0.7"+path+"?"+query]; blob {
		u, _ := url.Parse(whole)
		path, query = u.Path, u.RawQuery
	}
	if strings.HasPrefix(path, "/orgs/") || strings.HasPrefix(path, "/actions/") {
		path = "/api/v3" + path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if mine, known := p.learned[s]; known && i > 1 {
			segments[i] = mine
		}
	}
	body := p.translate(r.Request)
	kind := "application/json; charset=utf-8"
	switch {
	case strings.HasPrefix(path, "/_services/token"):
		kind, body = "application/x-www-form-urlencoded", p.assertion(path)
	case strings.Contains(path, "/logs/"):
		kind = "application/octet-stream"
	case strings.HasSuffix(path, "/runners/register") || strings.HasSuffix(path, "/agents") && r.Method == http.MethodPost:
		body = p.withKey(body)
	}
	request, err := http.NewRequest(r.Method, p.URL()+strings.Join(segments, "/")+"?"+p.translate(query), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("User-Agent", "GitHubActionsRunner-linux-x64/2.336.0")
	if body != "" {
		request.Header.Set("Content-Type", kind)
		request.Header.Set("x-ms-blob-type", "BlockBlob")
	}
	if r.Auth != "" {
		request.Header.Set("Authorization", p.authorization(r, path))
	}
	return request
}

// authorization is the credential that the client showed here.
func (p *replay) authorization(r recorded, path string) string {
	switch {
	case strings.HasPrefix(r.Auth, "RemoteAuth"):
		return "RemoteAuth " + p.registration
	case strings.HasPrefix(r.Auth, "Bearer ghp_"):
		return "Bearer " + token
	case strings.Contains(path, "/plans/"), strings.HasPrefix(path, "/_results"), strings.HasSuffix(path, "/renewjob"), strings.HasSuffix(path, "/completejob"):
		return "Bearer " + p.jobToken
	case p.agent != "":
		return "Bearer " + p.agent
	}
	return "Bearer " + p.manage
}

var inText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|http://127\.0\.0\.7|"(?:id|requestId|messageId)":[0-9]+`)

// translate puts the fake's ids in place of the recorded ones.
func (p *replay) translate(text string) string {
	return inText.ReplaceAllStringFunc(text, func(found string) string {
		key, value, numbered := strings.Cut(found, `":`)
		if mine, known := p.learned[value]; numbered && known {
			return key + `":` + mine
		}
		if found == "http://127.0.0.7" {
			return p.URL()
		}
		if mine, known := p.learned[found]; known {
			return mine
		}
		return found
	})
}

func (p *replay) ownKey() *rsa.PrivateKey {
	if p.key == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			p.t.Fatal(err)
		}
		p.key = key
	}
	return p.key
}

var (
	modulus  = regexp.MustCompile(`(<Modulus>|"modulus":")[^<"]+`)
	exponent = regexp.MustCompile(`(<Exponent>|"exponent":")[^<"]+`)
)

func (p *replay) withKey(body string) string {
	key := p.ownKey()
	body = modulus.ReplaceAllString(body, "${1}"+base64.StdEncoding.EncodeToString(key.N.Bytes()))
	return exponent.ReplaceAllString(body, "${1}"+base64.StdEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()))
}

// assertion is a listener's request for a token.
func (p *replay) assertion(path string) string {
	now := time.Now()
	client := p.learned["client"]
	text, err := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.RegisteredClaims{Subject: client, Issuer: client, Audience: jwt.ClaimStrings{p.URL() + path},
		NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(5 * time.Minute))}).SignedString(p.ownKey())
	if err != nil {
		p.t.Fatal(err)
	}
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {text}}.Encode()
}

func (p *replay) do(request *http.Request) answer {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, body}
}

// compare compares statuses and fields, and learns the fake's ids.
func (p *replay) compare(r recorded, a answer) {
	p.t.Helper()
	if a.status != r.Status {
		p.t.Errorf("%s %s: %d, the recorded one %d\n%s", r.Method, r.Path, a.status, r.Status, a.body)
	}
	old, mine := flatten(r.Response), flatten(string(a.body))
	for field := range old {
		if _, there := mine[field]; !there {
			p.t.Errorf("%s %s has no %s", r.Method, r.Path, field)
		}
	}
	for field, value := range old {
		if len(value) > 2 && value != mine[field] && mine[field] != "" {
			p.learned[value] = mine[field]
		}
	}
	// The recorded ids of a run and of its job's request are the same number.
	if id := old[".body!.requestId"] + old[".requestId"]; id != "" {
		p.learned[id] = mine[".body!.requestId"] + mine[".requestId"]
	}
	p.take(r, mine)
}

// take keeps the tokens that an answer gives.
func (p *replay) take(r recorded, mine map[string]string) {
	for field, value := range mine {
		switch {
		case strings.HasSuffix(r.Path, "/registration-token") && field == ".token":
			p.registration = value
		case strings.HasSuffix(r.Path, "/runner-registration") && field == ".token":
			p.manage = value
		case field == ".access_token":
			p.agent = value
		case strings.HasSuffix(field, ".AccessToken"):
			p.jobToken = value
		case strings.HasSuffix(field, "client_id") || strings.HasSuffix(field, ".clientId"):
			p.learned["client"] = value
		case field == ".encoded_jit_config":
			p.takeJIT(value)
		}
	}
}

func (p *replay) takeJIT(config string) {
	var files map[string][]byte
	text, _ := base64.StdEncoding.DecodeString(config)
	if err := json.Unmarshal(text, &files); err != nil {
		p.t.Fatal(err)
	}
	var credentials struct{ Data struct{ ClientID string } }
	var numbers map[string][]byte
	if json.Unmarshal(files[".credentials"], &credentials) != nil || json.Unmarshal(files[".credentials_rsaparams"], &numbers) != nil {
		p.t.Fatalf("%s", files)
	}
	number := func(name string) *big.Int { return new(big.Int).SetBytes(numbers[name]) }
	p.learned["client"] = credentials.Data.ClientID
	p.key = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: number("modulus"), E: int(number("exponent").Int64())}, D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
	if err := p.key.Validate(); err != nil {
		p.t.Error(err)
	}
}

// check is what the world must be after a recording.
func (p *replay) check(what string) {
	p.t.Helper()
	if left := p.Runners(); len(left) > 0 {
		p.t.Errorf("left: %+v", left)
	}
	if what == "stop" {
		return
	}
	want := map[string]string{"ok": "success", "drain": "success", "cancel": "cancelled", "job": "failure"}[what]
	j := p.Job(p.job)
	if j.Status != "completed" || j.Result != want || !strings.Contains(j.Log, "Cleaning up orphan processes") || strings.Contains(j.Log, "Z ") {
		p.t.Errorf("the job: %+v", j)
	}
	if what == "job" {
		for name, result := range map[string]string{"first": "success", "second": "failure", "third": "success", "fourth": "skipped"} {
			if !slices.Contains(j.Outcomes, githubtest.Outcome{Step: name, Result: result}) {
				p.t.Errorf("%s did not end as %s: %v", name, result, j.Outcomes)
			}
		}
	}
}

func (w *world) await(what string, condition func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s does not come", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// flatten is the fields of a JSON text, as far as it goes: recordings are cut at
// 6000 characters. A text in it that is JSON itself is taken apart too; pairs of a
// key and a value are fields of the key's name.
func flatten(text string) map[string]string {
	fields := map[string]string{}
	if d := json.NewDecoder(strings.NewReader(text)); strings.HasPrefix(text, "{") {
		d.UseNumber()
		_, err := flattenValue(d, "", fields)
		// Cut within the message that it holds.
		if _, body, found := strings.Cut(text, `"body": "`); err != nil && found {
			for inner, v := range flatten(strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(body)) {
				fields[".body!"+inner] = v
			}
		}
	}
	return fields
}

func flattenValue(d *json.Decoder, path string, fields map[string]string) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	delimiter, composed := token.(json.Delim)
	if !composed {
		value := fmt.Sprint(token)
		fields[path] = value
		if strings.HasPrefix(value, `{"`) {
			for inner, v := range flatten(value) {
				fields[path+"!"+inner] = v
			}
		}
		return value, nil
	}
	name := ""
	for i := 0; d.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if delimiter == '{' {
			key, err := d.Token()
			if err != nil {
				return "", err
			}
			at = path + "." + fmt.Sprint(key)
			if key == "v" && name != "" {
				at = path + "=" + name
			}
			value, err := flattenValue(d, at, fields)
			if err != nil {
				return "", err
			}
			if key == "k" {
				delete(fields, at)
				name = value
				path = path[:strings.LastIndex(path, "[")]
			}
			continue
		}
		if _, err := flattenValue(d, at, fields); err != nil {
			return "", err
		}
	}
	_, err = d.Token()
	return "", err
}
