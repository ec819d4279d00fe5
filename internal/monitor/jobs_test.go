package monitor

import (
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// A run's name is what the workflow has called this one: jobs name the workflow.
func TestWorkflowsName(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	done := job(1, "build", "completed", "success", c.t.Add(-time.Minute), c.t)
	done.Workflow = "Deploy"
	running := job(2, "test", "in_progress", "", c.t, c.t)
	running.Workflow = "Deploy"
	s.runs = map[string][]register.Run{"acme/coach": {
		{ID: 7, Name: "Deploy 17 by alice", Status: "completed", Conclusion: "success", Attempt: 1, UpdatedAt: c.t},
		{ID: 8, Name: "Deploy 18 by bob", Status: "in_progress", Attempt: 1, UpdatedAt: c.t},
	}}
	s.jobs = map[int64][]register.Job{7: {done}, 8: {running}}
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Slowest[0].Workflow != "Deploy" || o.Running.Jobs[0].Workflow != "Deploy" {
		t.Errorf("%+v, %+v", o.Slowest, o.Running)
	}
}

// The system of a runner that ends with its job stays known.
func TestSystemOfARunnerThatIsGone(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	s.runners = []register.Runner{
		{ID: 1, Name: "fleet-1", OS: "linux", Status: "online", Busy: true, Version: ptr("2.336.0"), Labels: []register.Label{{Name: "self-hosted"}, {Name: "ARM64"}}},
		{ID: 2, Name: "fleet-2", OS: "linux", Status: "online", Version: ptr("2.336.0"), Labels: []register.Label{{Name: "self-hosted"}, {Name: "X64"}}},
	}
	pass(t, m, c, time.Minute)
	s.runs = map[string][]register.Run{"acme/coach": {{ID: 7, Status: "in_progress", Attempt: 1, UpdatedAt: c.t}}}
	began := c.t
	s.jobs = map[int64][]register.Job{7: {job(1, "build", "in_progress", "", began, began)}}
	pass(t, m, c, 2*time.Minute)
	s.runners = s.runners[1:]
	pass(t, m, c, 2*time.Minute)
	s.jobs[7] = []register.Job{job(1, "build", "completed", "success", began, c.t)}
	s.runs["acme/coach"] = []register.Run{{ID: 7, Status: "completed", Conclusion: "success", Attempt: 1, UpdatedAt: c.t}}
	pass(t, m, c, 2*time.Minute)
	if len(m.history.jobs) != 1 || m.history.jobs[0].system.Value() != "linux/arm64" {
		t.Errorf("%+v", m.history.jobs)
	}
}

// Runners that have the labels and do not agree tell nothing of the system.
func TestSystemOfLabelsThatManyHave(t *testing.T) {
	set := func(s system, labels ...string) *offer {
		o := &offer{labels: map[string]bool{}, system: s}
		for _, l := range labels {
			o.labels[l] = true
		}
		return o
	}
	arm, intel := system{"linux", "arm64"}, system{"linux", "x64"}
	m := &Monitor{collected: collected{offers: map[string]*offer{"1": set(arm, "self-hosted", "a"), "2": set(intel, "self-hosted", "b"), "3": set(arm, "self-hosted", "c", "a")}}}
	for range 20 { // maps are in no order
		for _, test := range []struct {
			labels []string
			want   system
		}{
			{[]string{"self-hosted"}, intel}, {[]string{"Self-Hosted", "a"}, arm}, {[]string{"b"}, intel},
			{[]string{"self-hosted", "windows"}, system{"windows", "x64"}},
		} {
			if got := m.systemFor(test.labels); got != test.want {
				t.Fatalf("%v: %v", test.labels, got)
			}
		}
	}
}

func TestIsOwn(t *testing.T) {
	m := &Monitor{collected: collected{runnersAt: noon, systems: map[string]system{"fleet-1": {}}, offers: map[string]*offer{"gpu": {labels: map[string]bool{"gpu": true, "ubuntu-ours": true}}}}}
	for _, test := range []struct {
		runner, group string
		labels        []string
		own           bool
	}{
		{"", "", []string{"self-hosted"}, true},
		{"", "", []string{"ubuntu-latest"}, false},
		{"", "", []string{"ubuntu-ours"}, true},
		{"", "", []string{"nobody-has-it"}, true}, // and so it waits for ever
		{"fleet-1", "Default", []string{"whatever"}, true},
		{"gone-1", "Default", []string{"gpu"}, true},
		{"gone-1", "Default", []string{"self-hosted", "once"}, true},
		{"GitHub Actions 12", "GitHub Actions", []string{"ubuntu-latest"}, false},
		{"ubuntu-16-cores_1a2b", "Default Larger Runners", []string{"ubuntu-16-cores"}, false},
		{"big_1a2b", "Our larger ones", []string{"big"}, false},
	} {
		j := register.Job{RunnerName: test.runner, GroupName: test.group}
		if got := m.isOwn(j, test.labels); got != test.own {
			t.Errorf("%+v: %t", test, got)
		}
	}
	m.runnersAt = time.Time{}
	if !m.isOwn(register.Job{RunnerName: "big_1a2b", GroupName: "Ours"}, []string{"big"}) {
		t.Error("not own while the runners are unknown")
	}
}
