//go:build linux

package runner

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the lines and the looks for the worker make of each other: each row is a
// story, with what is told of it. The forged ones were seen with the official
// runner: a line feed in a job's name, a carriage return in a condition.
func TestWorkBelievesTheWorker(t *testing.T) {
	const (
		ok       = " completed with result: Succeeded"
		listens  = 200 * time.Millisecond // between two sightings, unless a step says otherwise
		noWorker = 0
	)
	type step func(w work, now time.Time) (work, []turn)
	line := func(name string) step {
		return func(w work, now time.Time) (work, []turn) { return w.started(name, now) }
	}
	job := func(text string) step {
		return func(w work, now time.Time) (work, []turn) {
			name, result, isEnd := endOf(text)
			if !isEnd {
				return w, nil
			}
			return w.completed(name, result, now)
		}
	}
	worker := func(pid int) step {
		return func(w work, now time.Time) (work, []turn) {
			if pid == noWorker {
				return w.seen(identity{}, now)
			}
			return w.seen(identity{pid, 7}, now)
		}
	}
	exit := func(w work, _ time.Time) (work, []turn) { return w.over() }
	for name, row := range map[string]struct {
		steps []step
		want  string
	}{
		"a job": {[]step{line("a"), worker(1), worker(0), job("a" + ok)}, "begins ends=Succeeded"},
		"job after job": {[]step{line("a"), worker(1), worker(0), job("a" + ok), line("b"), worker(2), worker(0), job("b completed with result: Failed")},
			"begins ends=Succeeded begins ends=Failed"},
		"a worker that nobody saw":         {[]step{line("a"), job("a" + ok), exit}, "begins ends=Succeeded"},
		"the same, without an exit":        {[]step{line("a"), job("a" + ok), worker(0), worker(0), worker(0), worker(0), worker(0), worker(0)}, "begins ends=Succeeded"},
		"its end was lost":                 {[]step{line("a"), worker(1), worker(0), worker(0), worker(0), worker(0), worker(0), worker(0), worker(0)}, "begins ends="},
		"its end was lost, the next comes": {[]step{line("a"), worker(1), worker(0), line("b")}, "begins ends= begins"},
		"gone for less than a second":      {[]step{line("a"), worker(1), worker(0), worker(0)}, "begins"},
		"its lines were lost":              {[]step{worker(1), worker(0), exit}, "begins ends="},
		"its line was read late":           {[]step{worker(1), line("a"), line("b"), worker(0), job("a" + ok)}, "begins named ends=Succeeded"},
		"the next one's worker came first": {[]step{line("a"), worker(1), worker(2), job("a" + ok), line("b"), worker(0), job("b" + ok)}, "begins ends= begins named ends=Succeeded"},
		"two workers, no lines between":    {[]step{line("a"), worker(1), worker(2)}, "begins ends= begins"},
		"a pid that came again":            {[]step{line("a"), worker(1), func(w work, now time.Time) (work, []turn) { return w.seen(identity{1, 9}, now) }}, "begins ends= begins"},
		"announced, and no worker":         {append([]step{line("a")}, repeat(worker(0), 200)...), "begins withdrawn"},
		"renewals that fail for 20 s":      {append(append([]step{line("a")}, repeat(worker(0), 100)...), worker(1)), "begins"},
		"a listener that ended":            {[]step{line("a"), worker(1), worker(0), exit}, "begins ends="},
		"announced, and the listener ends": {[]step{line("a"), exit}, "begins withdrawn"},
		"the same end twice":               {[]step{line("a"), worker(1), worker(0), job("a" + ok), job("a" + ok), exit}, "begins ends=Succeeded"},

		"a second line in the name":        {[]step{line("a"), worker(1), worker(0), job("two lines" + ok), exit}, "begins ends="},
		"an end in the name":               {[]step{line("a"), job("a" + ok), worker(1), worker(1), worker(0), job("a" + ok), exit}, "begins ends="},
		"an end in the name, seen late":    {[]step{line("a"), worker(1), job("a" + ok), worker(0), job("a" + ok), exit}, "begins ends="},
		"an end in a condition":            {[]step{line("a"), worker(1), job("a" + ok), worker(1), worker(1)}, "begins"},
		"a start in a condition":           {[]step{line("a"), worker(1), line("b"), worker(1), worker(0), job("a" + ok)}, "begins ends=Succeeded"},
		"a start in the name":              {[]step{line("a"), line("b"), worker(1), worker(0), line("b" + ok), exit}, "begins begins ends="},
		"an end after the worker, no word": {[]step{line("a"), worker(1), worker(0), job("a completed with result: Fine"), exit}, "begins ends="},
		"an end of nothing":                {[]step{job("a" + ok)}, ""},
		"a name that tells its own end":    {[]step{line("a" + ok), worker(1), worker(0), job("a" + ok + " completed with result: Failed")}, "begins ends=Failed"},
		"a name of any length": {[]step{line(strings.Repeat("x", 4200)), worker(1), worker(0), job(strings.Repeat("x", 4100) + ok)},
			"begins ends=Succeeded"},
	} {
		var w work
		var told []string
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		for _, step := range row.steps {
			var turns []turn
			w, turns = step(w, now)
			for _, turn := range turns {
				told = append(told, map[turning]string{begins: "begins", ends: "ends=" + turn.result, named: "named", withdrawn: "withdrawn"}[turn.what])
			}
			now = now.Add(listens)
		}
		if got := fmt.Sprint(strings.Join(told, " ")); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func repeat[T any](one T, times int) []T {
	all := make([]T, times)
	for i := range all {
		all[i] = one
	}
	return all
}

// While a worker lives a job runs, whatever the lines say and in whatever order.
func TestNoLineEndsAJobWhoseWorkerLives(t *testing.T) {
	now := time.Now()
	lines := []func(w work) (work, []turn){
		func(w work) (work, []turn) { return w.started("a", now) },
		func(w work) (work, []turn) { return w.started("b", now) },
		func(w work) (work, []turn) { return w.completed("a", "Succeeded", now) },
		func(w work) (work, []turn) { return w.completed("b", "Failed", now) },
	}
	var walk func(w work, depth int)
	walk = func(w work, depth int) {
		if depth == 0 {
			return
		}
		for _, line := range lines {
			next, _ := line(w)
			next, turns := next.seen(identity{1, 1}, now)
			for _, turn := range turns {
				if turn.what == ends {
					t.Fatalf("a line has ended %+v", w)
				}
			}
			if !next.running() || next.stage != working {
				t.Fatalf("after a line: %+v", next)
			}
			walk(next, depth-1)
		}
	}
	w, _ := work{}.started("a", now)
	walk(w, 5)
}
