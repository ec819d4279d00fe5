package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
)

// Who gives an address of his own server in place of a name is told to keep the
// server, and no password in it is shown.
func TestAddressInPlaceOfName(t *testing.T) {
	const corp = "and GITHUB_SERVER_URL to https://github.corp"
	for variable, want := range map[string]string{
		"GITHUB_REPOSITORY=https://github.corp/acme/coach.git":                                   "set it to acme/coach, " + corp,
		"GITHUB_REPOSITORY=https://github.corp:8443/acme/coach":                                  "set it to acme/coach, " + corp + ":8443",
		"GITHUB_REPOSITORY=https://bot:hushhush@github.corp/acme/coach":                          "set it to acme/coach, " + corp,
		"GITHUB_REPOSITORY=git@github.corp:acme/coach.git":                                       "set it to acme/coach, " + corp,
		"GITHUB_REPOSITORY=https://github.com/acme/coach":                                        "set it to acme/coach",
		"GITHUB_ORGANIZATION=https://github.corp/acme":                                           "set it to acme, " + corp,
		"GITHUB_ENTERPRISE=https://acme.ghe.com/enterprises/acme":                                "set it to acme, and GITHUB_SERVER_URL to https://acme.ghe.com",
		"GITHUB_REPOSITORY=https://github.corp/acme/coach GITHUB_SERVER_URL=https://github.corp": "set it to acme/coach",
	} {
		_, err := config.Parse(append(strings.Fields(variable), token), config.ThisMachine())
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Errorf("%s: %v", variable, err)
			continue
		}
		last := problems[len(problems)-1]
		if strings.Contains(err.Error(), "hush") || !strings.Contains(variable, "hush") && last.Remedy != want {
			t.Errorf("%s: %q, want %q", variable, last.Remedy, want)
		}
	}
}
