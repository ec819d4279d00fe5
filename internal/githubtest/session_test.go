package githubtest_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

func TestWhatRegisteringNeeds(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	group := w.AddGroup("acme", githubtest.Group{Name: "Fleet A"})
	remove := w.call("POST", "/orgs/acme/actions/runners/remove-token", nil).get("token")
	for _, row := range []struct {
		name   string
		more   map[string]any
		status int
	}{
		{"good", nil, 200},
		{"name taken, whatever its case", map[string]any{"name": "GOOD"}, 409},
		{"taken name replaced", map[string]any{"name": "good", "replace": true}, 200},
		{"unknown group", map[string]any{"group": "none"}, 422},
		{"group without case", map[string]any{"group": "fleet a"}, 200},
		{"no such token", map[string]any{"token": "A123"}, 404},
		{"a token to remove", map[string]any{"token": remove}, 404},
		{"another scope's token", map[string]any{"token": w.RegistrationToken("acme/coach")}, 404},
		{"another address", map[string]any{"url": w.URL() + "/jane"}, 404},
	} {
		l, status := w.register(row.name, row.more)
		if status != row.status {
			t.Errorf("%s: %d, want %d", row.name, status, row.status)
		}
		if row.name == "group without case" && !slices.ContainsFunc(w.Runners(), func(r githubtest.Runner) bool { return r.ID == l.ID && r.GroupID == group }) {
			t.Errorf("the group of %+v", w.Runners())
		}
	}
	old := w.RegistrationToken("acme")
	w.ExpireRegistrationTokens()
	if _, status := w.register("late", map[string]any{"token": old}); status != 404 {
		t.Errorf("an expired token: %d", status)
	}
}

func TestReplacedRegistrationIsNoGoodAnyMore(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	first, polling := w.online("one", nil)
	second, status := w.register("one", map[string]any{"replace": true})
	if status != 200 || second.ID != first.ID {
		t.Fatalf("%d, ids %d and %d", status, first.ID, second.ID)
	}
	if got := <-polling; got != http.StatusNotFound {
		t.Errorf("the first one's poll: %d", got)
	}
	if first.connect() != http.StatusNotFound || second.connect() != http.StatusOK {
		t.Error("the first one's credentials are still good, or the second one's are not")
	}
}

func TestUnregister(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	l, _ := w.register("one", nil)
	remove := func(token string) int {
		status, err := w.ask(context.Background(), "POST", "remove", map[string]any{"token": token, "url": w.URL() + "/acme", "id": l.ID}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := remove("A123"); got != 404 {
		t.Errorf("without a token: %d", got)
	}
	if got := remove(w.call("POST", "/orgs/acme/actions/runners/remove-token", nil).get("token")); got != 204 || len(w.Runners()) != 0 {
		t.Errorf("with one: %d, %+v", got, w.Runners())
	}
	if l.connect() != http.StatusNotFound {
		t.Error("a session of a removed runner")
	}
}

// A runner is online while its session is heard of, and only one session is.
func TestOnlineAndConflict(t *testing.T) {
	w := newWorld(t, githubtest.Options{OfflineAfter: 50 * time.Millisecond})
	l, _ := w.register("one", nil)
	if w.Runners()[0].Online || w.Runners()[0].Version != "" {
		t.Errorf("before it has connected: %+v", w.Runners())
	}
	if l.connect() != http.StatusOK {
		t.Fatal("no session")
	}
	ctx, hangUp := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _, _, _ = l.poll(ctx, 0) }()
	w.until("online", func() bool { return w.Runners()[0].Online })
	if other := (&listener{w: w, Credential: l.Credential}); other.connect() != http.StatusConflict {
		t.Error("a second session beside a live one")
	}
	hangUp()
	<-done
	w.until("offline", func() bool { return !w.Runners()[0].Online })
	if other := (&listener{w: w, Credential: l.Credential}); other.connect() != http.StatusOK {
		t.Error("no session after the first one's end")
	}
}

func TestWhoGetsAJob(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	w.AddRepository("acme/mcp")
	w.AddPublicRepository("acme/site")
	w.AddRepository("other/x")
	w.AddGroup("acme", githubtest.Group{Name: "chosen", Visibility: "selected", Repositories: []string{"acme/mcp"}})
	w.AddGroup("acme", githubtest.Group{Name: "open", AllowsPublic: true})
	for _, row := range []struct {
		name   string
		runner map[string]any
		job    githubtest.Job
		gets   bool
	}{
		{"no labels asked", nil, githubtest.Job{Repository: "acme/coach"}, true},
		{"labels without case", nil, githubtest.Job{Repository: "acme/coach", RunsOn: []string{"SELF-HOSTED", "linux"}}, true},
		{"a label that it has not", nil, githubtest.Job{Repository: "acme/coach", RunsOn: []string{"self-hosted", "gpu"}}, false},
		{"another organization", nil, githubtest.Job{Repository: "other/x"}, false},
		{"a group of other repositories", map[string]any{"group": "chosen"}, githubtest.Job{Repository: "acme/coach"}, false},
		{"the group's repository", map[string]any{"group": "chosen"}, githubtest.Job{Repository: "acme/mcp"}, true},
		{"a public repository", nil, githubtest.Job{Repository: "acme/site"}, false},
		{"a public repository that the group takes", map[string]any{"group": "open"}, githubtest.Job{Repository: "acme/site"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, polling := w.online(row.name, row.runner)
			id := w.Enqueue(row.job)
			// A job that every runner of the organization takes tells that the first was
			// not for this one.
			marker := w.Enqueue(githubtest.Job{Repository: map[bool]string{true: "acme/coach", false: "acme/mcp"}[row.runner["group"] != "chosen"]})
			if status := <-polling; status != 200 {
				t.Fatal(status)
			}
			if got := w.Job(id).RunnerID == l.ID; got != row.gets {
				t.Errorf("it got the job: %t, want %t", got, row.gets)
			}
			w.CancelJob(id)
			w.CancelJob(marker)
			w.RemoveRunner(l.ID)
		})
	}
}

func TestEphemeralAndPersistentRunnersAfterAJob(t *testing.T) {
	for _, ephemeral := range []bool{true, false} {
		w := newWorld(t, githubtest.Options{})
		id := w.Enqueue(githubtest.Job{Repository: "acme/coach", Env: map[string]string{"A": "b"}})
		l, polling := w.online("one", map[string]any{"ephemeral": ephemeral})
		<-polling
		path := fmt.Sprint("/orgs/acme/actions/runners/", l.ID)
		if a := w.call("GET", path, nil); a.get("busy") != "true" || a.get("status") != "online" {
			t.Errorf("with a job: %s", a.body)
		}
		if a := w.call("DELETE", path, nil); a.status != 422 {
			t.Errorf("DELETE of a busy runner: %d", a.status)
		}
		if a := w.call("GET", fmt.Sprint("/repos/acme/coach/actions/jobs/", id), nil); a.get("runner_name") != "one" || a.get("runner_group_name") != "Default" {
			t.Errorf("the job: %s", a.body)
		}
		if status := l.do("POST", "finish", map[string]any{"job": id, "result": "success", "log": "done"}, nil); status != 204 {
			t.Fatal(status)
		}
		if j := w.Job(id); j.Result != "success" || j.Log != "done" || j.Started.Before(j.Queued) || j.Completed.Before(j.Started) {
			t.Errorf("%+v", j)
		}
		if left := w.Runners(); (len(left) == 0) != ephemeral || !ephemeral && left[0].Busy {
			t.Errorf("ephemeral %t: %+v", ephemeral, left)
		}
	}
}

// GitHub goes on calling a runner busy, or having it at all, after its job.
func TestLateAfterAJob(t *testing.T) {
	// On a fast machine 300 ms are time for more than 5,000 calls.
	w := newWorld(t, githubtest.Options{BusyAfterJob: 300 * time.Millisecond, CallsPerHour: 1 << 30})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach"})
	l, polling := w.online("one", map[string]any{"ephemeral": false})
	<-polling
	l.do("POST", "finish", map[string]any{"job": id, "result": "success"}, nil)
	path := fmt.Sprint("/orgs/acme/actions/runners/", l.ID)
	if a := w.call("DELETE", path, nil); a.status != 422 {
		t.Errorf("DELETE just after the job: %d", a.status)
	}
	w.until("an end of it", func() bool { return w.call("DELETE", path, nil).status == 204 })

	w = newWorld(t, githubtest.Options{RemoveAfterJob: 300 * time.Millisecond})
	id = w.Enqueue(githubtest.Job{Repository: "acme/coach"})
	l, polling = w.online("one", nil)
	<-polling
	l.do("POST", "finish", map[string]any{"job": id, "result": "success"}, nil)
	if len(w.Runners()) != 1 || l.connect() != http.StatusNotFound {
		t.Errorf("an ephemeral runner after its job: %+v", w.Runners())
	}
	w.until("its removal", func() bool { return len(w.Runners()) == 0 })
}

func TestLostJob(t *testing.T) {
	w := newWorld(t, githubtest.Options{OfflineAfter: 20 * time.Millisecond, LostAfter: 50 * time.Millisecond})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach"})
	_, polling := w.online("one", nil)
	<-polling // and is never heard of again
	w.until("the job given up", func() bool { return w.Job(id).Status == "completed" })
	if j := w.Job(id); !j.Lost || j.Result != "failure" {
		t.Errorf("%+v", j)
	}
	if r := w.Runners(); len(r) != 1 || r[0].Busy {
		t.Errorf("%+v", r)
	}
}

func TestCancelReachesTheRunner(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	id := w.Enqueue(githubtest.Job{Repository: "acme/coach"})
	l, polling := w.online("one", nil)
	<-polling
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	told := make(chan bool, 1)
	go func() { got, _, _ := l.poll(ctx, id); told <- got.Cancel }()
	w.CancelJob(id)
	if !<-told {
		t.Error("the runner is not told")
	}
	if j := w.Job(id); j.Status != "in_progress" {
		t.Errorf("before the runner has ended it: %+v", j)
	}
}

// DELETE is atomic: a runner that is deleted gets no job, one that gets a job is
// not deleted.
func TestDeleteAgainstJob(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	const n = 40
	var all []*listener
	for i := range n {
		l, _ := w.online(fmt.Sprint("r", i), nil)
		all = append(all, l)
	}
	var wait sync.WaitGroup
	deleted := make([]bool, n)
	for i, l := range all {
		wait.Go(func() { w.Enqueue(githubtest.Job{Repository: "acme/coach"}) })
		wait.Go(func() {
			a, err := w.try(context.Background(), "DELETE", fmt.Sprint("/orgs/acme/actions/runners/", l.ID), nil)
			deleted[i] = err == nil && a.status == 204
		})
	}
	wait.Wait()
	taken := map[int64]int{}
	for _, j := range w.Jobs() {
		if j.RunnerID != 0 {
			taken[j.RunnerID]++
		}
	}
	for i, l := range all {
		if deleted[i] && taken[l.ID] > 0 || taken[l.ID] > 1 {
			t.Errorf("runner %d: deleted %t, jobs %d", i, deleted[i], taken[l.ID])
		}
	}
}

// What a listener is told to do out of the ordinary, by name and by turn.
func TestBehaviours(t *testing.T) {
	w := newWorld(t, githubtest.Options{})
	w.Behave(githubtest.Behaviour{ConfigFail: 1, ListenerExit: 5, ListenerExitOnce: true})
	w.BehaveAs("odd", githubtest.Behaviour{Ghost: true})
	ask := func(what, name string) (b githubtest.Behaviour) {
		if _, err := w.ask(context.Background(), "GET", "behaviour?for="+what+"&name="+name, nil, &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !ask("run", "odd").Ghost || ask("run", "odd").ListenerExit != 0 {
		t.Error("the named one's is another's")
	}
	if ask("configure", "a").ConfigFail != 1 || ask("configure", "a").ConfigFail != 0 {
		t.Error("one config.sh is to fail, no more")
	}
	if ask("run", "a").ListenerExit != 5 || ask("run", "a").ListenerExit != 0 {
		t.Error("the first listener is to end, no other")
	}
}
