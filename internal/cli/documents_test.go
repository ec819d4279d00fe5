package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every command line of ours in the documents is run by a script, as it stands
// there.
func TestEveryCommandOfTheDocumentsIsRun(t *testing.T) {
	script, err := os.ReadFile("testdata/script/documents.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, match := range regexp.MustCompile(`(?m)^(?:exec|code \d+) (org-runner .*)$`).FindAllStringSubmatch(string(script), -1) {
		run = append(run, match[1])
	}
	ours := regexp.MustCompile(`^(?:docker compose exec runner )?(org-runner .*)$`)
	inContainer := regexp.MustCompile(`^docker compose run --rm runner (.*)$`)
	documents, _ := filepath.Glob("../../docs/*.md")
	found := 0
	for _, path := range append(documents, "../../README.md") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		inCode := false
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "```") {
				inCode = !inCode
			}
			if !inCode {
				continue
			}
			line, _, _ = strings.Cut(line, " #")
			command := ""
			if match := ours.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				command = match[1]
			} else if match := inContainer.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				command = "org-runner " + match[1]
			}
			if command == "" {
				continue
			}
			found++
			if !slices.Contains(run, command) {
				t.Errorf("%s: %q is run by no script", filepath.Base(path), command)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found", found)
	}
}
