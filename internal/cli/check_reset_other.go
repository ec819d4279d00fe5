//go:build !linux

package cli

import "github.com/virtuoso902/org-runner/internal/config"

func checkReset(config.Config) []finding {
	return []finding{skip(onReset, "not checked: a runner's life needs Linux")}
}
