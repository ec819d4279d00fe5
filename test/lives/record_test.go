//go:build linux

package lives

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/internal/records"
)

// jobRecords reads a file of records, none of which may be torn.
func (w *world) jobRecords(path string) []records.Record {
	w.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	var all []records.Record
	if _, torn, err := records.Read(f, 0, func(r records.Record) bool { all = append(all, r); return true }); err != nil || torn != 0 {
		w.t.Errorf("%d lines are no records, %v", torn, err)
	}
	return all
}

func TestJobRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "build", Steps: []string{"head -c 300000 /dev/zero > big"}})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.start("RUNNER_RECORDS=" + path).end(0)
	job := w.Job(id)
	all := w.jobRecords(path)
	if len(all) != 1 {
		t.Fatalf("%d records, want 1", len(all))
	}
	r := all[0]
	if r.Repository != "acme/coach" || r.Workflow != "CI" || r.Job != "build" || r.RunID != job.RunID || r.Result != "Succeeded" || r.Runner != "fleet" ||
		r.RunURL != w.URL()+"/acme/coach/actions/runs/"+strconv.FormatInt(job.RunID, 10) || r.Attempt != 1 || r.Actor == "" {
		t.Errorf("the record: %+v; the job: %+v", r, job)
	}
	if r.Queued == nil || !r.Queued.Equal(job.Queued.Truncate(1e9)) {
		t.Errorf("queued %v, at GitHub %s", r.Queued, job.Queued)
	}
	if r.Started.Before(job.Queued) || r.Finished.Before(r.Started) {
		t.Errorf("from %s to %s, queued at %s", r.Started, r.Finished, job.Queued)
	}
	if r.Disk == nil || *r.Disk < 300_000 {
		t.Errorf("disk %v", r.Disk)
	}
	w.counts(map[string]int{"registration-token": 1, "list-jobs": 1})
}

// A run's jobs come to the same runner one after the other: each record tells when
// its own job was queued.
func TestJobRecordsOfOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	l := w.start("EPHEMERAL=false", "RUNNER_RECORDS="+path)
	w.untilOnline()
	first := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "build", Steps: []string{"true"}})
	w.until("the first job's end", func() bool { return w.Job(first).Status == "completed" })
	time.Sleep(time.Second) // GitHub tells whole seconds
	second := w.Enqueue(githubtest.Job{Repository: "acme/coach", Name: "test", RunID: w.Job(first).RunID, Steps: []string{"true"}})
	w.until("the second job's end", func() bool { return w.Job(second).Status == "completed" })
	w.poll("both records", func() bool {
		data, _ := os.ReadFile(path)
		return strings.Count(string(data), "\n") == 2
	})
	for i, id := range []int64{first, second} {
		if r := w.jobRecords(path)[i]; r.Queued == nil || !r.Queued.Equal(w.Job(id).Queued.Truncate(1e9)) {
			t.Errorf("%s was queued %v, at GitHub %s", r.Job, r.Queued, w.Job(id).Queued)
		}
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A job's name of any length is a job's name: it is seen to run and to end, and the
// ephemeral life ends with it.
func TestJobOfALongName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Workflow: strings.Repeat("w", 60_000), Name: strings.Repeat("é", 32_000), Steps: []string{"true"}})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.start("RUNNER_RECORDS="+path, "LOG_FORMAT=json").end(0)
	w.none()
	w.counts(map[string]int{"registration-token": 1, "list-jobs": 1})
	all := w.jobRecords(path)
	if len(all) != 1 || all[0].Result != "Succeeded" || !strings.HasPrefix(all[0].Job, "ééé") || !strings.HasPrefix(all[0].Workflow, "www") {
		t.Fatalf("records %.300v", all)
	}
	for line := range strings.Lines(w.last.out.String()) {
		if strings.HasPrefix(line, "{") && len(line) > 4096 {
			t.Errorf("a line of the log has %d bytes", len(line))
		}
	}
}

// What the job itself asks at the socket changes nothing, and costs no call.
func TestJobAsksAtTheSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	address := freeAddress(t)
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{
		"for i in 1 2 3 4 5 6; do GITHUB_REPOSITORY=acme/coach/../../orgs/acme GITHUB_RUN_ID=$i " + product + " hook job-started; done",
		"rm -f $ORG_RUNNER_SOCKET; touch ../../../gone; while ! [ -e ../../../go ]; do sleep 0.05; done"}})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	l := w.start("RUNNER_RECORDS="+path, "METRICS_ADDR="+address)
	w.poll("the job's second step", func() bool { _, err := os.Stat(filepath.Join(w.home, "gone")); return err == nil })
	// The socket is the job's to take away; METRICS_ADDR does not need it.
	for _, probe := range []string{"/healthz", "/readyz"} {
		if code, text := get(address, probe); code != 200 {
			t.Errorf("without the socket %s says %d: %s", probe, code, text)
		}
	}
	if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.end(0)
	for _, c := range w.Calls("") {
		if !slices.Contains([]string{"registration-token", "list-jobs", "runner-deprecation"}, c.Operation) || strings.Contains(c.Path, "..") {
			t.Errorf("GitHub was asked %s %s", c.Method, c.Path)
		}
	}
	if n := w.Count("list-jobs"); n != 1 {
		t.Errorf("since when the job had waited was asked %d times", n)
	}
	if all := w.jobRecords(path); len(all) != 1 || all[0].Repository != "acme/coach" || all[0].RunID != w.Job(job).RunID || all[0].Queued == nil {
		t.Errorf("records %+v", all)
	}
}

// GitHub that does not answer since when the job had waited is asked once, and
// holds nothing up.
func TestQueuedIsAskedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	w.Inject(githubtest.Fault{Operation: "list-jobs", Status: 503})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"sleep 2"}})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.start("RUNNER_RECORDS=" + path).end(0)
	w.counts(map[string]int{"registration-token": 1, "list-jobs": 1})
	if all := w.jobRecords(path); len(all) != 1 || all[0].Queued != nil || w.Job(id).Result != "success" {
		t.Errorf("records %+v", all)
	}
}

// standInVersion is the version that the stand-in listener tells.
const standInVersion = "2.336.0"

// A date on which GitHub refuses the version in use is told when it is set, however
// long the runner has been idle.
func TestRefusedVersionIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	at := time.Now().Add(48 * time.Hour)
	w.Deprecate(standInVersion, githubtest.Deprecation{Runtime: at})
	address := freeAddress(t)
	l := w.start("METRICS_ADDR=" + address)
	w.poll("the date", func() bool {
		_, text := get(address, "/metrics")
		return strings.Contains(text, `org_runner_runner_version_refused_timestamp_seconds{runner_version="`+standInVersion+`"} `+strconv.FormatFloat(float64(at.Unix()), 'g', -1, 64))
	})
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// What GitHub does not tell is absent, and nothing waits for it: the credentials
// may register runners only.
func TestJobRecordWithoutThePermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	const narrow = "github_pat_runners-only"
	w.AddToken(githubtest.Token{Value: narrow, Kind: githubtest.FineGrained, Account: "acme", Permissions: map[string]string{"organization_self_hosted_runners": "write"}})
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"exit 3"}})
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	w.start("GITHUB_TOKEN="+narrow, "RUNNER_RECORDS="+path).end(0)
	if all := w.jobRecords(path); len(all) != 1 || all[0].Queued != nil || all[0].Result != "Failed" {
		t.Errorf("records %+v", all)
	}
}

// A job that was killed with its runner has a record too.
func TestRecordOfALostJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	path, ready := filepath.Join(t.TempDir(), "jobs.jsonl"), filepath.Join(t.TempDir(), "ready")
	w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"trap '' INT TERM; touch " + ready + "; sleep 600"}})
	l := w.start("RUNNER_RECORDS=" + path)
	w.poll("the job's step", func() bool { _, err := os.Stat(ready); return err == nil })
	for range 3 {
		l.signal(syscall.SIGTERM)
	}
	<-l.ended
	if all := w.jobRecords(path); len(all) != 1 || all[0].Result != "lost" && all[0].Result != "Failed" {
		t.Errorf("records %+v", all)
	}
}

// A records file that cannot be written costs a warning, not the job.
func TestRecordsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
	w.start("RUNNER_RECORDS=/nowhere/at/all.jsonl").end(0)
	if j := w.Job(id); j.Result != "success" {
		t.Errorf("the job: %+v", j)
	}
	w.none()
}

// get asks the endpoint of METRICS_ADDR; 0 when nobody answers.
func get(address, path string) (int, string) {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMetricsInEveryState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	address := freeAddress(t)
	expect := func(state string, health, ready int, metrics ...string) {
		t.Helper()
		w.poll(state, func() bool {
			_, text := get(address, "/metrics")
			return strings.Contains(text, `org_runner_state{state="`+state+`"} 1`)
		})
		if code, text := get(address, "/healthz"); code != health {
			t.Errorf("%s: /healthz says %d: %s", state, code, text)
		}
		if code, text := get(address, "/readyz"); code != ready {
			t.Errorf("%s: /readyz says %d: %s", state, code, text)
		}
		_, text := get(address, "/metrics")
		for _, pattern := range metrics {
			if !regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(text) {
				t.Errorf("%s: no %s in\n%s", state, pattern, text)
			}
		}
		w.noSecretIn("the metrics", text)
	}
	lift := w.Inject(githubtest.Fault{Operation: "registration-token", Status: 503})
	l := w.start("EPHEMERAL=false", "METRICS_ADDR="+address)
	expect("registering", 200, 503, `org_runner_healthy 0`)
	w.poll("a retry", func() bool {
		_, text := get(address, "/metrics")
		return regexp.MustCompile(`(?m)^org_runner_github_retries_total [1-9]`).MatchString(text)
	})
	if _, text := get(address, "/readyz"); !strings.Contains(text, "503") {
		t.Errorf("/readyz does not say why: %s", text)
	}
	lift()
	expect("idle", 200, 200, `org_runner_healthy 1`, `org_runner_github_requests_total\{method="POST",endpoint="/api/v3/orgs/\{org\}/actions/runners/registration-token",code="201"\} 1`, `org_runner_github_rate_limit_remaining\{resource="core"\} \d+`)
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Workflow: `C"I\`, Name: "build", Steps: []string{"while ! [ -e ../../../go ]; do sleep 0.05; done"}})
	w.poll("the job's repository", func() bool {
		_, text := get(address, "/metrics")
		return strings.Contains(text, "org_runner_job_info{")
	})
	expect("busy", 200, 200, `org_runner_job_info\{repository="acme/coach",workflow="C\\"I\\\\",job="build"\} 1`)
	if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("the job's end", func() bool { return w.Job(id).Status == "completed" })
	w.poll("the job counted", func() bool {
		_, text := get(address, "/metrics")
		return strings.Contains(text, `org_runner_jobs_total{repository="acme/coach",result="Succeeded"} 1`) && strings.Contains(text, `org_runner_job_duration_seconds_count{repository="acme/coach"} 1`)
	})
	if code, _ := get(address, "/"); code != 404 {
		t.Errorf("/ says %d", code)
	}
	if response, err := http.Post("http://"+address+"/metrics", "", nil); err != nil || response.StatusCode != 405 {
		t.Errorf("POST: %v %v", response, err)
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// An ephemeral life's jobs are in the totals of the next life of its container.
func TestTotalsOfEphemeralLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	for range 2 {
		w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{"true"}})
		w.start("METRICS_ADDR=" + freeAddress(t)).end(0)
	}
	address := freeAddress(t)
	l := w.start("METRICS_ADDR=" + address)
	w.untilOnline()
	_, text := get(address, "/metrics")
	for _, line := range []string{`org_runner_jobs_total{repository="acme/coach",result="Succeeded"} 2`, `org_runner_job_duration_seconds_count{repository="acme/coach"} 2`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	l.signal(syscall.SIGTERM)
	l.end(0)
	w.none()
}

// A taken address is an error at the start, before GitHub hears of anything.
func TestMetricsAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, githubtest.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w.start("METRICS_ADDR=" + taken.Addr().String()).end(78)
	w.counts(map[string]int{})
}
