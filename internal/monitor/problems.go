package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const (
	mostProblems = 50 // bounds what is remembered of what went wrong
	soon         = 7  // days in which a version's end is a problem
)

// problem notes that something went wrong now; the state is locked.
func (m *Monitor) problem(kind, what, remedy, url string) {
	now := m.now()
	if m.problemAt(now, kind, what, remedy, url) {
		m.options.Log.Warn().Str("kind", kind).Str("remedy", remedy).Msg(what)
	}
}

// problemAt notes that something went wrong; the same once more is counted. isNew
// is false for that.
func (m *Monitor) problemAt(at time.Time, kind, what, remedy, url string) (isNew bool) {
	for _, p := range m.problems {
		if p.Kind == kind && p.What == what {
			p.Count++
			if at.After(p.Time) {
				p.Time, p.URL = at, url
			}
			return false
		}
	}
	if len(m.problems) >= mostProblems {
		oldest := slices.MinFunc(m.problems, func(a, b *Problem) int { return a.Time.Compare(b.Time) })
		m.problems = slices.DeleteFunc(m.problems, func(p *Problem) bool { return p == oldest })
	}
	m.problems = append(m.problems, &Problem{Time: at.UTC(), Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1})
	return true
}

// notAdmitted is how long a job may wait beside idle runners that have its labels:
// GitHub hands jobs out within seconds, the list of runners is that old.
const notAdmitted = 3 * time.Minute

// describeNotAdmitted names repositories whose jobs wait although runners with
// their labels are idle: then it is the group that keeps them apart.
func (m *Monitor) describeNotAdmitted(o *Overview, add func(since time.Time, kind, what, remedy, url string)) {
	if o.Queue == nil || o.Runners == nil || o.Runners.Idle == 0 {
		return
	}
	told := map[string]bool{}
	for _, j := range o.Queue.Jobs {
		if told[j.Repository] || o.Runners.AsOf.Sub(j.Since) < notAdmitted || !m.hasIdle(j.Labels) {
			continue
		}
		told[j.Repository] = true
		why := "the runner group does not admit the repository, or not this workflow"
		if r := m.repositories[j.Repository]; r != nil && r.private != nil && !*r.private {
			why = "the repository is public, and the runner group does not admit public ones"
		}
		add(j.Since, "group", clean("jobs of "+j.Repository+" wait while runners that have their labels are idle"), why+": see the organization's Settings, Actions, Runner groups", j.URL)
	}
}

// hasIdle tells whether a runner is idle that has all of these labels.
func (m *Monitor) hasIdle(labels []string) bool {
	return slices.ContainsFunc(m.runners, func(r register.Runner) bool {
		return !r.Busy && r.Status == "online" && !slices.ContainsFunc(labels, func(wanted string) bool {
			return !slices.ContainsFunc(r.Labels, func(has register.Label) bool { return strings.EqualFold(has.Name, wanted) })
		})
	})
}

// describeProblems is what is wrong now, and what went wrong.
func (m *Monitor) describeProblems(o *Overview) {
	now := o.GeneratedAt
	add := func(since time.Time, kind, what, remedy, url string) {
		o.Problems = append(o.Problems, Problem{Time: since, Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1, Now: true})
	}
	if o.Queue != nil && o.Runners != nil && o.Queue.Total > 0 && o.Runners.Idle+o.Runners.Busy == 0 {
		add(*o.Queue.OldestSince, "labels", fmt.Sprintf("%d jobs wait and no runner is online", o.Queue.Total), "docker compose ps and logs tell why; docker compose up -d starts them", "")
	} else if o.Queue != nil {
		told := map[string]bool{}
		for _, j := range o.Queue.Jobs {
			labels := strings.Join(j.Labels, ", ")
			if j.Stuck == nil || !*j.Stuck || told[labels] || len(told) == 10 {
				continue
			}
			told[labels] = true
			add(j.Since, "labels", clean("no runner has the labels that "+j.Job+" of "+j.Repository+" asks for: "+labels), "correct runs-on in the workflow, or LABELS of the runners", j.URL)
		}
	}
	m.describeNotAdmitted(o, add)
	if o.Versions != nil {
		for _, v := range o.Versions.InUse {
			if v.DaysLeft != nil && *v.DaysLeft <= soon {
				what := fmt.Sprintf("GitHub refuses version %s, which %d runners have, in %d days", v.Version, v.Runners, *v.DaysLeft)
				if *v.DaysLeft < 0 {
					what = fmt.Sprintf("GitHub refuses version %s, which %d runners have", v.Version, v.Runners)
				}
				add(now, "version", what, "docker compose build --pull, then docker compose up -d --force-recreate", "")
			}
		}
	}
	for _, p := range m.problems {
		v := *p
		v.Now = m.isNow(p)
		o.Problems = append(o.Problems, v)
	}
	sortBy(o.Problems, func(a, b Problem) int {
		if a.Now != b.Now {
			if a.Now {
				return -1
			}
			return 1
		}
		return b.Time.Compare(a.Time)
	})
}

// isNow tells whether a problem that was noted lasts.
func (m *Monitor) isNow(p *Problem) bool {
	switch p.Kind {
	case "github":
		return m.failing != nil && p.What == problemText(m.failing)
	case "store":
		return p.What == m.records.trouble
	}
	return false
}
