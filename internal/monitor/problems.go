package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"
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
// is false for that, and for what there is no room for, since all that is noted
// lasts: it is noted at its next time. A store's has none, and is always noted.
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
	if len(m.problems) >= mostProblems && !m.forgetProblem() && kind != "store" {
		return false
	}
	m.problems = append(m.problems, &Problem{Time: at.UTC(), Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1})
	return true
}

// forgetProblem makes room for another one: the oldest goes of those that do not
// last. What lasts is noted only once, and jobs can make as many others as they like.
func (m *Monitor) forgetProblem() (found bool) {
	var oldest *Problem
	for _, p := range m.problems {
		if (oldest == nil || p.Time.Before(oldest.Time)) && !m.isNow(p) {
			oldest = p
		}
	}
	m.problems = slices.DeleteFunc(m.problems, func(p *Problem) bool { return p == oldest })
	return oldest != nil
}

// notAdmitted is how long a job may wait beside an idle runner that has its labels:
// GitHub hands jobs out within seconds, the list of runners is that old.
const notAdmitted = 3 * time.Minute

// patience is the same where the list of runners is seldom read: in three lists one
// after the other a runner is idle that has no job, and not one that is between two.
func (m *Monitor) patience() time.Duration { return max(notAdmitted, 2*m.runnersGap) }

// describeProblems is what is wrong now, and what went wrong.
func (m *Monitor) describeProblems(o *Overview) {
	switch {
	case o.Runners != nil && o.Runners.StaleSince != nil:
		if o.StaleSince == nil { // else there is a larger one
			o.isWrong(o.Runners.StaleSince, "github", "the list of runners is of "+o.Runners.AsOf.Format("2 January 15:04 UTC"), "it is read again when GitHub answers for it and the budget allows: --calls-per-hour gives more", "")
		}
	case o.Queue == nil || o.Runners == nil || o.Queue.Total == 0:
	case o.Runners.Idle+o.Runners.Busy == 0:
		count := fmt.Sprintf("%d jobs wait", o.Queue.Total)
		if o.Queue.UnknownRepositories > 0 {
			count = "at least " + count
		}
		o.isWrong(o.Queue.OldestSince, "labels", count+" and no runner is online", "docker compose ps and logs tell why; docker compose up -d starts them", "")
	default:
		o.describeStuck()
		m.describeNotAdmitted(o)
	}
	o.describeRefused()
	o.storeOK = m.history.err == nil
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

// isWrong adds what is wrong since a time, or since just now.
func (o *Overview) isWrong(since *time.Time, kind, what, remedy, url string) {
	if since == nil {
		since = &o.GeneratedAt
	}
	o.Problems = append(o.Problems, Problem{Time: *since, Kind: kind, What: what, Remedy: remedy, URL: url, Count: 1, Now: true})
}

// describeStuck names the labels that no runner has.
func (o *Overview) describeStuck() {
	told := map[string]bool{}
	for _, j := range o.Queue.Jobs {
		if j.Stuck == nil || !*j.Stuck || len(told) == 10 {
			continue
		}
		labels := strings.Join(j.Labels, ", ")
		if told[labels] {
			continue
		}
		told[labels] = true
		o.isWrong(j.Since, "labels", clean("no runner has the labels that "+j.Job+" of "+j.Repository+" asks for: "+labels), "correct runs-on in the workflow, or LABELS of the runners", j.URL)
	}
}

// describeNotAdmitted names repositories whose jobs wait although a runner with
// their labels has been idle all the while: then it is the group that keeps them
// apart. A runner that is idle only now may be the next one's, and a job of which
// there was no news since may have begun.
func (m *Monitor) describeNotAdmitted(o *Overview) {
	idle, since := m.idleLabels()
	patience, told := m.patience(), map[string]bool{}
	for _, j := range o.Queue.Jobs {
		if told[j.Repository] || j.Since == nil {
			continue
		}
		runner := idle.first(j.Labels)
		if runner < 0 || earliest(j.seen, o.Runners.AsOf).Sub(latest(*j.Since, since[runner])) < patience {
			continue
		}
		told[j.Repository] = true
		why := "the runner group does not admit the repository, or not this workflow"
		if r := m.repositories[j.Repository]; r != nil && r.private != nil && !*r.private {
			why = "the repository is public, and the runner group does not admit public ones"
		}
		o.isWrong(j.Since, "group", clean("jobs of "+j.Repository+" wait while runners that have their labels are idle"), why+": see the organization's Settings, Actions, Runner groups", j.URL)
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// describeRefused names versions in use that GitHub refuses, or soon will.
func (o *Overview) describeRefused() {
	if o.Versions == nil {
		return
	}
	for _, v := range o.Versions.InUse {
		if v.DaysLeft == nil || *v.DaysLeft > soon {
			continue
		}
		what := fmt.Sprintf("GitHub refuses version %s, which %d runners have, in %d days", v.Version, v.Runners, *v.DaysLeft)
		if *v.DaysLeft < 0 {
			what = fmt.Sprintf("GitHub refuses version %s, which %d runners have", v.Version, v.Runners)
		}
		o.isWrong(nil, "version", what, "docker compose build --pull, then docker compose up -d --force-recreate", "")
	}
}

// lasting notes what is wrong with a file once for as long as it is the same; the
// state is locked, and what is "" when nothing is wrong.
func (m *Monitor) lasting(now *string, what, remedy string) {
	before := *now
	if *now = what; what != "" && what != before {
		m.problem("store", what, remedy, "")
	}
}

// isNow tells whether a problem that was noted lasts.
func (m *Monitor) isNow(p *Problem) bool {
	switch p.Kind {
	case "github":
		return m.failsNow(p.What)
	case "store":
		return p.What == m.records.trouble || p.What == m.history.trouble
	}
	return false
}
