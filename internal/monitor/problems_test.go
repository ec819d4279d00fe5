package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/register"
)

// found is the problems of one kind.
func found(o *Overview, kind string) (list []Problem) {
	for _, p := range o.Problems {
		if p.Kind == kind {
			list = append(list, p)
		}
	}
	return list
}

// In a busy fleet of one-job runners each list may show one that has just come: the
// next job is its, and no group keeps the queue from it.
func TestNotAdmittedInABusyFleet(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t, "self-hosted")
	id := int64(1)
	for range 20 {
		for range 3 {
			id++
			s.runners = []register.Runner{online(id, fmt.Sprint("fleet-", id), "self-hosted")}
			at := m.runnersAt
			for m.runnersAt.Equal(at) {
				pass(t, m, c, time.Second)
			}
		}
		if wrong := found(m.Overview(), "group"); len(wrong) > 0 {
			t.Fatalf("%+v", wrong)
		}
	}
	// The last one stays, and the job still waits.
	pass(t, m, c, notAdmitted+time.Minute)
	if wrong := found(m.Overview(), "group"); len(wrong) != 1 || !wrong[0].Now {
		t.Errorf("%+v", m.Overview().Problems)
	}
	if len(m.idle) != 1 {
		t.Errorf("of %d runners it is remembered since when they are idle", len(m.idle))
	}
	// It has worked meanwhile, for another repository.
	s.runners[0].Busy = true
	pass(t, m, c, time.Minute)
	s.runners[0].Busy = false
	pass(t, m, c, time.Minute)
	if wrong := found(m.Overview(), "group"); len(wrong) > 0 {
		t.Errorf("%+v", wrong)
	}
	s.runnersErr = &register.Error{Status: 403, Kind: register.ErrCredentials}
	pass(t, m, c, time.Minute)
	if len(m.idle) != 0 {
		t.Errorf("%d are idle of a list that may not be read", len(m.idle))
	}
}

// Of a list that is seldom read two may show the same runner between two jobs.
func TestNotAdmittedOfSeldomLists(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1", "self-hosted")}}
	m, c := newStubbed(t, s)
	s.waiting(1, "acme/coach", c.t, "self-hosted")
	pass(t, m, c, 20*time.Second)
	at := m.runnersAt
	s.runnersErr = &register.Error{Status: 502, Kind: register.ErrUnreachable}
	pass(t, m, c, 5*time.Minute)
	s.runnersErr = nil
	for want := range 2 {
		for at.Equal(m.runnersAt) {
			pass(t, m, c, time.Second)
		}
		at = m.runnersAt
		pass(t, m, c, 20*time.Second) // of the job there is news too
		if o := m.Overview(); o.Runners.StaleSince != nil || len(found(o, "group")) != want {
			t.Errorf("list %d: problems %+v", want+2, o.Problems)
		}
	}
}

// A job of which nothing was heard since may have been taken long ago.
func TestNotAdmittedNeedsNews(t *testing.T) {
	s := &stub{repositories: []string{"acme/coach"}, runners: []register.Runner{online(1, "fleet-1", "self-hosted")}}
	m, c := newStubbed(t, s)
	pass(t, m, c, 10*time.Minute)
	s.waiting(1, "acme/coach", c.t, "self-hosted")
	pass(t, m, c, time.Minute)
	if o := m.Overview(); o.Queue.Total != 1 {
		t.Fatalf("queue %+v", o.Queue)
	}
	s.fail = func(_ context.Context, call string) error {
		if strings.HasPrefix(call, "jobs") || strings.HasPrefix(call, "runs") {
			return &register.Error{Status: 502, Kind: register.ErrUnreachable}
		}
		return nil
	}
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); len(found(o, "group")) > 0 || o.Queue.Total != 1 {
		t.Errorf("queue %+v, problems %+v", o.Queue, o.Problems)
	}
	s.fail = nil
	pass(t, m, c, 5*time.Minute)
	if o := m.Overview(); len(found(o, "group")) != 1 {
		t.Errorf("problems %+v", o.Problems)
	}
}

// What lasts stays in the list, whatever else there is and whatever clock it has.
func TestLastingProblemsStay(t *testing.T) {
	m, c, _, add := recorded(t)
	m.change(func() {
		m.history.err = errors.New("no space left on device")
		m.tellStore()
	})
	m.settle(t.Context(), task{}, &register.Error{Status: 502, Kind: register.ErrUnreachable, Message: "bad gateway"})
	c.t = c.t.Add(50 * time.Minute)
	for i := range 2 * mostProblems {
		add(records.Record{Job: fmt.Sprint("job ", i), OOMKills: ptr(int64(1))})
	}
	c.t = c.t.Add(-49 * time.Minute) // the records' clock is ahead
	m.readRecords(c.t)
	o := m.Overview()
	if len(m.problems) != mostProblems || len(found(o, "store")) != 1 || len(found(o, "github")) != 1 || !o.Problems[0].Now || !o.Problems[1].Now {
		t.Errorf("%d problems: %+v", len(o.Problems), o.Problems[:2])
	}
	for _, p := range o.Problems {
		if p.Time.After(o.GeneratedAt) {
			t.Errorf("%s at %s, which is to come", p.What, p.Time)
		}
	}
	m.change(func() {
		m.history.err = nil
		m.tellStore()
	})
	if lasts := found(m.Overview(), "store"); len(lasts) != 1 || lasts[0].Now {
		t.Errorf("after it: %+v", lasts)
	}
}

// However much lasts, the list is bounded, and of a file that cannot be written it
// tells all the same.
func TestManyLastingProblems(t *testing.T) {
	m, c := newStubbed(t, &stub{})
	for _, name := range names(2*mostProblems, "acme/r%d") {
		m.addRepository(name)
		m.lastSuccess, m.failed = c.t, 0
		m.settle(t.Context(), task{repository: name}, &register.Error{Status: 502, Kind: register.ErrUnreachable, Message: name})
	}
	for _, err := range []string{"no space left on device", "input/output error"} {
		m.change(func() {
			m.history.err = errors.New(err)
			m.tellStore()
		})
		if o := m.Overview(); len(m.problems) != mostProblems+1 || len(found(o, "store")) != 1 || !strings.Contains(found(o, "store")[0].What, err) {
			t.Errorf("%d problems: %+v", len(m.problems), found(o, "store"))
		}
	}
}
