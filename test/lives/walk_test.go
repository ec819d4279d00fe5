//go:build linux

package lives

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

var (
	walkLives = flag.Int("lives", 200, "how many lives the random walk takes")
	walkSeed  = flag.Uint64("seed", 0, "the seed of the random walk; 0: another one each time")
	walkLife  = flag.Int("life", -1, "replay this one life of the walk")
)

// walkSummary is what docs/reliability.md tells.
type walkSummary struct {
	mu        sync.Mutex
	lives     int
	restarts  int
	jobs      int
	lost      int
	leaked    int
	events    map[string]int
	faults    map[string]int
	stopTimes []time.Duration
}

func (s *walkSummary) count(m map[string]int, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m[what]++
}

// TestRandomWalk drives lives with random faults, signals, kills and jobs. After
// each, and one restart at the most: no registration, no process, no lost job
// that had time, no call too many.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	seed := *walkSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: replay with -run RandomWalk -seed %d [-life N]", seed, seed)
	summary := &walkSummary{events: map[string]int{}, faults: map[string]int{}}
	t.Run("lives", func(t *testing.T) {
		for i := range *walkLives {
			if *walkLife >= 0 && *walkLife != i {
				continue
			}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				walk(t, rand.New(rand.NewPCG(seed, uint64(i))), summary)
			})
		}
	})
	sort.Slice(summary.stopTimes, func(i, j int) bool { return summary.stopTimes[i] < summary.stopTimes[j] })
	percentile := func(p int) time.Duration {
		if len(summary.stopTimes) == 0 {
			return 0
		}
		return summary.stopTimes[(len(summary.stopTimes)-1)*p/100].Round(time.Millisecond)
	}
	t.Logf("lives %d, restarts %d, jobs %d, registrations leaked %d, jobs lost %d\nevents %v\nfaults %v\nstop time p50 %s, p95 %s, p99 %s",
		summary.lives, summary.restarts, summary.jobs, summary.leaked, summary.lost, summary.events, summary.faults, percentile(50), percentile(95), percentile(99))
}

// chance is true with a probability of 1 in n.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func walk(t *testing.T, r *rand.Rand, summary *walkSummary) {
	w := newWorld(t, githubtest.Options{LostAfter: 2 * time.Second, BusyAfterJob: time.Duration(r.IntN(2)*r.IntN(500)) * time.Millisecond})
	grace := time.Duration(2+r.IntN(7)) * time.Second
	endless := chance(r, 6) // a job of five minutes, which a stop has to cancel
	if endless {
		grace = time.Duration(5+r.IntN(14)) * time.Second
		if chance(r, 16) { // seldom, for all of it goes by
			grace = time.Duration(19+r.IntN(42)) * time.Second
		}
	}
	ephemeral := !chance(r, 4)
	w.env["RUNNER_STOP_GRACE"] = grace.String()
	w.env["RUNNER_WATCHDOG"] = []string{"0", "1s", "5m"}[r.IntN(3)]
	if ephemeral && chance(r, 3) {
		w.env["RUNNER_REGISTRATION"] = "jit"
	} else if !ephemeral {
		w.env["EPHEMERAL"] = "false"
	}
	disturbed := disturb(w, r, summary)
	var job int64
	length := time.Duration(r.IntN(1500)) * time.Millisecond
	if endless {
		length = 5 * time.Minute
	}
	if endless || !chance(r, 3) {
		job = w.Enqueue(githubtest.Job{Repository: "acme/coach", Steps: []string{fmt.Sprintf("sleep %.3f", length.Seconds())}})
	}

	l := w.start()
	pause := time.Duration(r.IntN(1200)) * time.Millisecond
	time.Sleep(pause) // the event comes at any moment: that is the test
	event := events[r.IntN(len(events))]
	if event.name == "nothing" && (job == 0 || endless || !ephemeral) {
		event = events[0] // it does not end by itself
	}
	summary.count(summary.events, event.name)
	began := time.Now()
	event.happen(w, l)
	w.endWithin(l, grace)
	if event.signals == 1 {
		summary.mu.Lock()
		summary.stopTimes = append(summary.stopTimes, time.Since(began))
		summary.mu.Unlock()
	}
	summary.mu.Lock()
	summary.lives++
	summary.mu.Unlock()

	if j := w.Job(job); job != 0 && j.Status == "completed" {
		summary.count(summary.events, "job "+j.Result)
		summary.mu.Lock()
		summary.jobs++
		// A fifth of the grace or more is for draining; a busy machine needs a while to start a
		// job and to tell its end.
		const overhead = 1500 * time.Millisecond
		hadTime := event.signals <= 1 && !event.violent && !disturbed && (event.signals == 0 || j.Started.Add(length+overhead).Before(began.Add(grace/5)))
		if hadTime && j.Result != "success" {
			summary.lost++
			t.Errorf("a job that had time is lost: %+v", j)
		}
		summary.mu.Unlock()
	}
	clean := l.ProcessState.ExitCode() == 0
	if j := w.Job(job); endless && event.signals == 1 && !event.violent && !disturbed && j.Status != "queued" && !(clean && j.Shutdown) {
		t.Errorf("exit code %d after a stop of %s, and the job is %+v", l.ProcessState.ExitCode(), grace, j)
	}
	if clean && len(w.Runners()) > 0 {
		t.Errorf("exit code 0, and GitHub has %+v", w.Runners())
	}
	if clean && !disturbed && !event.violent {
		w.withinBudget(event.signals > 0)
	}
	if !clean {
		w.restart(l, summary)
	}
	if left := w.Runners(); len(left) > 0 {
		summary.mu.Lock()
		summary.leaked += len(left)
		summary.mu.Unlock()
		t.Errorf("after a restart GitHub has %+v", left)
	}
	w.noSecretIn("the log", l.out.String())
}

// disturb makes GitHub or the runner go wrong, or neither.
func disturb(w *world, r *rand.Rand, summary *walkSummary) bool {
	faults := map[string]githubtest.Fault{
		"500":           {Status: 500},
		"429":           {Status: 429, Header: map[string][]string{"Retry-After": {"1"}}},
		"403 secondary": {Status: 403, Message: "You have exceeded a secondary rate limit", Header: map[string][]string{"Retry-After": {"1"}}},
		"drop before":   {Drop: githubtest.DropBefore},
		"drop after":    {Drop: githubtest.DropAfter},
		"hang":          {Hang: true},
		"garbage":       {Garbage: true},
		"slow":          {Delay: 700 * time.Millisecond},
	}
	var names []string
	for name := range faults {
		names = append(names, name)
	}
	sort.Strings(names)
	operations := []string{"registration-token", "generate-jitconfig", "delete-runner", "list-runners", "runner:session", "runner:message", "runner:register"}
	behaviours := map[string]githubtest.Behaviour{
		"config.sh fails": {ConfigFail: 1}, "config.sh is slow": {ConfigDelay: 500 * time.Millisecond}, "listener is slow": {StartDelay: 500 * time.Millisecond},
		"listener ignores SIGINT": {IgnoreInterrupt: true}, "session conflict": {ListenerExit: 5, ListenerExitOnce: true}, "held output": {HoldOutput: true},
		"listener retries": {ListenerExit: 2, ListenerExitOnce: true}, "self-update": {ListenerExit: 3, ListenerExitOnce: true}, "listener fails": {ListenerExit: 1, ListenerExitOnce: true},
	}
	disturbed := false
	for range r.IntN(3) {
		name, operation := names[r.IntN(len(names))], operations[r.IntN(len(operations))]
		f := faults[name]
		f.Operation, f.Times, f.After = operation, 1+r.IntN(2), r.IntN(2)
		w.Inject(f)
		summary.count(summary.faults, name)
		disturbed = true
	}
	if chance(r, 3) {
		var kinds []string
		for name := range behaviours {
			kinds = append(kinds, name)
		}
		sort.Strings(kinds)
		name := kinds[r.IntN(len(kinds))]
		w.Behave(behaviours[name])
		summary.count(summary.faults, name)
		disturbed = true
	}
	return disturbed
}

// events are what happens to a life.
var events = []struct {
	name    string
	signals int  // how many come
	violent bool // somebody kills something
	happen  func(w *world, l *life)
}{
	{"SIGTERM", 1, false, func(w *world, l *life) { _ = l.Process.Signal(syscall.SIGTERM) }},
	{"SIGINT", 1, false, func(w *world, l *life) { _ = l.Process.Signal(syscall.SIGINT) }},
	{"two signals", 2, false, func(w *world, l *life) { l.burst(2) }},
	{"three signals", 3, false, func(w *world, l *life) { l.burst(3) }},
	{"kill -9 of all", 0, true, func(w *world, l *life) { l.kill() }},
	{"kill -9 of the listener, then SIGTERM", 1, true, func(w *world, l *life) { w.killOne("Runner.Listener"); _ = l.Process.Signal(syscall.SIGTERM) }},
	{"kill -9 of run.sh, then SIGTERM", 1, true, func(w *world, l *life) { w.killOne("/run.sh"); _ = l.Process.Signal(syscall.SIGTERM) }},
	{"GitHub down, then SIGTERM", 1, true, func(w *world, l *life) {
		w.SetDown(true)
		_ = l.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(time.Second, func() { w.SetDown(false) })
	}},
	{"nothing", 0, false, func(*world, *life) {}},
}

func (l *life) burst(n int) {
	for range n {
		_ = l.Process.Signal(syscall.SIGTERM)
		time.Sleep(50 * time.Millisecond)
	}
}

func (w *world) killOne(victim string) {
	for _, p := range processes(w.home) {
		var pid int
		if _, err := fmt.Sscan(p, &pid); err == nil && strings.Contains(p, victim) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
}

// endWithin waits for a life's end. What does not end by itself, because its
// job never came to it, is stopped.
func (w *world) endWithin(l *life, grace time.Duration) {
	w.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(grace + 10*time.Second):
		_ = l.Process.Signal(syscall.SIGTERM)
		select {
		case <-l.ended:
		case <-time.After(patience):
			_ = l.Process.Signal(syscall.SIGQUIT)
			w.t.Fatalf("the life does not end\n%s", l.out.String())
		}
	}
	if l.killed {
		return
	}
	if rest := processes(w.home); len(rest) > 0 {
		w.t.Errorf("processes are left: %v", rest)
	}
}

// withinBudget checks the calls of an undisturbed life.
func (w *world) withinBudget(stopped bool) {
	w.t.Helper()
	registrations := w.Count("registration-token") + w.Count("generate-jitconfig")
	if registrations > 1 {
		w.t.Errorf("%d registrations asked for", registrations)
	}
	if deletes := w.Count("delete-runner"); !stopped && deletes > 0 {
		w.t.Errorf("%d deletes without a stop", deletes)
	}
	if watched := w.Count("get-runner"); w.env["RUNNER_WATCHDOG"] != "1s" && watched > 0 {
		w.t.Errorf("%d looks of the watchdog", watched)
	}
}

// restart is what the engine does with a life that did not end well: the next
// one in the same folder repairs, does a job and leaves nothing.
func (w *world) restart(first *life, summary *walkSummary) {
	w.t.Helper()
	summary.mu.Lock()
	summary.restarts++
	summary.mu.Unlock()
	w.SetDown(false)
	w.lift()
	w.Behave(githubtest.Behaviour{})
	job := w.Enqueue(githubtest.Job{Repository: "acme/coach", RunsOn: []string{"after"}, Steps: []string{"true"}})
	l := w.start("EPHEMERAL=true", "LABELS=after", "NO_DEFAULT_LABELS=true") // the first job, if it waits, is not for this one
	l.end(0)
	if w.Job(job).Result != "success" {
		w.t.Errorf("the job after the restart: %+v\nthe first life, exit code %d:\n%s", w.Job(job), first.ProcessState.ExitCode(), first.out.String())
	}
}
