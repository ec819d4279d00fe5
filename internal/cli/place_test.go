package cli

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/dotenv"
)

func TestParsePlace(t *testing.T) {
	const hub, corp = "https://github.com", "https://github.corp.example"
	repository := func(server string) place { return place{server, config.Repository, "acme/app"} }
	for text, want := range map[string]place{
		"acme/app":                                          repository(""),
		"https://github.com/acme/app":                       repository(hub),
		"https://github.com/acme/app/":                      repository(hub),
		"https://github.com/acme/app.git":                   repository(hub),
		"https://github.com/acme/app.git/":                  repository(hub),
		"HTTPS://GitHub.com:443/acme/app":                   repository(hub),
		"http://github.com/acme/app":                        repository(hub),
		"https://www.github.com/acme/app":                   repository(hub),
		"https://api.github.com/repos/acme/app":             repository(hub),
		"github.com/acme/app":                               repository(hub),
		"git@github.com:acme/app.git":                       repository(hub),
		"git@github.com:/acme/app.git":                      repository(hub),
		"github.com:acme/app":                               repository(hub),
		"ssh://git@ssh.github.com:443/acme/app.git":         repository(hub),
		"https://x-access-token:hush@github.com/acme/app":   repository(hub),
		"https://hush@github.corp.example/acme/app":         repository(corp),
		"https://github.corp.example/acme/app":              repository(corp),
		"https://github.corp.example./acme/app":             repository(corp),
		"https://github.corp.example:8443/acme/app/":        repository(corp + ":8443"),
		"github.corp.example:8443/acme/app":                 repository(corp + ":8443"),
		"https://github.corp.example/api/v3/repos/acme/app": repository(corp),
		"git@github.corp.example:acme/app":                  repository(corp),
		"ssh://git@github.corp.example:2222/acme/app.git":   repository(corp),
		"git://github.corp.example/acme/app.git":            repository(corp),
		"https://corp/acme/app":                             repository("https://corp"),
		"https://acme.ghe.com/acme/app":                     repository("https://acme.ghe.com"),
		"http://acme.ghe.com/acme/app":                      repository("https://acme.ghe.com"),
		"https://api.acme.ghe.com/repos/acme/app":           repository("https://acme.ghe.com"),
		"http://127.0.0.1:8080/acme/app":                    repository("http://127.0.0.1:8080"),
		"https://[::1]:8443/acme/app":                       repository("https://[::1]:8443"),
		"https://github.com/acme":                           {hub, config.Organization, "acme"},
		"https://github.com/orgs/acme":                      {hub, config.Organization, "acme"},
		"https://github.com/enterprises/big-corp":           {hub, config.Enterprise, "big-corp"},
		"https://acme.ghe.com/enterprises/acme":             {"https://acme.ghe.com", config.Enterprise, "acme"},
		"acme":                                              {"", config.Organization, "acme"},
		"https://github.corp.example":                       {server: corp},
		"https://github.corp.example/api/v3":                {server: corp},
		"https://api.github.com":                            {server: hub},
	} {
		if got, err := parsePlace(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "/", "https://", "https:///acme/app", "https://github.com/acme/app/settings/actions", "https://github.com/acme/app?tab=hush", "https://github.com/acme/app#hush",
		"http://github.corp.example/acme/app", "ftp://github.com/acme/app", "file:///srv/hush", "git@work:acme/app", "ssh://git@work/acme/app",
		"https://github.com/acme/.git", "https://github.com/acme/..", "https://github.com/-acme/app", "https://github.com/acme%2Fapp", "https://github.com/a b/app",
		"user:hush@github.com/acme/app", "https://hush:x@/acme/app", "https://user:hu%zzsh@github.com/acme/app", "acme/app/more", "https://gitНub.com/acme/app", "git@github.com:acme",
	} {
		got, err := parsePlace(text)
		if err == nil && got.kind == config.Repository || err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// Where one of the files has no room, none is written.
func TestAllFilesOrNone(t *testing.T) {
	c := &changeover{dir: t.TempDir()}
	if err := c.write([]step{{repositoryCopy, []byte("A=1\n")}, {"nowhere/.env", nil}}); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(c.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTranslate(t *testing.T) {
	for text, want := range map[string]string{
		"REPO_URL=https://github.com/acme/app":                                               "GITHUB_REPOSITORY=acme/app",
		"REPO_URL=https://github.corp/acme/app":                                              "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp",
		"REPO_URL=https://github.corp/acme/app GITHUB_SERVER_URL=https://github.corp/":       "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp/",
		"REPO_URL=https://github.corp/acme/app GITHUB_HOST=github.corp":                      "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp",
		"REPO_URL=https://github.corp/acme/app GITHUB_API_URL=https://github.corp/api/v3":    "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp GITHUB_API_URL=https://github.corp/api/v3",
		"GITHUB_HOST=github.corp:8443 GITHUB_REPOSITORY=acme/app":                            "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp:8443",
		"GITHUB_HOST=corp GITHUB_REPOSITORY=acme/app":                                        "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://corp",
		"GITHUB_HOST=https://github.corp/ REPO=acme/app":                                     "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp",
		"GITHUB_HOST=github.com GITHUB_REPOSITORY=acme/app":                                  "GITHUB_REPOSITORY=acme/app",
		"GITHUB_URL=https://acme.ghe.com GITHUB_REPOSITORY=acme/app":                         "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://acme.ghe.com",
		"GITHUB_URL=https://github.corp/acme/app":                                            "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp",
		"GITHUB_REPOSITORY=https://user:hush@github.corp/acme/app.git":                       "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp",
		"RUNNER_REPOSITORY_URL=git@github.corp:acme/app.git ACCESS_TOKEN=a GH_TOKEN=a":       "GITHUB_REPOSITORY=acme/app GITHUB_SERVER_URL=https://github.corp GITHUB_TOKEN=a",
		"REPO_URL= GITHUB_REPOSITORY=acme/app RUNNER_SCOPE=repo GITHUB_TOKEN=a GH_TOKEN=b":   "GITHUB_REPOSITORY=acme/app GITHUB_TOKEN=a",
		"GITHUB_SERVER_URL=https://github.corp GITHUB_API_URL=https://proxy GITHUB_REPO=a/b": "GITHUB_SERVER_URL=https://github.corp GITHUB_API_URL=https://proxy GITHUB_REPOSITORY=a/b",
	} {
		file, err := dotenv.Parse([]byte(strings.ReplaceAll(text, " ", "\n")))
		if err != nil {
			t.Fatal(err)
		}
		err = translate(file)
		got, wanted := file.Environ(), strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, wanted)
		}
	}
	for text, want := range map[string]string{
		"REPO_URL=https://github.com/acme":                                               "GITHUB_ORGANIZATION=acme in its place",
		"REPO_URL=https://github.corp/acme":                                              "GITHUB_ORGANIZATION=acme and GITHUB_SERVER_URL=https://github.corp in",
		"REPO_URL=https://github.corp/enterprises/big":                                   "GITHUB_ENTERPRISE=big and GITHUB_SERVER_URL=https://github.corp",
		"REPO_URL=https://github.com":                                                    "names no repository",
		"REPO=app":                                                                       "write OWNER/app",
		"REPO_URL=http://github.corp/acme/app":                                           "not encrypted",
		"REPO_URL=https://github.corp/acme/app GITHUB_HOST=github.com":                   "remove one",
		"REPO_URL=https://github.corp/acme/app GITHUB_SERVER_URL=https://other.corp":     "remove one",
		"REPO_URL=https://github.com/acme/app GITHUB_SERVER_URL=https://other.corp":      "remove one",
		"REPO_URL=https://github.com/acme/app GITHUB_API_URL=https://github.corp/api/v3": "remove one",
		"REPO_URL=https://github.com/acme/app GITHUB_REPOSITORY=acme/other":              "remove one",
		"GITHUB_HOST=https://user:hush@:x GITHUB_REPOSITORY=acme/app":                    "GITHUB_HOST",
		"REPO_URL=https://github.com/acme/app RUNNER_SCOPE=org":                          "RUNNER_SCOPE is org",
		"REPO_URL=https://github.com/acme/app ACCESS_TOKEN=hush1 GH_TOKEN=hush2":         "remove one",
	} {
		file, err := dotenv.Parse([]byte(strings.ReplaceAll(text, " ", "\n")))
		if err != nil {
			t.Fatal(err)
		}
		if err := translate(file); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// REPO and REPOSITORY mean images and backups too: beside a target of ours they
// stay as they are.
func TestTranslateLeavesEverydayWords(t *testing.T) {
	for _, ours := range []string{"GITHUB_REPOSITORY=acme/app", "GITHUB_ORGANIZATION=acme", "GITHUB_ENTERPRISE=big"} {
		for _, theirs := range []string{
			"REPOSITORY=ghcr.io/acme/app", "REPOSITORY=myimages", "REPO=backup.example.com/restic/x", "REPO=acme/other",
			"REPO=https://gitlab.example.com/acme/app", "REPO=git@gitlab.example.com:acme/app", "REPO= REPOSITORY=a/b/c",
		} {
			file, err := dotenv.Parse([]byte(strings.ReplaceAll(theirs+" "+ours, " ", "\n")))
			if err != nil {
				t.Fatal(err)
			}
			before := string(file.Bytes())
			if err := translate(file); err != nil || string(file.Bytes()) != before {
				t.Errorf("%s %s: %q, %v", theirs, ours, file.Bytes(), err)
			}
		}
	}
}

// The token goes to the server: where a variable can mean another one than
// GitHub's, and its value does not say either, the server stays a person's choice.
func TestTranslateServerInDoubt(t *testing.T) {
	for text, want := range map[string]string{ // the server; "": in doubt
		"REPOSITORY=ghcr.io/acme/app":                                             "",
		"REPO=backup.example.com/restic/x":                                        "",
		"REPO=backup.example.com:restic/x":                                        "",
		"REPO=borg@backup.example.com:restic/x":                                   "",
		"REPO=registry.example:5000/acme/app":                                     "",
		"REPOSITORY_URL=1.dkr.ecr.eu-west-1.amazonaws.com/acme/app":               "",
		"REPO_URL=github.corp/acme/app":                                           "",
		"REPO=github.com/acme/app":                                                "none",
		"REPO=acme.ghe.com/acme/app":                                              "https://acme.ghe.com",
		"REPO=https://github.corp/acme/app":                                       "https://github.corp",
		"REPO=git@github.corp:acme/app":                                           "https://github.corp",
		"REPO_URL=ssh://git@github.corp/acme/app":                                 "https://github.corp",
		"GITHUB_REPO=github.corp/acme/app":                                        "https://github.corp",
		"GH_REPO=github.corp/acme/app":                                            "https://github.corp",
		"GITHUB_REPOSITORY=github.corp/acme/app":                                  "https://github.corp",
		"RUNNER_REPOSITORY_URL=github.corp/acme/app":                              "https://github.corp",
		"REPO=github.corp/acme/app GITHUB_HOST=github.corp":                       "https://github.corp",
		"REPO=github.corp/acme/app GITHUB_SERVER_URL=https://github.corp":         "https://github.corp",
		"REPO_URL=github.corp/acme/app GITHUB_API_URL=https://github.corp/api/v3": "https://github.corp",
	} {
		file, err := dotenv.Parse([]byte(strings.ReplaceAll(text, " ", "\n")))
		if err != nil {
			t.Fatal(err)
		}
		before := string(file.Bytes())
		err = translate(file)
		server := valueOf(file, "GITHUB_SERVER_URL")
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "GITHUB_SERVER_URL yourself") || !strings.Contains(err.Error(), "nothing was changed") || string(file.Bytes()) != before):
			t.Errorf("%s: %q, %v", text, file.Bytes(), err)
		case want != "" && (err != nil || server != strings.TrimPrefix(want, "none")):
			t.Errorf("%s: the server is %q, %v; want %s", text, server, err, want)
		}
	}
}
