package metrics

import (
	"encoding/json"
	"slices"
)

// kept is one series of a counter or histogram between two processes.
type kept struct {
	Metric string   `json:"metric"`
	Values []string `json:"values"`
	Value  float64  `json:"value"`
	Counts []uint64 `json:"counts,omitempty"`
}

// Keep returns what counters and histograms have counted, for the process that
// comes after this one.
func Keep(families ...*Family) ([]byte, error) {
	all := []kept{}
	for _, f := range families {
		f.registry.mu.Lock()
		for _, s := range f.series {
			all = append(all, kept{f.name, s.values, s.value, slices.Clone(s.counts)})
		}
		f.registry.mu.Unlock()
	}
	return json.Marshal(all)
}

// Resume goes on from what Keep has returned. What does not fit is left out: the
// process before may have been of another version, or the data somebody else's.
func Resume(data []byte, families ...*Family) {
	var all []kept
	if json.Unmarshal(data, &all) != nil {
		return
	}
	for _, k := range all {
		at := slices.IndexFunc(families, func(f *Family) bool { return f.name == k.Metric })
		if at < 0 || k.Value < 0 || len(k.Values) != len(families[at].labels) {
			continue
		}
		f := families[at]
		if histogram := f.kind == "histogram"; histogram != (len(k.Counts) > 0) || histogram && len(k.Counts) != len(f.buckets)+1 {
			continue
		}
		f.registry.mu.Lock()
		s := f.at(k.Values)
		s.value, s.counts = k.Value, k.Counts
		f.registry.mu.Unlock()
	}
}
