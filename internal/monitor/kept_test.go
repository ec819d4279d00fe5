package monitor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
	"github.com/virtuoso902/org-runner/register"
)

// Of a flood of jobs the number is told, and so much is kept that other repositories
// are known whole. What is not kept while it waits is looked into when it has ended.
func TestFloodOfJobs(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/flood"}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t.Add(-time.Hour))
	total, oldest := 0, c.t.Add(-10*time.Hour)
	for id := range int64(60) {
		s.waiting(100+id, "acme/flood", c.t)
		for k := range int64(256) {
			j := job(1000*(1+id)+k, fmt.Sprint("build ", k), "queued", "", oldest.Add(-time.Duration(id)*time.Second), c.t)
			s.jobs[100+id] = append(s.jobs[100+id], j)
		}
		s.jobs[100+id] = s.jobs[100+id][1:]
		total += 256
	}
	oldest = oldest.Add(-59 * time.Second)
	pass(t, m, c, 2*time.Minute)
	kept := 0
	for _, l := range m.repositories["acme/flood"].live {
		kept += len(l.jobs)
	}
	o := m.Overview()
	i := slices.IndexFunc(o.Repositories, func(r Repository) bool { return r.Name == "acme/flood" })
	if r := o.Repositories[i]; kept != mostLiveJobs/2 || r.Queued == nil || *r.Queued != total || !r.AtLeast {
		t.Errorf("%d kept; %+v", kept, r)
	}
	if q := o.Queue; q.Total != total+1 || q.UnknownRepositories != 1 || !q.OldestSince.Equal(oldest) || len(q.Repositories) != 2 || o.Repositories[1-i].AtLeast {
		t.Errorf("%d wait since %s in %+v", q.Total, q.OldestSince, q.Repositories)
	}
	for _, line := range []string{fmt.Sprint(`queued_jobs{repository="acme/flood"} `, total), `queued_jobs{repository="acme/coach"} 1`} {
		if text := metricsText(t, m); !strings.Contains(text, "org_runner_monitor_"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for i := range s.runs["acme/flood"] {
		run := &s.runs["acme/flood"][i]
		run.Status, run.Conclusion, run.UpdatedAt = "completed", "success", c.t
		for k, j := range s.jobs[run.ID] {
			s.jobs[run.ID][k] = job(j.ID, j.Name, "completed", "success", c.t.Add(-time.Minute), c.t)
		}
	}
	pass(t, m, c, 2*time.Minute)
	if o := m.Overview(); o.Queue.Total != 1 || o.Queue.UnknownRepositories != 0 || week(m) != total {
		t.Errorf("after it: %d wait, %d have ended of %d", o.Queue.Total, week(m), total)
	}
}

// A run of more jobs than are read of one is told to have at least those.
func TestRunOfTooManyJobs(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t)
	for id := range int64(mostRunJobs) {
		s.jobs[1] = append(s.jobs[1], job(2+id, "build", "queued", "", c.t, c.t))
	}
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.Total <= mostRunJobs || o.Queue.UnknownRepositories != 1 || len(m.repositories["acme/coach"].live[1].jobs) != mostRunJobs {
		t.Errorf("%d wait, %d repositories unknown", o.Queue.Total, o.Queue.UnknownRepositories)
	}
	s.jobs[1] = s.jobs[1][:mostRunJobs]
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.Total != mostRunJobs || o.Queue.UnknownRepositories != 0 {
		t.Errorf("%d wait, %d repositories unknown", o.Queue.Total, o.Queue.UnknownRepositories)
	}
}

// A run that there is no room for is told, and looked into when there is.
func TestNoRoomForRuns(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/flood"}}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	flood := m.repositories["acme/flood"]
	for id := range int64(mostLiveRuns) {
		flood.live[1000+id] = &liveRun{id: 1000 + id, read: true, due: c.t.Add(24 * time.Hour)}
	}
	s.waiting(1, "acme/coach", c.t)
	s.runs["acme/flood"] = []register.Run{}
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.UnknownRepositories != 1 || o.GitHub.UnreadRuns != 1 || len(m.repositories["acme/coach"].live) != 0 {
		t.Errorf("queue %+v, %+v", o.Queue, o.GitHub)
	}
	clear(flood.live)
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.UnknownRepositories != 0 || o.Queue.Total != 1 || o.GitHub.UnreadRuns != 0 {
		t.Errorf("queue %+v, %+v", o.Queue, o.GitHub)
	}
}

// One repository has no more than half of the room.
func TestNoRoomForRunsOfOne(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/flood"}}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	flood := m.repositories["acme/flood"]
	for id := range int64(mostLiveRuns / 2) {
		flood.live[1000+id] = &liveRun{id: 1000 + id, read: true, due: c.t.Add(24 * time.Hour)}
	}
	s.waiting(1, "acme/coach", c.t)
	s.waiting(2, "acme/flood", c.t)
	pass(t, m, c, time.Minute)
	if len(m.repositories["acme/coach"].live) != 1 || flood.live[2] != nil || !flood.left {
		t.Errorf("acme/coach has %d, acme/flood %d", len(m.repositories["acme/coach"].live), len(flood.live))
	}
}

// An older run that had no room is looked for as soon as there is some: the newest
// page does not tell of it.
func TestRoomForOlderRuns(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach", "acme/flood"}}
	m, c := newStubbed(t, s)
	pass(t, m, c, time.Minute)
	flood := m.repositories["acme/flood"]
	for id := range int64(mostLiveRuns) {
		flood.live[1000+id] = &liveRun{id: 1000 + id, read: true, due: c.t.Add(24 * time.Hour)}
	}
	s.waiting(1, "acme/coach", c.t)
	s.runs["acme/coach"][0].CreatedAt = c.t.Add(-time.Hour)
	for id := range int64(120) { // newer ones, which have ended
		s.runs["acme/coach"] = append([]register.Run{{ID: 10 + id, Name: "CI", Status: "completed", Conclusion: "skipped", Attempt: 1, CreatedAt: c.t, UpdatedAt: c.t}}, s.runs["acme/coach"]...)
	}
	coach := m.repositories["acme/coach"]
	coach.sweep.at = c.t.Add(-sweepEvery)
	pass(t, m, c, 2*time.Minute)
	if !coach.left || len(coach.live) > 0 {
		t.Fatalf("left %t, %d runs", coach.left, len(coach.live))
	}
	clear(flood.live)
	pass(t, m, c, 3*time.Minute)
	if o := m.Overview(); o.Queue.Total != 1 {
		t.Errorf("queue %+v", o.Queue)
	}
}

// What had no room is told once there is some, also if nothing has changed at GitHub.
func TestRoomForJobsAgain(t *testing.T) {
	w := newWorld(t)
	w.AddToken(githubtest.Token{Value: token})
	w.AddRepository("acme/coach")
	w.AddRepository("acme/flood")
	w.AddRunner(githubtest.Runner{Scope: "acme", Name: "fleet-1", Online: true, Labels: []string{"self-hosted"}})
	w.pass(time.Minute)
	flood := &liveRun{id: 1000, read: true, due: w.clock.t.Add(24 * time.Hour), jobs: make([]liveJob, mostLiveJobs)}
	w.m.repositories["acme/flood"].live[1000] = flood
	w.AddJob(githubtest.Job{Repository: "acme/coach", Workflow: "CI", Name: "train", Status: "queued", Queued: w.clock.t, RunsOn: []string{"self-hosted", "gpu"}})
	w.pass(2 * time.Minute)
	if o := w.m.Overview(); o.Queue.UnknownRepositories == 0 {
		t.Errorf("queue %+v", o.Queue)
	}
	delete(w.m.repositories["acme/flood"].live, 1000)
	w.pass(5 * time.Minute)
	if o := w.m.Overview(); o.Queue.UnknownRepositories != 0 || len(o.Queue.Jobs) != 1 || o.Queue.Jobs[0].Stuck == nil || !*o.Queue.Jobs[0].Stuck {
		t.Errorf("queue %+v", o.Queue)
	}
}
