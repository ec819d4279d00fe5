package metrics_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/metrics"
)

func text(t *testing.T, r *metrics.Registry) string {
	t.Helper()
	var b strings.Builder
	n, err := r.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes, %v; %d were written", n, err, b.Len())
	}
	return b.String()
}

func TestTextFormat(t *testing.T) {
	r := &metrics.Registry{}
	jobs := r.Counter("jobs_total", "Jobs.\nBy \\ result.", "repository", "result")
	r.Gauge("never_set", "Has no series.")
	up := r.Gauge("up", "Whether it is.")
	took := r.Histogram("took_seconds", "How long.", []float64{1, 5}, "job")
	jobs.Add(1, "acme/b", "failed")
	jobs.Add(2, "acme/a", "a \"quoted\\\" word\nand line")
	jobs.Add(1, "acme/b", "failed")
	up.Set(1)
	for _, n := range []float64{0.5, 1, 3, 100} {
		took.Observe(n, "build")
	}
	want := `# HELP jobs_total Jobs.\nBy \\ result.
# TYPE jobs_total counter
jobs_total{repository="acme/a",result="a \"quoted\\\" word\nand line"} 2
jobs_total{repository="acme/b",result="failed"} 2
# HELP never_set Has no series.
# TYPE never_set gauge
# HELP up Whether it is.
# TYPE up gauge
up 1
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{job="build",le="1"} 2
took_seconds_bucket{job="build",le="5"} 3
took_seconds_bucket{job="build",le="+Inf"} 4
took_seconds_sum{job="build"} 104.5
took_seconds_count{job="build"} 4
`
	if got := text(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	up.Reset()
	if got := text(t, r); strings.Contains(got, "\nup ") {
		t.Errorf("still there after Reset:\n%s", got)
	}
}

// Names that others chose neither grow the text without bound nor break it.
func TestLabelsAreBounded(t *testing.T) {
	r := &metrics.Registry{}
	runs := r.Counter("runs_total", "Runs.", "workflow")
	runs.Add(1, "broken \xff\xfe and "+strings.Repeat("ü", 40_000))
	for i := range 5000 {
		runs.Add(1, fmt.Sprint("workflow ", i))
	}
	got := text(t, r)
	if !utf8.ValidString(got) {
		t.Error("not valid UTF-8")
	}
	if lines := strings.Count(got, "\n"); lines != 2+1000+1 {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(got, "runs_total{workflow=\"other\"} 4001\n") {
		t.Error("what came after the bound is not counted under other")
	}
	for line := range strings.Lines(got) {
		if len(line) > 200 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// A label that is folded is given up before the others, and nobody makes so many
// values of it that the others lose theirs.
func TestFold(t *testing.T) {
	r := &metrics.Registry{}
	jobs := r.Counter("jobs_total", "Jobs.", "repository", "workflow", "conclusion").Fold("workflow", "repository", 20)
	runners := r.Gauge("runners", "Runners.", "group", "state").Fold("group", "", 0)
	for i := range 5000 {
		jobs.Add(1, "acme/play", fmt.Sprint("evil ", i), "success")
		runners.Add(1, fmt.Sprint("group ", i), []string{"idle", "busy"}[i%2])
	}
	jobs.Begin("acme/play", "evil 5000", "failure")
	jobs.Add(1, "acme/coach", "CI", "failure")
	got := text(t, r)
	for _, line := range []string{
		`jobs_total{repository="acme/play",workflow="evil 19",conclusion="success"} 1`, `jobs_total{repository="acme/play",workflow="other",conclusion="success"} 4980`,
		`jobs_total{repository="acme/play",workflow="other",conclusion="failure"} 0`, `jobs_total{repository="acme/coach",workflow="CI",conclusion="failure"} 1`,
		`runners{group="group 999",state="busy"} 1`, `runners{group="other",state="idle"} 2000`, `runners{group="other",state="busy"} 2000`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("it lacks %s", line)
		}
	}
	if n := strings.Count(got, "jobs_total{"); n != 23 {
		t.Errorf("%d series", n)
	}
	// When all is full the rest of the labels stays, and that is bounded too.
	for i := range 5000 {
		for range 2 {
			jobs.Add(1, fmt.Sprint("acme/r", i), "CI", "success")
		}
	}
	if got = text(t, r); !strings.Contains(got, `jobs_total{repository="acme/r1500",workflow="other",conclusion="success"} 2`+"\n") || !strings.Contains(got, `jobs_total{repository="other",workflow="other",conclusion="other"} `) {
		t.Error("what came after the bound has lost its repository")
	}
	if n := strings.Count(got, "jobs_total{"); n != 2001 {
		t.Errorf("%d series", n)
	}
	// What is set anew has all its room again.
	runners.Reset()
	for range 2 {
		runners.Add(1, "group 4999", "busy")
	}
	if got := text(t, r); !strings.Contains(got, `runners{group="group 4999",state="busy"} 2`+"\n") {
		t.Error("after Reset a label is still folded")
	}
}

// What is begun has the value 0, and leaves room for what has events.
func TestBegin(t *testing.T) {
	r := &metrics.Registry{}
	jobs := r.Counter("jobs_total", "Jobs.", "workflow")
	took := r.Histogram("took_seconds", "How long.", []float64{1}, "job")
	jobs.Add(2, "CI")
	jobs.Begin("CI")
	took.Begin("build")
	for i := range 5000 {
		jobs.Begin(fmt.Sprint("workflow ", i))
	}
	jobs.Add(1, "new")
	got := text(t, r)
	for _, line := range []string{`jobs_total{workflow="CI"} 2`, `jobs_total{workflow="workflow 1"} 0`, `jobs_total{workflow="new"} 1`, `took_seconds_bucket{job="build",le="+Inf"} 0`, `took_seconds_count{job="build"} 0`} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("it lacks %s", line)
		}
	}
	if n := strings.Count(got, "jobs_total{"); n != 501 {
		t.Errorf("%d series", n)
	}
}

func TestBeforeWrite(t *testing.T) {
	r := &metrics.Registry{}
	now := r.Gauge("now", "Is set when it is asked for.")
	n := 0.0
	r.BeforeWrite(func() { n++; now.Set(n) })
	text(t, r)
	if got := text(t, r); !strings.Contains(got, "now 2\n") {
		t.Errorf("got %s", got)
	}
}

// Who looks at them in a terminal is not steered by what others have named.
func TestControlCharacters(t *testing.T) {
	r := &metrics.Registry{}
	r.Gauge("job", "A job.", "name").Set(1, "a\x1b[2Jb\rc\u009bd\x00e\x7ff\tg\nh \xff")
	if got := text(t, r); !strings.Contains(got, `job{name="a�[2Jb�c�d�e�f�g\nh �"} 1`) {
		t.Errorf("got %q", got)
	}
}

// Two clocks that differ do not make a sum fall.
func TestNothingTakesLessThanNoTime(t *testing.T) {
	r := &metrics.Registry{}
	took := r.Histogram("took_seconds", "How long.", []float64{1})
	took.Observe(-3600)
	if got := text(t, r); !strings.Contains(got, "took_seconds_sum 0\n") || !strings.Contains(got, "took_seconds_bucket{le=\"1\"} 1\n") {
		t.Errorf("got %s", got)
	}
}

// A reader that does not read holds up neither who counts nor who else reads.
func TestSlowReader(t *testing.T) {
	r := &metrics.Registry{}
	jobs := r.Counter("jobs_total", "Jobs.", "repository")
	for i := range 1000 {
		jobs.Add(1, fmt.Sprint(strings.Repeat("long", 30), i))
	}
	never, writer := io.Pipe()
	defer never.Close()
	go func() { _, _ = r.WriteTo(writer) }()
	if _, err := never.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		jobs.Add(1, "one")
		text(t, r)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
	}
}

// Of two that ask at once each gets the values of one moment.
func TestManyReaders(t *testing.T) {
	r := &metrics.Registry{}
	a := r.Gauge("a", "Is set anew.", "of")
	n := 0
	r.BeforeWrite(func() {
		a.Reset()
		n++
		for i := range 50 {
			a.Set(float64(n), fmt.Sprint(i))
		}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				got := text(t, r)
				_, first, _ := strings.Cut(got, `a{of="0"} `)
				first, _, _ = strings.Cut(first, "\n")
				if strings.Count(got, "} "+first+"\n") != 50 {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	all.Wait()
}
