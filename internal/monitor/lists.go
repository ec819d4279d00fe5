package monitor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// repository is one that is looked at.
type repository struct {
	name    string
	id      int64 // GitHub's; 0: not told yet
	private *bool
	named   time.Time // when it is asked for by itself; zero: it comes with the list
	hidden  bool      // it is not known to be there
	missing bool      // it was not in the last list
	due     time.Time
	changed time.Time     // when something last happened
	seen    time.Time     // when GitHub last told of its runs
	wait    time.Duration // from then on, until they were to be asked for again
	tags    tags
	more    bool // there are runs older than the newest page
	mark    time.Time
	gaps    []gap
	sweep   sweep
	live    map[int64]*liveRun
	looked  time.Time // when one of these was last looked into
	left    bool      // there are more of them, and no room

	failing error // of the last call
	failed  int   // calls in a row
	pause   time.Time
}

// repositoryList is the list of the organization's repositories.
type repositoryList struct {
	pages
	found map[string]bool // on the pages so far
}

// listed tells whether GitHub lists the repositories. Those that are all named
// need no list, which may be long, and of an enterprise's GitHub has none.
func (m *Monitor) listed() bool {
	isPattern := func(rule string) bool { return strings.Contains(rule, "*") }
	return m.options.Kind == OfOrganization && (len(m.options.Repositories) == 0 || slices.ContainsFunc(m.options.Repositories, isPattern))
}

// nameRepositories begins with those that are named, where GitHub does not list
// them.
func (m *Monitor) nameRepositories() {
	names := m.options.Repositories
	switch {
	case m.listed():
		return
	case m.options.Kind == OfRepository:
		names = []string{m.options.Name}
	}
	for _, name := range names[:min(len(names), mostRepositories)] {
		if !strings.Contains(name, "*") {
			r := m.addRepository(name)
			r.named, r.hidden = m.began, true
		}
	}
	if len(m.repositories) == 0 {
		m.denied["repositories"] = Unknown{"the repositories of the enterprise, which GitHub does not list", "their names in ALLOWED_REPOSITORIES"}
	}
}

// addRepository begins to look at one; the state is locked.
func (m *Monitor) addRepository(name string) *repository {
	now := m.now()
	r := &repository{name: name, due: now, mark: latest(m.marks[name], now.Add(-kept)), sweep: sweep{at: now.Add(-sweepEvery)}, live: map[int64]*liveRun{}}
	m.repositories[name] = r
	return r
}

// readRepository asks for one that is named.
func (m *Monitor) readRepository(ctx context.Context, r *repository) error {
	info, err := m.options.GitHub.Repository(ctx, r.name)
	now := m.now()
	if mayNot(err) {
		r.named, r.hidden = now.Add(deniedWait), true
		m.change(func() { clear(r.live); r.seen = time.Time{} })
		return m.deny("rule "+r.name, Unknown{"the repository " + r.name, "access to it, or its name corrected"}, err)
	}
	r.named = now.Add(retryWait)
	if err != nil {
		return err
	}
	r.named, r.hidden = now.Add(max(namedEvery, m.paced(listsShare, float64(len(m.repositories))))), false
	m.allow("rule " + r.name)
	m.change(func() { r.private = &info.Private })
	return nil
}

// readRepositories reads one page of the list.
func (m *Monitor) readRepositories(ctx context.Context) error {
	l := &m.repositoryList
	done, err := m.readPage(&l.pages, func(page string) (string, error) {
		p, err := m.options.GitHub.RepositoriesPage(ctx, page)
		if err != nil {
			return "", err
		}
		if page == "" {
			l.found = map[string]bool{}
		}
		m.change(func() { m.takeRepositories(p.List) })
		if len(l.found) == mostRepositories {
			return "", nil
		}
		return p.Next, nil
	})
	switch {
	case mayNot(err):
		m.change(func() { l.restart(m.now().Add(deniedWait)) })
		return m.deny("repositories", Unknown{"the repositories of " + m.options.Name, `the repository permission "Metadata" (read), or the scope repo`}, err)
	case done:
		m.allow("repositories")
		m.change(m.dropRepositories)
	}
	return err
}

// takeRepositories takes a page of them in; the state is locked.
func (m *Monitor) takeRepositories(list []register.RepositoryInfo) {
	found := m.repositoryList.found
	for _, info := range list {
		if info.Archived || !m.options.Allows(info.FullName) || len(found) == mostRepositories {
			continue
		}
		found[info.FullName] = true
		r := m.repositories[info.FullName]
		if r == nil {
			m.dropRenamed(info)
			r = m.addRepository(info.FullName)
		}
		r.id, r.private, r.missing = info.ID, &info.Private, false
	}
}

// dropRenamed ends the look at a repository under its old name, under which GitHub
// goes on answering; the state is locked.
func (m *Monitor) dropRenamed(info register.RepositoryInfo) {
	for name, r := range m.repositories {
		if r.id == info.ID && r.id != 0 {
			delete(m.repositories, name)
			delete(m.denied, "runs "+name)
		}
	}
}

// dropRepositories ends the look at those that are not there any more, and tells
// which of the named ones are not; the state is locked. One that is pushed to while
// the list is read moves to a page that has been read: it is gone when a second list
// has not got it, or GitHub does not answer for it either.
func (m *Monitor) dropRepositories() {
	for name, r := range m.repositories {
		_, denied := m.denied["runs "+name]
		switch {
		case m.repositoryList.found[name]:
		case r.missing || denied:
			delete(m.repositories, name)
			delete(m.denied, "runs "+name)
		default:
			r.missing = true
		}
	}
	for _, rule := range m.options.Repositories {
		known := strings.Contains(rule, "*")
		for name := range m.repositories {
			known = known || strings.EqualFold(name, rule)
		}
		delete(m.denied, "rule "+rule)
		if !known {
			m.denied["rule "+rule] = Unknown{"the repository " + rule + " of ALLOWED_REPOSITORIES", "access to it, or its name corrected"}
		}
	}
}

func (m *Monitor) readGroups(ctx context.Context) error {
	groups, err := m.options.GitHub.Groups(ctx)
	m.groupsDue = m.now().Add(m.stretched(listsEvery))
	switch {
	case mayNot(err):
		m.change(func() { m.groups = nil })
		return m.deny("groups", Unknown{"the runner groups", m.mayReadRunners()}, err)
	case err != nil:
		m.groupsDue = m.now().Add(retryWait)
		return err
	}
	m.allow("groups")
	for i := range groups {
		groups[i].Name = clean(groups[i].Name)
	}
	m.change(func() { m.groups = groups[:min(len(groups), mostGroups)] })
	return nil
}

func (m *Monitor) free(repository string) bool {
	r := m.repositories[repository]
	return r != nil && r.private != nil && !*r.private
}
