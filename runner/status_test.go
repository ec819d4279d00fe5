//go:build linux

package runner

import (
	"errors"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/records"
)

func TestHealth(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, row := range map[string]struct {
		state   State
		lasted  time.Duration
		lost    time.Duration // 0: connected
		trouble string
		healthy bool
		health  string
	}{
		"starting":            {state: Starting, lasted: time.Second, health: "starting for 1s: not listening yet"},
		"registering in vain": {state: Registering, lasted: 90 * time.Second, trouble: "POST /orgs/acme/actions/runners/registration-token: 503 down", health: "registering for 1m30s: POST /orgs/acme/actions/runners/registration-token: 503 down"},
		"config.sh hangs":     {state: Configuring, lasted: 3 * time.Minute, health: "configuring for 3m0s: not listening: see the log"},
		"idle":                {state: Idle, lasted: time.Hour, healthy: true, health: "idle for 1h0m0s"},
		"draining":            {state: Draining, lasted: time.Hour, healthy: true, health: "draining for 1h0m0s"},
		"lost just now":       {state: Busy, lasted: time.Hour, lost: time.Minute, healthy: true, health: "busy for 1h0m0s"},
		"busy without GitHub": {state: Busy, lasted: time.Hour, lost: 4 * time.Minute, healthy: true, health: "busy, without a connection to GitHub for 4m0s: see the log"},
		"lost for minutes":    {state: Idle, lasted: time.Hour, lost: 4 * time.Minute, health: "idle, without a connection to GitHub for 4m0s: see the log"},
		// Trouble of an earlier time is not told of one that listens.
		"idle again": {state: Idle, lasted: time.Second, trouble: "old", healthy: true, health: "idle for 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			var lostFrom time.Time
			if row.lost != 0 {
				lostFrom = now.Add(-row.lost)
			}
			healthy, text := health(row.state, row.lasted, lostFrom, now, row.trouble)
			if healthy != row.healthy || text != row.health {
				t.Errorf("%t, %q; want %t, %q", healthy, text, row.healthy, row.health)
			}
		})
	}
}

// watched returns a session that listens, and what its jobs' records say.
func watched(t *testing.T) (*session, func() []records.Record) {
	t.Helper()
	var mu sync.Mutex
	var kept []records.Record
	l := &Life{Options: Options{Log: zerolog.Nop(), Trouble: &Trouble{}, StopGrace: time.Minute, Record: func(r records.Record) error {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, r)
		return nil
	}}, record: &record{}, stop: &stopper{}}
	l.view.runs = make(chan struct{})
	l.machine = newMachine(func(State, State, string) {})
	for _, state := range []State{Registering, Configuring, Connecting, Idle} {
		l.machine.to(state, "")
	}
	s := newSession(l, 1)
	t.Cleanup(s.quit)
	return s, func() []records.Record {
		l.measurer.pending.Wait()
		mu.Lock()
		defer mu.Unlock()
		return kept
	}
}

func (s *session) hears(lines ...line) {
	for _, l := range lines {
		s.lines.add(l)
	}
	s.takeLines()
}

// What was known of a listener ends with it: a new one is neither without a
// connection nor at work on the job of the one before.
func TestNewListenerBeginsAnew(t *testing.T) {
	s, kept := watched(t)
	s.hears(line{jobStarted, "build"}, line{connectionLost, "no route to host"})
	s.follow(s.work.seen(identity{1 << 30, 1}, time.Now()))
	s.view.lostFrom = time.Now().Add(-time.Hour)
	s.hears(line{what: restarting}, line{what: listening})
	if status := s.status(time.Now()); !status.Healthy || status.Job != nil || status.State != Idle {
		t.Errorf("%+v", status)
	}
	if all := kept(); len(all) != 1 || all[0].Job != "build" || all[0].Result != Unknown {
		t.Errorf("records %+v", all)
	}
	select {
	case <-s.view.running():
		t.Error("the hook of the next job is not waited for")
	default:
	}
}

// Any of these tells that there is a connection, for the official listener may never
// say that it is back.
func TestWhatMeansThatThereIsAConnection(t *testing.T) {
	for name, happens := range map[string]func(s *session){
		"a job starts":       func(s *session) { s.hears(line{jobStarted, "build"}) },
		"its words":          func(s *session) { s.hears(line{what: connectionBack}) },
		"online at GitHub":   func(s *session) { s.looked(look{state: Online}) },
		"busy at GitHub":     func(s *session) { s.looked(look{state: Working}) },
		"a session":          func(s *session) { s.hears(line{what: listening}) },
		"offline at GitHub":  nil,
		"nobody was reached": nil,
	} {
		s, _ := watched(t)
		s.hears(line{connectionLost, "Not Found"})
		s.view.lostFrom = time.Now().Add(-time.Hour)
		if happens == nil {
			s.looked(look{state: Offline})
			s.looked(look{err: errors.New("no route to host")})
		} else {
			happens(s)
		}
		if status := s.status(time.Now()); status.Healthy == (happens == nil) {
			t.Errorf("%s: %+v", name, status)
		}
	}
}

// While a job runs and GitHub says busy, all is well.
func TestJudge(t *testing.T) {
	for _, row := range []struct {
		here   stage
		lost   bool
		github string
		want   opinion
	}{
		{working, false, Working, opinion{true, 0}},
		{leaving, false, Working, opinion{true, 0}},
		{announced, false, Working, opinion{true, 0}},
		{working, false, Offline, opinion{false, 0}},
		{working, true, Offline, opinion{false, 0}},
		{working, false, Online, opinion{true, sightings}},
		{working, false, Gone, opinion{false, sightings}},
		{announced, false, Online, opinion{true, sightings}},
		{noJob, false, Online, opinion{true, 0}},
		{noJob, true, Online, opinion{true, 0}},
		{noJob, false, Working, opinion{true, busySightings}},
		{noJob, false, Offline, opinion{false, sightings}},
		{noJob, true, Offline, opinion{false, 0}},
		{noJob, true, Gone, opinion{false, sightings}},
	} {
		if got := judge(row.here, row.lost, row.github); got != row.want {
			t.Errorf("judge(%v, %t, %s) = %+v, want %+v", row.here, row.lost, row.github, got, row.want)
		}
	}
}

// An update that ends before the job, well or not, leaves the runner's files as they
// should be; one that comes while the ephemeral job runs is not told from the job.
func TestUpdateBeforeTheJobAndInIt(t *testing.T) {
	for name, row := range map[string]struct {
		lines  []line
		intact bool
	}{
		"it ends":                 {[]line{{what: updating}, {what: restarting}, {what: listening}, {jobStarted, "build"}}, true},
		"it fails":                {[]line{{what: updating}, {jobStarted, "build"}}, true},
		"it comes with the job":   {[]line{{jobStarted, "build"}, {what: updating}, {what: restarting}, {what: listening}}, false},
		"there is none":           {[]line{{jobStarted, "build"}}, false},
		"it has not ended so far": {[]line{{what: updating}}, false},
	} {
		s, _ := watched(t)
		s.Ephemeral = true
		if s.hears(row.lines...); s.intact.IsZero() == row.intact {
			t.Errorf("%s: as they should be until %v", name, s.intact)
		}
	}
}

// A listener that fails now and then, as when a job has left no file to open.
type failing struct {
	net.Listener
	errors []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errors) > 0 {
		err := f.errors[0]
		f.errors = f.errors[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

func TestSocketGoesOnAnswering(t *testing.T) {
	s, _ := watched(t)
	path := filepath.Join(t.TempDir(), "life.sock")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		s.accept(&failing{socket, []error{syscall.EMFILE, errors.New("anything")}})
		close(ended)
	}()
	// More than are answered at once, and all of them silent.
	var silent []net.Conn
	for range mostRequests + 8 {
		connection, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, connection)
	}
	for _, connection := range silent {
		connection.Close()
	}
	for range 100 { // the places of the silent ones are free in a moment
		var reply Reply
		if reply, err = Ask(path, Request{Ask: "status"}); err == nil && reply.Status != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	socket.Close()
	<-ended
}
