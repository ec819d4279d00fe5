package monitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// newScarce makes a monitor over a stub of which every call takes one of a small
// budget.
func newScarce(t *testing.T, s *stub, perHour int) (*Monitor, *clock) {
	m, c := newStubbed(t, s, func(o *Options) { o.Transport.meter.perHour = perHour })
	m.meter.calls, m.meter.requests = m.meter.burst(), m.meter.burst()*requestsPerCall
	s.spend = m.meter
	return m, c
}

// While a long list of runners is read, the queue is looked at, and the list ends
// all the same, however small the budget.
func TestRunnersLeaveTheQueueItsTurn(t *testing.T) {
	s := &stub{repositories: names(50, "acme/r%02d")}
	for i := range 3000 {
		s.runners = append(s.runners, register.Runner{ID: int64(i + 1), Name: fmt.Sprint("fleet-", i), Status: "online", Version: ptr("2.336.0")})
	}
	m, c := newScarce(t, s, 120)
	failed := 0
	s.fail = func(_ context.Context, call string) error {
		if call == "runners 700" && failed < 3 {
			failed++
			return &register.Error{Status: 502, Kind: register.ErrUnreachable}
		}
		return nil
	}
	for range 10 {
		if pass(t, m, c, time.Hour); !m.runnersAt.IsZero() {
			break
		}
	}
	if o := m.Overview(); o.Runners == nil || o.Runners.Total != 3000 {
		t.Fatalf("runners %+v", o.Runners)
	}
	if n := s.count("runners 600"); n != 1 || failed != 3 {
		t.Errorf("a page was read %d times because the next one failed %d times", n, failed)
	}
	row, longest := 0, 0
	for _, call := range s.asked[30:] { // the first ones are those that there is a burst for
		if row++; !strings.HasPrefix(call, "runners") {
			row = 0
		}
		longest = max(longest, row)
	}
	if longest > 2 {
		t.Errorf("%d pages of runners in a row", longest)
	}
}

// However many runs are at work, a repository with few has its turn, and what has
// ended is looked into.
func TestManyRunsLeaveOthersTheirTurn(t *testing.T) {
	s := &stub{repositories: names(50, "acme/r%02d"), runs: map[string][]register.Run{}, jobs: map[int64][]register.Job{}}
	m, c := newScarce(t, s, 1000)
	id := int64(0)
	add := func(repository, status string) {
		id++
		s.runs[repository] = append(s.runs[repository], register.Run{ID: id, Status: status, Attempt: 1, UpdatedAt: c.t})
		s.jobs[id] = []register.Job{job(id, "build", status, "", c.t, c.t)}
	}
	for i := range 300 { // whose steps change all the time
		add(s.repositories[i%10], "in_progress")
	}
	known := map[string]int{} // of the quiet ones, how many runs GitHub has told
	s.fail = func(_ context.Context, call string) error {
		repository, ok := strings.CutPrefix(call, "runs ")
		if n, told := known[repository]; ok && repository >= "acme/r10" && told && n == len(s.runs[repository]) {
			return &register.Error{Kind: errUnchanged}
		}
		known[repository] = len(s.runs[repository])
		return nil
	}
	queued, unseen, lonely, read := c.t.Add(15*time.Minute), time.Duration(0), time.Duration(0), time.Duration(0)
	for began := c.t; c.t.Sub(began) < 2*time.Hour; pass(t, m, c, 15*time.Second) {
		if c.t.Equal(queued) {
			add("acme/r49", "queued")
			add("acme/r48", "completed")
			s.runs["acme/r48"][0].Conclusion, s.jobs[id][0].Conclusion = "success", "success"
		}
		o := m.Overview()
		if lonely == 0 && o.Queue != nil && o.Queue.Total > 0 {
			lonely = c.t.Sub(queued)
		}
		if read == 0 && o.Running != nil && o.Running.Total == 300 {
			read = c.t.Sub(began)
		}
		for _, r := range m.repositories {
			if c.t.Sub(began) > 5*time.Minute {
				unseen = max(unseen, c.t.Sub(r.seen))
			}
		}
		m.mu.Lock()
		if calls, _ := m.meter.lastHour(); calls > 1000 {
			t.Fatalf("%d calls in an hour", calls)
		}
		m.mu.Unlock()
	}
	if lonely == 0 || lonely > 5*time.Minute || unseen > 5*time.Minute || read == 0 || read > time.Hour || week(m) != 1 {
		t.Errorf("the lonely job was seen after %s, all runs after %s, one repository was unseen for %s; %d jobs have ended", lonely, read, unseen, week(m))
	}
}

// With few calls and many repositories each has its turn, and the lists take a
// small part.
func TestFewCallsForManyRepositories(t *testing.T) {
	s := &stub{repositories: names(800, "acme/r%03d"), runners: []register.Runner{{ID: 1, Name: "fleet-1", Status: "online"}}}
	m, c := newScarce(t, s, 60)
	for range 48 {
		pass(t, m, c, time.Hour)
		m.mu.Lock()
		if calls, _ := m.meter.lastHour(); calls > 60 {
			t.Errorf("%d calls in an hour", calls)
		}
		m.mu.Unlock()
	}
	turns := map[string]int{}
	for _, call := range s.asked {
		if name, ok := strings.CutPrefix(call, "runs "); ok {
			turns[name]++
		}
	}
	most := 0
	for _, n := range turns {
		most = max(most, n)
	}
	lists := s.count("repositories") + s.count("groups")
	if len(turns) != 800 || most > 4 || lists > len(s.asked)/6 {
		t.Errorf("%d repositories had up to %d turns; %d of %d calls were for lists", len(turns), most, lists, len(s.asked))
	}
}

// Two that are named are asked for by name, whatever else there is.
func TestNamedRepositories(t *testing.T) {
	s := &stub{repositories: names(5000, "acme/r%04d")}
	m, c := newStubbed(t, s, func(o *Options) { o.Repositories = []string{"acme/r0001", "acme/r4999"} })
	pass(t, m, c, 30*time.Minute)
	if o := m.Overview(); len(o.Repositories) != 2 || o.Repositories[0].Private == nil || o.Repositories[1].LastSeen == nil || len(o.Unknown) != 0 {
		t.Errorf("repositories %+v, unknown %+v", o.Repositories, o.Unknown)
	}
	if s.count("repositories") != 0 || s.count("repository ") != 2 {
		t.Errorf("%d pages of the list, %d by name", s.count("repositories"), s.count("repository "))
	}
}

// A long list of repositories ends where it must.
func TestMostRepositories(t *testing.T) {
	s := &stub{repositories: names(mostRepositories+500, "acme/r%04d")}
	m, c := newStubbed(t, s)
	pass(t, m, c, 5*time.Minute)
	if len(m.repositories) != mostRepositories || s.count("repositories") != mostRepositories/100 {
		t.Errorf("%d repositories of %d pages", len(m.repositories), s.count("repositories"))
	}
	s.repositories = s.repositories[:3]
	pass(t, m, c, 30*time.Minute)
	if len(m.repositories) != 3 {
		t.Errorf("%d are left", len(m.repositories))
	}
}

// A repository that was renamed is itself, though GitHub answers to its old name too.
func TestRenamedRepository(t *testing.T) {
	m, _ := newStubbed(t, &stub{})
	for _, list := range [][]register.RepositoryInfo{{{ID: 7, FullName: "acme/old"}, {ID: 8, FullName: "acme/other"}}, {{ID: 7, FullName: "acme/new"}, {ID: 8, FullName: "acme/other"}}} {
		m.repositoryList.found = map[string]bool{}
		m.takeRepositories(list)
		m.dropRepositories()
	}
	if got := slices.Sorted(maps.Keys(m.repositories)); !slices.Equal(got, []string{"acme/new", "acme/other"}) {
		t.Errorf("there are %v", got)
	}
}

// A repository that is pushed to while the list is read, the last pushed to first,
// is on none of the pages that are still to be read, and is looked at all the same.
// One that is gone is gone.
func TestPushedToWhileTheListIsRead(t *testing.T) {
	s := &stub{repositories: names(250, "acme/r%03d")}
	m, c := newStubbed(t, s)
	s.waiting(7, "acme/r150", c.t)
	pass(t, m, c, 5*time.Minute)
	pushed := false
	s.fail = func(_ context.Context, call string) error {
		if call == "repositories" && !pushed {
			pushed = true
			i := slices.Index(s.repositories, "acme/r150")
			s.repositories = slices.Insert(slices.Delete(slices.Clone(s.repositories), i, i+1), 0, "acme/r150")
		}
		return nil
	}
	for range 15 {
		pass(t, m, c, time.Minute)
		if o := m.Overview(); o.Queue.Total != 1 || len(m.repositories) != 250 {
			t.Fatalf("%d waits in %d repositories", o.Queue.Total, len(m.repositories))
		}
	}
	if !pushed {
		t.Error("the list was not read again")
	}
	s.repositories = s.repositories[1:]
	pass(t, m, c, 25*time.Minute)
	if o := m.Overview(); o.Queue.Total != 0 || len(m.repositories) != 249 {
		t.Errorf("%d waits in %d repositories", o.Queue.Total, len(m.repositories))
	}
	s.refused = map[string]error{s.repositories[0]: &register.Error{Status: 404, Kind: register.ErrNotFound}}
	s.repositories = s.repositories[1:]
	pass(t, m, c, 14*time.Minute)
	if len(m.repositories) != 248 {
		t.Errorf("%d repositories", len(m.repositories))
	}
}
