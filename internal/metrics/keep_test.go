package metrics

import (
	"strings"
	"testing"
)

func text(t *testing.T, r *Registry) string {
	t.Helper()
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A second registry goes on where the first has ended, and takes nothing that is
// not of its form.
func TestKeepAndResume(t *testing.T) {
	make := func() (*Registry, *Family, *Family) {
		r := &Registry{}
		return r, r.Counter("jobs_total", "Jobs.", "repository"), r.Histogram("took_seconds", "How long.", []float64{1, 10}, "repository")
	}
	first, jobs, took := make()
	jobs.Add(2, `acme/"coach"`)
	took.Observe(5, "acme/coach")
	data, err := Keep(jobs, took)
	if err != nil {
		t.Fatal(err)
	}
	second, jobs, took := make()
	Resume(data, jobs, took)
	if want := text(t, first); text(t, second) != want {
		t.Errorf("resumed:\n%swant:\n%s", text(t, second), want)
	}
	jobs.Add(1, `acme/"coach"`)
	took.Observe(100, "acme/coach")
	if got := text(t, second); !strings.Contains(got, `jobs_total{repository="acme/\"coach\""} 3`) || !strings.Contains(got, `took_seconds_count{repository="acme/coach"} 2`) {
		t.Errorf("it does not go on:\n%s", got)
	}
	third, jobs, took := make()
	for _, foreign := range []string{"", "null", "{}", `[{"metric":"jobs_total","values":[],"value":1}]`, `[{"metric":"other","values":["a"],"value":1}]`, `[{"metric":"jobs_total","values":["a"],"value":-1}]`,
		`[{"metric":"took_seconds","values":["a"],"value":1,"counts":[1]}]`, `[{"metric":"took_seconds","values":["a"],"value":1}]`, `[{"metric":"jobs_total","values":["a"],"value":1,"counts":[1,2,3]}]`} {
		Resume([]byte(foreign), jobs, took)
	}
	if got := text(t, third); strings.Contains(got, "{") {
		t.Errorf("taken from foreign data:\n%s", got)
	}
}
