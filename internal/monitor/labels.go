package monitor

import (
	"slices"
	"strings"
)

// labelIndex tells whether there is a set of labels that has all of some others.
// Thousands of jobs may ask it beside thousands of runners: it looks only at the
// sets that have the rarest of the labels, and answers the same question once.
type labelIndex struct {
	sets    []map[string]bool
	having  map[string][]int // the places in sets by label
	answers map[string]bool
}

func newLabelIndex() *labelIndex {
	return &labelIndex{having: map[string][]int{}, answers: map[string]bool{}}
}

// add adds a set, whose labels are in lower case.
func (x *labelIndex) add(set map[string]bool) {
	for label := range set {
		x.having[label] = append(x.having[label], len(x.sets))
	}
	x.sets = append(x.sets, set)
}

// has tells whether a set has all of these labels, in whatever case and order.
func (x *labelIndex) has(labels []string) bool {
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

func (x *labelIndex) find(wanted []string) bool {
	if len(wanted) == 0 {
		return len(x.sets) > 0
	}
	rarest := slices.MinFunc(wanted, func(a, b string) int { return len(x.having[a]) - len(x.having[b]) })
	return slices.ContainsFunc(x.having[rarest], func(i int) bool {
		return !slices.ContainsFunc(wanted, func(label string) bool { return !x.sets[i][label] })
	})
}

// offeredLabels is what runners lately have offered.
func (m *Monitor) offeredLabels() *labelIndex {
	x := newLabelIndex()
	for _, o := range m.offers {
		x.add(o.labels)
	}
	return x
}

// idleLabels is what idle runners have.
func (m *Monitor) idleLabels() *labelIndex {
	x, known := newLabelIndex(), map[string]bool{}
	for _, r := range m.runners {
		key := labelKey(r.Labels)
		if state(r.Busy, r.Status) != "idle" || known[key] {
			continue
		}
		known[key] = true
		set := make(map[string]bool, len(r.Labels))
		for _, l := range r.Labels {
			set[strings.ToLower(l.Name)] = true
		}
		x.add(set)
	}
	return x
}
