package monitor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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
