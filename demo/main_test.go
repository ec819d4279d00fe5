//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func leftovers(t *testing.T) map[string]bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "org-runner-demo*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, path := range found {
		all[path] = true
	}
	return all
}

func TestDemo(t *testing.T) {
	before := leftovers(t)
	var out strings.Builder
	if err := run(context.Background(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"coach", "mcp", "personal", "Runners left on GitHub: 0", "docker compose up"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out.String())
		}
	}
	for path := range leftovers(t) {
		if !before[path] {
			t.Errorf("%s is left", path)
		}
	}
}

// writes calls f with what is written.
type writes func(string)

func (f writes) Write(p []byte) (int, error) { f(string(p)); return len(p), nil }

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	before := leftovers(t)
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	err := run(ctx, writes(func(text string) {
		if strings.HasPrefix(text, "2.") {
			interrupt()
		}
	}))
	if err == nil {
		t.Error("an interrupted demo says that all went well")
	}
	for path := range leftovers(t) {
		if !before[path] {
			t.Errorf("%s is left", path)
		}
	}
}
