// Package metrics writes the Prometheus text format (version 0.0.4). The whole of
// the official client would be a third of the program; what is here is counters,
// gauges and histograms with labels, escaped and bounded, because their values
// are what others have named.
package metrics

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// ContentType is what the text is served as.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

const (
	// maxSeries bounds the series of one metric; what comes after is counted
	// under the label value Other. Those that still have their other labels are
	// bounded by as many more.
	maxSeries = 1000
	// maxValue bounds a label's value, in bytes.
	maxValue = 128
)

// Other is the label value of all that came after a metric was full.
const Other = "other"

// Registry holds the metrics in the order in which they were made. It is safe
// for use by several goroutines.
type Registry struct {
	asking sync.Mutex // from what before sets to the text: held without mu, which before wants
	before func()

	mu       sync.Mutex
	families []*Family
}

// Family is a metric with its series.
type Family struct {
	registry         *Registry
	name, help, kind string
	labels           []string
	buckets          []float64 // upper bounds of a histogram
	series           map[string]*series
	fold             fold
	folded           int // series whose folded label is Other
}

// fold is a label that is given up before the others are.
type fold struct {
	at, per int                        // the places of two labels; -1: there is none
	most    int                        // values of the one beside each value of the other
	values  map[string]map[string]bool // those, by the other
}

type series struct {
	values []string
	value  float64  // or a histogram's sum
	counts []uint64 // by bucket, the last for +Inf
}

// BeforeWrite sets a function that brings gauges up to date before each WriteTo.
func (r *Registry) BeforeWrite(f func()) { r.before = f }

// Counter makes a metric that only grows; its name ends in _total.
func (r *Registry) Counter(name, help string, labels ...string) *Family {
	return r.add(name, help, "counter", nil, labels)
}

// Gauge makes a metric that goes up and down.
func (r *Registry) Gauge(name, help string, labels ...string) *Family {
	return r.add(name, help, "gauge", nil, labels)
}

// Histogram makes a metric of observations; buckets are the upper bounds, in
// ascending order and without the infinite one.
func (r *Registry) Histogram(name, help string, buckets []float64, labels ...string) *Family {
	return r.add(name, help, "histogram", buckets, labels)
}

func (r *Registry) add(name, help, kind string, buckets []float64, labels []string) *Family {
	f := &Family{registry: r, name: name, help: help, kind: kind, labels: labels, buckets: buckets, series: map[string]*series{}, fold: fold{at: -1}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.families = append(r.families, f)
	return f
}

// Fold names a label of which others can make many values: when the metric is full
// it becomes Other and the rest of the labels stay. So it does beyond so many values
// beside one value of the label per, unless that is "": then nobody fills the metric
// for the others.
func (f *Family) Fold(label, per string, most int) *Family {
	f.fold = fold{slices.Index(f.labels, label), slices.Index(f.labels, per), most, map[string]map[string]bool{}}
	return f
}

// Add adds to a counter or gauge. The values belong to the labels of the metric,
// in their order.
func (f *Family) Add(n float64, values ...string) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	f.at(values).value += n
}

// Begin makes a series with the value 0, so that its first event is seen as a rise:
// one that is born with it shows none. Half of the bound is kept for series that
// have events.
func (f *Family) Begin(values ...string) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	if len(f.series) < maxSeries/2 {
		f.at(values)
	}
}

// Set sets a gauge, or a counter that is counted elsewhere.
func (f *Family) Set(n float64, values ...string) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	f.at(values).value = n
}

// Max makes a gauge at least n: for one of which several may be counted under Other.
func (f *Family) Max(n float64, values ...string) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	s := f.at(values)
	s.value = max(s.value, n)
}

// Observe adds an observation to a histogram. None is negative, whatever two clocks
// have made of it: a sum that falls looks like a restart.
func (f *Family) Observe(n float64, values ...string) {
	n = max(n, 0)
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	s := f.at(values)
	at, _ := slices.BinarySearch(f.buckets, n)
	s.counts[at]++
	s.value += n
}

// Reset forgets all series: for gauges that are set anew as a whole.
func (f *Family) Reset() {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	clear(f.series)
	clear(f.fold.values)
	f.folded = 0
}

// at finds or makes a series; the lock is held.
func (f *Family) at(values []string) *series {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("metric %s has the labels %v and was given %d values", f.name, f.labels, len(values)))
	}
	bounded := make([]string, len(values))
	for i, value := range values {
		bounded[i] = bound(value)
	}
	for {
		key := strings.Join(bounded, "\xff") // no byte of valid UTF-8
		if s := f.series[key]; s != nil {
			return s
		}
		if f.shorten(bounded) {
			continue
		}
		s := &series{values: bounded}
		if f.kind == "histogram" {
			s.counts = make([]uint64, len(f.buckets)+1)
		}
		f.series[key] = s
		return s
	}
}

// shorten makes Other of a new series' values as long as there is no room for them,
// and takes account of it when there is.
func (f *Family) shorten(values []string) bool {
	isRest := !slices.ContainsFunc(values, func(value string) bool { return value != Other })
	isFolded := f.fold.at >= 0 && values[f.fold.at] == Other
	switch {
	case isRest: // or one without labels
		return false
	case isFolded && f.folded < maxSeries:
		f.folded++
		return false
	case !isFolded && len(f.series)-f.folded < maxSeries && f.fold.hasRoom(values):
		return false
	case !isFolded && f.fold.at >= 0:
		values[f.fold.at] = Other
	default:
		for i := range values {
			values[i] = Other
		}
	}
	return true
}

// hasRoom tells whether a value of the label may be one more, and notes it then.
func (f *fold) hasRoom(values []string) bool {
	if f.at < 0 || f.per < 0 {
		return true
	}
	known := f.values[values[f.per]]
	if !known[values[f.at]] && len(known) >= f.most {
		return false
	}
	if known == nil {
		known = map[string]bool{}
		f.values[values[f.per]] = known
	}
	known[values[f.at]] = true
	return true
}

// bound makes of anything valid UTF-8 of bounded length that does not steer the
// terminal of who looks at it. A line feed stays, it is written as an escape.
func bound(value string) string {
	value = strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r // what is not valid comes as RuneError
	}, value)
	if len(value) <= maxValue {
		return value
	}
	end := maxValue - len("…")
	for !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end] + "…"
}

// WriteTo writes all metrics. They are made whole before the first byte is sent: a
// reader that does not read holds up nobody who counts, and of two that ask at once
// each gets the values of one moment.
func (r *Registry) WriteTo(w io.Writer) (int64, error) {
	text := r.text()
	return text.WriteTo(w)
}

func (r *Registry) text() *bytes.Buffer {
	r.asking.Lock()
	defer r.asking.Unlock()
	if r.before != nil {
		r.before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &bytes.Buffer{}
	for _, f := range r.families {
		f.write(out)
	}
	return out
}

func (f *Family) write(out *bytes.Buffer) {
	// Also one without a series is named: who writes an alert finds it.
	fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, helpEscapes.Replace(f.help), f.name, f.kind)
	all := make([]*series, 0, len(f.series))
	for _, s := range f.series {
		all = append(all, s)
	}
	sort.Slice(all, func(i, k int) bool { return slices.Compare(all[i].values, all[k].values) < 0 })
	for _, s := range all {
		if f.kind != "histogram" {
			f.line(out, "", s.values, "", s.value)
			continue
		}
		var total uint64
		for i, n := range s.counts {
			total += n
			upper := math.Inf(1)
			if i < len(f.buckets) {
				upper = f.buckets[i]
			}
			f.line(out, "_bucket", s.values, number(upper), float64(total))
		}
		f.line(out, "_sum", s.values, "", s.value)
		f.line(out, "_count", s.values, "", float64(total))
	}
}

// line writes one sample; upper is a bucket's bound, or "".
func (f *Family) line(out *bytes.Buffer, suffix string, values []string, upper string, n float64) {
	out.WriteString(f.name + suffix)
	separator := "{"
	for i, label := range f.labels {
		out.WriteString(separator + label + `="` + valueEscapes.Replace(values[i]) + `"`)
		separator = ","
	}
	if upper != "" {
		out.WriteString(separator + `le="` + upper + `"`)
		separator = ","
	}
	if separator == "," {
		out.WriteByte('}')
	}
	out.WriteString(" " + number(n) + "\n")
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	valueEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func number(n float64) string {
	switch {
	case math.IsInf(n, 1):
		return "+Inf"
	case math.IsInf(n, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}
