package config_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
)

func TestMonitorHosts(t *testing.T) {
	c := parse(t, token, organization, "MONITOR_HOSTS=monitor, CI.example.com. ,192.0.2.7,[2001:DB8::7],::ffff:192.0.2.8,")
	if want := []string{"monitor", "ci.example.com", "192.0.2.7", "2001:db8::7", "192.0.2.8"}; !slices.Equal(c.MonitorHosts, want) {
		t.Errorf("%q, want %q", c.MonitorHosts, want)
	}
	if c := parse(t, token, organization); len(c.MonitorHosts) > 0 {
		t.Errorf("unset: %q", c.MonitorHosts)
	}
	for _, value := range []string{"https://ci.example.com", "ci.example.com:9300", "*", "*.example.com", "ci.example.com/path", "a b", "a..b", "[::1]:9300", "[ci]", "ci.example.com,u@h"} {
		_, err := config.Parse([]string{token, organization, "MONITOR_HOSTS=" + value}, config.ThisMachine())
		var problems config.Problems
		if !errors.As(err, &problems) || problems[0].Variable != "MONITOR_HOSTS" || problems[0].Remedy == "" {
			t.Errorf("%s: %v", value, err)
		}
	}
}
