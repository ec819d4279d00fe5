package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

// told is one judgement that is expected: its result and a part of its text.
type told struct {
	result verdict
	text   string
}

func expect(t *testing.T, what string, got []finding, want ...told) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d findings, want %d: %+v", what, len(got), len(want), got)
		return
	}
	for i, f := range got {
		if f.Result != want[i].result || !strings.Contains(f.Detail, want[i].text) {
			t.Errorf("%s: %s %q, want %s and %q", what, f.Result, f.Detail, want[i].result, want[i].text)
		}
		if (f.Result == bad || f.Result == doubt) && f.Remedy == "" {
			t.Errorf("%s: %q comes without a remedy", what, f.Detail)
		}
	}
}

func TestJudgeCaller(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	organization, repository := config.Target{Kind: config.Organization, Name: "acme"}, config.Target{Kind: config.Repository, Name: "acme/coach"}
	app := func(permissions map[string]string) register.Caller {
		return register.Caller{Kind: "App", Login: "fleet-app", Permissions: permissions}
	}
	for _, row := range []struct {
		what   string
		target config.Target
		caller register.Caller
		want   told
	}{
		{"classic", organization, register.Caller{Kind: "classic token", Login: "operator", Scopes: []string{"admin:org"}}, told{good, "of operator with the scopes admin:org"}},
		{"no scope", organization, register.Caller{Kind: "classic token", Login: "operator"}, told{good, "without any scope"}},
		{"fine-grained", organization, register.Caller{Kind: "fine-grained token", Login: "operator"}, told{good, `the organization permission "Self-hosted runners"`}},
		{"fine-grained of a repository", repository, register.Caller{Kind: "fine-grained token", Login: "operator"}, told{good, `the repository permission "Administration"`}},
		{"App that may", organization, app(map[string]string{"organization_self_hosted_runners": "write"}), told{good, "App fleet-app"}},
		{"App that may only read", organization, app(map[string]string{"organization_self_hosted_runners": "read"}), told{bad, `lacks the organization permission "Self-hosted runners"`}},
		{"App for organizations, at a repository", repository, app(map[string]string{"organization_self_hosted_runners": "write"}), told{bad, `the repository permission "Administration"`}},
		{"App of a server that names no permissions", organization, app(nil), told{good, "App fleet-app"}},
		{"ends soon", organization, register.Caller{Kind: "classic token", Expires: now.Add(49 * time.Hour)}, told{doubt, "good for 2d"}},
		{"ends later", organization, register.Caller{Kind: "classic token", Expires: now.Add(90 * 24 * time.Hour)}, told{good, "good until 2027-01-30"}},
	} {
		f := judgeCaller(row.target, row.caller, now)
		expect(t, row.what, []finding{f}, row.want)
		if f.Result == bad && f.code != exitCredentials {
			t.Errorf("%s: exit code %d", row.what, f.code)
		}
	}
}

func TestJudgeClock(t *testing.T) {
	for _, row := range []struct {
		ahead time.Duration
		app   bool
		want  told
	}{
		{900 * time.Millisecond, false, told{good, "as GitHub's"}},
		{-29 * time.Second, true, told{good, "as GitHub's"}},
		{40 * time.Second, true, told{doubt, "40s ahead of"}},
		{-time.Hour, false, told{doubt, "1h0m0s behind"}},
		{time.Minute, true, told{bad, "1m0s ahead of"}},
		{-7 * time.Minute, true, told{doubt, "7m0s behind"}},
		{-8 * time.Minute, true, told{bad, "8m0s behind"}},
	} {
		expect(t, row.ahead.String(), []finding{judgeClock(row.ahead, row.app)}, row.want)
	}
}

func TestJudgeVersion(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	in := func(days int) *time.Time {
		at := now.AddDate(0, 0, days)
		return &at
	}
	for _, row := range []struct {
		ours, newest string
		dates        register.Deprecation
		pinned       bool
		want         told
	}{
		{"2.336.0", "2.336.0", register.Deprecation{}, false, told{good, "the newest"}},
		{"2.337.0", "2.336.0", register.Deprecation{}, false, told{good, "GitHub's newest is 2.336.0"}},
		{"2.336.0", "", register.Deprecation{}, false, told{good, "does not tell the newest"}},
		{"2.333.1", "2.336.0", register.Deprecation{}, false, told{doubt, "3 versions behind the newest, 2.336.0: each container updates itself"}},
		{"2.336.0", "2.336.2", register.Deprecation{}, true, told{doubt, "1 version behind the newest, 2.336.2, and DISABLE_AUTO_UPDATE"}},
		{"2.336.0", "3.0.0", register.Deprecation{}, false, told{doubt, "a major version behind"}},
		{"2.330.0", "2.336.0", register.Deprecation{Registration: in(90), Runtime: in(120)}, false, told{doubt, "6 versions behind"}},
		{"2.330.0", "2.336.0", register.Deprecation{Registration: in(90), Runtime: in(7)}, false, told{doubt, "from 2026-11-08 on"}},
		{"2.330.0", "2.336.0", register.Deprecation{Registration: in(0), Runtime: in(90)}, false, told{bad, "since 2026-11-01"}},
	} {
		expect(t, row.ours+" of "+row.newest, []finding{judgeVersion(row.ours, row.newest, row.dates, row.pinned, now)}, row.want)
	}
}

func TestJudgeLimitRoomAndFolder(t *testing.T) {
	const gib = 1 << 30
	expect(t, "limits", []finding{
		judgeLimit(register.RateLimit{}),
		judgeLimit(register.RateLimit{Limit: 5000, Remaining: 500}),
		judgeLimit(register.RateLimit{Limit: 5000, Remaining: 499, Reset: time.Date(2026, 11, 1, 12, 30, 0, 0, time.UTC)}),
	}, told{skipped, "tells none"}, told{good, "500 of 5000"}, told{doubt, "until 12:30:00 UTC"})
	expect(t, "room", []finding{judgeRoom(50*gib, 100*gib), judgeRoom(4*gib, 100*gib), judgeRoom(2*gib-1, 3*gib)},
		told{good, "50.0 GiB of 100.0 GiB"}, told{doubt, "4.0 GiB of 100.0 GiB"}, told{doubt, "2.0 GiB of 3.0 GiB"})
	expect(t, "folder", []finding{judgeFolder("/r", nil, false), judgeFolder("/r", parts, false), judgeFolder("/r", parts, true), judgeFolder("/r", parts[1:2], false)},
		told{good, "complete"}, told{skipped, "not in the container"}, told{bad, "/r lacks config.sh, run.sh"}, told{bad, "/r lacks run.sh"})
}

func TestJudgeGroupAndRepositories(t *testing.T) {
	repository := func(name string, private bool) register.RepositoryInfo {
		return register.RepositoryInfo{FullName: name, Private: private}
	}
	coach, mcp, site := repository("acme/coach", true), repository("acme/mcp", true), repository("acme/site", false)
	selected, all := &register.Group{Name: "Trusted", Visibility: "selected"}, &register.Group{Name: "Default", Visibility: "all"}
	open := &register.Group{Name: "Open", Visibility: "all", AllowsPublic: true}
	openSelected := &register.Group{Name: "Open", Visibility: "selected", AllowsPublic: true}
	some := func(of ...register.RepositoryInfo) []register.RepositoryInfo { return of }
	hidden := &register.Error{Kind: register.ErrCredentials, Status: 403, Remedy: "the App needs a permission"}
	for _, row := range []struct {
		what         string
		c            circle
		group        []told
		repositories []told
	}{
		{"none there", circle{groups: []string{"Default"}}, []told{{bad, `no runner group "Trusted"`}}, []told{{good, "all that may"}}},
		{"group and list agree", circle{group: selected, admitted: some(coach, mcp), known: some(coach, mcp), allowed: config.AllowOnly("acme/coach", "acme/mcp")},
			[]told{{good, "Trusted admits 2 repositories"}}, []told{{good, "acme/coach, acme/mcp"}}},
		{"both miss one", circle{group: selected, admitted: some(coach), known: some(mcp), allowed: config.AllowOnly("acme/mcp")},
			[]told{{good, "admits 1 repository"}, {doubt, "acme/mcp of ALLOWED_REPOSITORIES is not admitted"}, {doubt, "acme/coach is admitted"}}, []told{{good, "acme/mcp"}}},
		{"admits nothing", circle{group: selected}, []told{{doubt, "will get no job"}}, []told{{good, ""}}},
		{"admits all", circle{group: all}, []told{{good, "Default admits all repositories"}}, []told{{good, ""}}},
		{"public, and no public admitted", circle{group: all, known: some(site), allowed: config.AllowOnly("acme/site")},
			[]told{{good, ""}, {doubt, "acme/site is public"}}, []told{{good, "acme/site"}}},
		{"public admitted", circle{group: open}, []told{{good, ""}, {doubt, "Open admits public repositories: "}}, []told{{good, ""}}},
		{"public admitted, private ones allowed", circle{group: open, known: some(coach), allowed: config.AllowOnly("acme/coach")}, []told{{good, ""}}, []told{{good, "acme/coach"}}},
		{"public admitted, and one there", circle{group: openSelected, admitted: some(site, coach)},
			[]told{{good, ""}, {doubt, "Open admits public repositories, and acme/site is one"}}, []told{{good, ""}}},
		{"group not to be seen", circle{groupErr: hidden}, []told{{skipped, "the App needs a permission"}}, []told{{good, ""}}},
		{"another owner's, a pattern, a typo", circle{group: all, missing: []string{"acme/tool-*", "acme/typo", "other/coach"}, allowed: config.AllowOnly("acme/tool-*", "acme/typo", "other/coach")},
			[]told{{good, ""}}, []told{{doubt, "fits no repository"}, {doubt, "acme/typo does not exist"}, {doubt, "does not belong to acme"}}},
		{"blind for private ones", circle{group: all, blind: true, missing: []string{"acme/coach"}, allowed: config.AllowOnly("acme/coach")},
			[]told{{good, ""}}, []told{{skipped, "the scope repo"}}},
		{"repositories not to be seen", circle{group: all, repositoriesErr: hidden, known: some(coach), allowed: config.AllowOnly("acme/coach", "acme/mcp")},
			[]told{{good, ""}}, []told{{good, "acme/coach"}, {skipped, "not all could be looked at"}}},
	} {
		row.c.owner = "acme"
		expect(t, row.what, row.c.judgeGroup("Trusted", "organization acme"), row.group...)
		expect(t, row.what, row.c.judgeRepositories(), row.repositories...)
	}
}

// What the group admits is known, also where the repository itself cannot be
// seen.
func TestAdmittedIsKnown(t *testing.T) {
	c := circle{admitted: []register.RepositoryInfo{{FullName: "acme/coach"}, {FullName: "acme/mcp"}}, missing: []string{"acme/Coach", "acme/typo"}}
	c.findAdmitted()
	if len(c.known) != 1 || c.known[0].FullName != "acme/coach" || len(c.missing) != 1 || c.missing[0] != "acme/typo" {
		t.Errorf("known %v, missing %v", c.known, c.missing)
	}
}

func TestCheckRecords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jobs.jsonl")
	for name, row := range map[string]struct {
		path string
		same bool
		want verdict
	}{
		"not set":          {"", true, good},
		"on a volume":      {file, false, good},
		"in the container": {file, true, doubt},
		"nowhere":          {filepath.Join(dir, "none", "jobs.jsonl"), false, doubt},
	} {
		f := checkRecords(row.path, func(string, string) bool { return row.same })
		if f.Result != row.want || (f.Remedy == "") != (row.want != doubt) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}
