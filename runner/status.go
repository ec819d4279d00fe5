//go:build linux

package runner

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/virtuoso902/org-runner/internal/records"
)

// view is the part of the status that the output and the hook tell.
type view struct {
	mu        sync.Mutex
	job       *Job
	runs      chan struct{} // closed while a job runs
	described bool          // the hook has told of it
	version   string        // of the official runner
	lostFrom  time.Time     // since when there is no connection to GitHub; zero: there is
}

// identify notes under which name and id GitHub has us.
func (l *Life) identify(name string, id int64) {
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	l.name, l.id = name, id
}

// identity is identify's, for other goroutines than the life's.
func (l *Life) identity() (name string, id int64) {
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	return l.name, l.id
}

func (v *view) jobStarted(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.job == nil {
		close(v.runs)
	}
	v.job, v.described = &Job{Name: name, Since: time.Now()}, false
}

// hookAsked tells whether the worker of the job that runs has come to the hook.
func (v *view) hookAsked() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.described
}

func (v *view) jobNamed(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.job != nil {
		v.job.Name = name
	}
}

func (v *view) jobCompleted() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.job != nil {
		v.job, v.runs = nil, make(chan struct{})
	}
}

// running is closed once a job runs.
func (v *view) running() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.runs
}

// describeJob takes what the hook tells of the job that runs. Only the first one
// counts, for the job itself can ask as well; queued is called for that one.
func (v *view) describeJob(request Request, queued func() <-chan *time.Time) {
	v.mu.Lock()
	first := v.job != nil && !v.described
	v.described = v.described || first
	v.mu.Unlock()
	if !first {
		return
	}
	since := queued()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.job == nil {
		return
	}
	v.job.Repository, v.job.Workflow, v.job.RunID = records.Bounded(request.Repository), records.Bounded(request.Workflow), records.Bounded(request.RunID)
	v.job.RunURL, v.job.Attempt, v.job.Actor, v.job.queued = records.Bounded(request.RunURL), request.Attempt, records.Bounded(request.Actor), since
}

func (v *view) connection(up bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case up:
		v.lostFrom = time.Time{}
	case v.lostFrom.IsZero():
		v.lostFrom = time.Now()
	}
}

// lostFor is since how long there is no connection to GitHub; 0: there is one.
func (v *view) lostFor(now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lostFrom.IsZero() {
		return 0
	}
	return max(now.Sub(v.lostFrom), 1)
}

func (v *view) versionIs(version string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version = version
}

func (v *view) get() (job *Job, version string, lostFrom time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.job != nil {
		copied := *v.job
		job = &copied
	}
	return job, v.version, v.lostFrom
}

// How long a runner may be without what it needs before it is called unhealthy.
const (
	startPatience      = 2 * time.Minute
	connectionPatience = 3 * time.Minute
)

// status puts the answer together.
func (l *Life) status(now time.Time) Status {
	state, since, reason := l.machine.current()
	job, version, lostFrom := l.view.get()
	name, id := l.identity()
	s := Status{
		State: state, Since: since, Reason: reason, Began: l.began,
		Name: name, ID: id, URL: l.URL, Group: l.Group, Labels: l.Labels, Ephemeral: l.Ephemeral, Version: version, Job: job,
	}
	s.Healthy, s.Health = health(state, now.Sub(since), lostFrom, now, l.waitsFor())
	s.Starting = !s.Healthy && state != Idle && now.Sub(since) <= startPatience
	s.Waiting = !s.Healthy && state != Idle && l.waitsFor() != ""
	return s
}

// waitsFor is what a life that is not listening waits for, "" if for nothing.
func (l *Life) waitsFor() string { return cmp.Or(l.waits.String(), l.Trouble.String()) }

// health judges a state by how long it has lasted, and names what it waits for.
func health(state State, lasted time.Duration, lostFrom, now time.Time, trouble string) (bool, string) {
	lasted = lasted.Round(time.Second)
	away := now.Sub(lostFrom)
	if !lostFrom.IsZero() && away > connectionPatience && (state == Idle || state == Busy || state == Draining) {
		// A job goes on without: who ends what is unhealthy must not end it.
		return state != Idle, fmt.Sprintf("%s, without a connection to GitHub for %s: see the log", state, away.Round(time.Second))
	}
	switch state {
	case Idle, Busy, Draining, Finished, Deregistering, Stopped:
		return true, fmt.Sprintf("%s for %s", state, lasted)
	}
	if trouble == "" {
		trouble = "not listening yet"
		if lasted > startPatience {
			trouble = "not listening: see the log"
		}
	}
	return false, fmt.Sprintf("%s for %s: %s", state, lasted, trouble)
}

// serveSocket answers until the function that it returns is called.
func (l *Life) serveSocket() (stop func(), err error) {
	if l.StateDir == "" {
		return func() {}, errors.New("there is no folder for it")
	}
	path := Socket(l.StateDir)
	// A killed life leaves its socket; the record's lock says that nobody else is
	// behind it.
	_ = os.RemoveAll(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return func() {}, err
	}
	// The hook runs as the job's user, health checks as the container's.
	if err := os.Chmod(path, 0o666); err != nil {
		listener.Close()
		return func() {}, err
	}
	done := make(chan struct{})
	go func() { l.accept(listener); close(done) }()
	return func() { listener.Close(); <-done }, nil
}

// accept answers until the listener is closed, whatever a job does to it.
func (l *Life) accept(listener net.Listener) {
	places := make(chan struct{}, mostRequests)
	for {
		connection, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no file is left to open
			time.Sleep(acceptAgain)
			continue
		}
		select {
		case places <- struct{}{}:
			go func() {
				defer func() { <-places }()
				l.reply(connection)
			}()
		default:
			connection.Close()
		}
	}
}

func (l *Life) reply(connection net.Conn) {
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(askTimeout))
	var request Request
	if json.NewDecoder(io.LimitReader(connection, longestRequest)).Decode(&request) != nil {
		return
	}
	var reply Reply
	switch request.Ask {
	case "status":
		status := l.status(time.Now())
		reply.Status = &status
	case "job-started":
		reply = l.jobMayStart(request)
	default:
		reply.Message = "unknown question " + request.Ask
	}
	_ = json.NewEncoder(connection).Encode(reply)
}

const (
	// longestRequest bounds a question in bytes, mostRequests how many are answered
	// at the same time: a job can ask too.
	longestRequest = 64 << 10
	mostRequests   = 32
	// acceptAgain is the time until the next try to accept one.
	acceptAgain = 50 * time.Millisecond
	// hookPatience is how long the hook's question waits for the line that says
	// that a job runs: the line was written before, but may be read after.
	hookPatience = 2 * time.Second
)

// jobMayStart answers the hook that runs before a job's first step.
func (l *Life) jobMayStart(request Request) Reply {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
	select {
	case <-l.view.running():
	case <-time.After(hookPatience):
	}
	l.view.describeJob(request, func() <-chan *time.Time { return l.askQueued(request.Repository, request.RunID) })
	if l.Allowed != nil && !l.Allowed(request.Repository) {
		l.Log.Warn().Str("repository", records.Bounded(request.Repository)).Str("allowed", l.AllowedRule).Msg("job refused")
		return Reply{Message: fmt.Sprintf("org-runner: a job of %.300s may not run on this runner: ALLOWED_REPOSITORIES is %s. Take another runner in runs-on, or ask who runs this one to add the repository.", request.Repository, l.AllowedRule)}
	}
	l.Log.Info().Str("repository", records.Bounded(request.Repository)).Str("workflow", records.Bounded(request.Workflow)).Str("run", records.Bounded(request.RunID)).Msg("job started")
	reply := Reply{Allow: true}
	if path := lookUp(l.Environ, hookVariable); path != "" {
		next, err := hookCommand(path, l.Home)
		if err != nil { // it was good at the start: an earlier job has removed node
			return Reply{Message: fmt.Sprintf("org-runner: this job does not run: %s is %s, %v", hookVariable, path, err)}
		}
		reply.Next = next
	}
	return reply
}

// hookEnvironment puts our hook before the operator's own.
func (l *Life) hookEnvironment() []string {
	if l.Hook == "" || l.unanswered != nil {
		return nil
	}
	return []string{hookVariable + "=" + l.Hook, SocketVariable + "=" + Socket(l.StateDir)}
}
