package cli

import (
	"os"
	"strings"

	"github.com/virtuoso902/org-runner/internal/config"
)

// adopt makes the proxies and authorities of a call those of this process, for
// Go's own readers of them: --env-file may name others than the shell, and none
// is one with a line end of Windows.
func (call Invocation) adopt() {
	set := map[string]string{}
	for _, variable := range call.Environ {
		name, value, _ := strings.Cut(variable, "=")
		set[name] = strings.TrimSpace(value)
	}
	for _, v := range config.Passed() {
		if config.IsNetwork(v.Name) && os.Getenv(v.Name) != set[v.Name] {
			_ = os.Setenv(v.Name, set[v.Name])
		}
	}
}
