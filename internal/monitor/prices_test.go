package monitor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

func TestPrices(t *testing.T) {
	for _, test := range []struct {
		cores  int
		system system
		sku    string
		usd    float64
	}{
		{2, system{"linux", "x64"}, "actions_linux", 0.006},
		{2, system{"linux", "arm64"}, "actions_linux_arm", 0.005},
		{2, system{"windows", "x64"}, "actions_windows", 0.010},
		{2, system{"macos", "arm64"}, "actions_macos", 0.062},
		{8, system{"linux", "x64"}, "linux_8_core", 0.022},
		{8, system{"linux", "arm64"}, "linux_8_core_arm", 0.014},
		{64, system{"windows", "arm64"}, "windows_64_core_arm", 0.194},
		{12, system{"macos", "x64"}, "macos_l", 0.077},
		{5, system{"linux", "x64"}, "actions_linux", 0.006}, // there is none of 5
	} {
		list := loadPrices(test.cores)
		if p := list.of(test.system); p.SKU != test.sku || p.USD != test.usd {
			t.Errorf("%d cores of %s: %+v", test.cores, test.system, p)
		}
	}
	list := loadPrices(2)
	if _, err := time.Parse(time.DateOnly, list.Date); err != nil || !strings.HasPrefix(list.Source, "https://docs.github.com/") {
		t.Errorf("%s of %s", list.Date, list.Source)
	}
	for i, p := range list.Lines {
		if p.SKU == "" || p.Name == "" || p.USD <= 0 || p.Cores == 0 || slices.ContainsFunc(list.Lines[:i], func(o price) bool { return o.SKU == p.SKU }) {
			t.Errorf("%+v", p)
		}
	}
}

func TestMinutes(t *testing.T) {
	for took, want := range map[time.Duration]int{-time.Second: 1, 0: 1, time.Second: 1, time.Minute: 1, 61 * time.Second: 2, time.Hour: 60} {
		if got := minutes(took); got != want {
			t.Errorf("%s: %d minutes, want %d", took, got, want)
		}
	}
}

func TestSystemOf(t *testing.T) {
	for _, test := range []struct {
		runner register.Runner
		want   system
		sure   bool
	}{
		{register.Runner{OS: "Linux", Status: "online", Labels: []register.Label{{Name: "ARM64"}}}, system{"linux", "arm64"}, true},
		{register.Runner{OS: "osx", Version: ptr("2.336.0")}, system{"macos", "x64"}, true},
		{register.Runner{OS: "windows", Status: "offline"}, system{"windows", "x64"}, false},
		{register.Runner{OS: "unknown", Status: "offline", Labels: []register.Label{{Name: "Windows"}}}, system{"windows", "x64"}, false},
	} {
		if got, sure := systemOf(test.runner); got != test.want || sure != test.sure {
			t.Errorf("%+v: %v %t", test.runner, got, sure)
		}
	}
	if s := parseSystem(system{"linux", "arm64"}.String()); s != (system{"linux", "arm64"}) {
		t.Errorf("%v", s)
	}
}

func TestPercentiles(t *testing.T) {
	if p := times(nil).percentiles(); p != nil {
		t.Errorf("of nothing: %+v", p)
	}
	var hundred times
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	if p := hundred.percentiles(); *p != (Percentiles{100, 50, 95, 99, 100}) {
		t.Errorf("%+v", p)
	}
	if p := (times{3}).percentiles(); *p != (Percentiles{1, 3, 3, 3, 3}) {
		t.Errorf("%+v", p)
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"2.9.0", "2.99.1", "2.335.0", "2.335.1", "2.336.0", "3.0.0"}
	for i := range sorted {
		for j := range sorted {
			if c := compareVersions(sorted[i], sorted[j]); (c < 0) != (i < j) || (c == 0) != (i == j) {
				t.Errorf("%s and %s: %d", sorted[i], sorted[j], c)
			}
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain name": "plain name", "zwei Wörter": "zwei Wörter", "a\x1b[31mb": "a [31mb", "broken \xff": "broken \uFFFD", "\n x \t": "x",
		"left\u202eright": "left right", strings.Repeat("x", 500): strings.Repeat("x", longestName-1) + "…",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for text, ok := range map[string]bool{"https://github.com/acme": true, "http://ghes": true, "javascript:alert(1)": false, "//x": false, "data:text/html,x": false, "": false} {
		if (address(text) == text && text != "") != ok {
			t.Errorf("%s: %t", text, !ok)
		}
	}
}
