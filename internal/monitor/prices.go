package monitor

import (
	_ "embed"
	"encoding/json"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

//go:embed prices.json
var pricesFile []byte

// priceList is what GitHub charges for its own runners, as of a date.
type priceList struct {
	Date, Source string
	Lines        []price
	cores        int
}

// price is one line of the list. A standard runner is what runs-on: ubuntu-latest
// and the like get; it is free for public repositories, the larger ones are not.
type price struct {
	SKU, Name, OS, Arch string
	Cores               int
	USD                 float64 `json:"usd_per_minute"`
	Standard            bool
}

// loadPrices reads the embedded list, to compare with runners of so many cores.
func loadPrices(cores int) priceList {
	list := priceList{cores: cores}
	if err := json.Unmarshal(pricesFile, &list); err != nil {
		panic(err) // the file is a part of the program, and a test reads it
	}
	return list
}

// of is the line that a job on such a system would have been charged by: the one
// of as many cores, or the standard runner where there is none.
func (l *priceList) of(s system) price {
	var standard price
	for _, p := range l.Lines {
		if p.OS != s.os || p.Arch != "" && p.Arch != s.arch && s.os != "macos" {
			continue
		}
		if p.Cores == l.cores && !p.Standard {
			return p
		}
		if p.Standard {
			standard = p
		}
	}
	return standard
}

// minutes is a job's time as GitHub charges it: rounded up to whole minutes, and one
// for a job that has ended in the second in which it began.
func minutes(d time.Duration) int { return max(1, int((d+time.Minute-1)/time.Minute)) }

// system is what a price depends on.
type system struct{ os, arch string }

func (s system) String() string { return s.os + "/" + s.arch }

func parseSystem(text string) system {
	os, arch, _ := strings.Cut(text, "/")
	return system{os, arch}
}

// systemOf is a runner's system; ok is false until it has connected, for before
// that GitHub calls every just-in-time runner a Windows one.
func systemOf(r register.Runner) (s system, ok bool) {
	names := make([]string, len(r.Labels))
	for i, l := range r.Labels {
		names[i] = l.Name
	}
	s = systemOfLabels(names)
	switch os := strings.ToLower(r.OS); os {
	case "linux", "windows", "macos":
		s.os = os
	case "osx", "darwin":
		s.os = "macos"
	}
	return s, r.Version != nil || r.Status == "online"
}

// systemOfLabels guesses from what labels say; Linux on x64 if they say nothing.
func systemOfLabels(labels []string) system {
	s := system{"linux", "x64"}
	for _, l := range labels {
		switch l = strings.ToLower(l); l {
		case "linux", "windows", "macos":
			s.os = l
		case "x64", "arm64":
			s.arch = l
		}
	}
	return s
}
