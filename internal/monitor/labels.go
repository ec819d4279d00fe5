package monitor

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// labelIndex tells whether there is a set of labels that has all of some others.
// Thousands of jobs may ask it beside thousands of runners: it looks only at the
// sets that have the rarest of the labels, and answers the same question once.
type labelIndex struct {
	sets    []map[string]bool
	having  map[string][]int // the places in sets by label
	answers map[string]int
}

func newLabelIndex() *labelIndex {
	return &labelIndex{having: map[string][]int{}, answers: map[string]int{}}
}

// add adds a set, whose labels are in lower case.
func (x *labelIndex) add(set map[string]bool) {
	for label := range set {
		x.having[label] = append(x.having[label], len(x.sets))
	}
	x.sets = append(x.sets, set)
}

// has tells whether a set has all of these labels, in whatever case and order.
func (x *labelIndex) has(labels []string) bool { return x.first(labels) >= 0 }

// first is the place of the set that was added first of those that have all of
// these labels, or -1.
func (x *labelIndex) first(labels []string) int {
	wanted := make([]string, len(labels))
	for i, l := range labels {
		wanted[i] = strings.ToLower(l)
	}
	slices.Sort(wanted)
	key := strings.Join(wanted, "\x00")
	answer, known := x.answers[key]
	if !known {
		answer = x.find(wanted)
		x.answers[key] = answer
	}
	return answer
}

func (x *labelIndex) find(wanted []string) int {
	if len(wanted) == 0 {
		return min(len(x.sets), 1) - 1
	}
	rarest := slices.MinFunc(wanted, func(a, b string) int { return len(x.having[a]) - len(x.having[b]) })
	for _, i := range x.having[rarest] {
		if !slices.ContainsFunc(wanted, func(label string) bool { return !x.sets[i][label] }) {
			return i
		}
	}
	return -1
}

// offeredLabels is what runners lately have offered.
func (m *Monitor) offeredLabels() *labelIndex {
	x := newLabelIndex()
	for _, o := range m.offers {
		x.add(o.labels)
	}
	return x
}

// idleLabels is what idle runners have, and since when the first of those that have
// the same is idle, the longest time first.
func (m *Monitor) idleLabels() (x *labelIndex, since []time.Time) {
	idle := map[string]register.Runner{}
	for _, r := range m.runners {
		at, is := m.idle[r.ID]
		if !is {
			continue
		}
		key := labelKey(r.Labels)
		if known, found := idle[key]; !found || at.Before(m.idle[known.ID]) {
			idle[key] = r
		}
	}
	list := slices.Collect(maps.Values(idle))
	sortBy(list, func(a, b register.Runner) int { return m.idle[a.ID].Compare(m.idle[b.ID]) })
	x = newLabelIndex()
	for _, r := range list {
		set := make(map[string]bool, len(r.Labels))
		for _, l := range r.Labels {
			set[strings.ToLower(l.Name)] = true
		}
		x.add(set)
		since = append(since, m.idle[r.ID])
	}
	return x, since
}
