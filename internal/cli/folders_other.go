//go:build !linux

package cli

import "github.com/virtuoso902/org-runner/internal/config"

func checkFolders(config.Config) finding {
	return skip(onWorkFolder, "not checked: a runner's life needs Linux")
}

func checkSudo(config.Config) []finding { return nil }
