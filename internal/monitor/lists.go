package monitor

import (
	"context"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// repository is one that is looked at.
type repository struct {
	name    string
	private *bool
	due     time.Time
	changed time.Time // when something last happened
	seen    time.Time // when GitHub last told of its runs
	tags    tags
	sweep   time.Time // when the older runs are due
	more    bool      // there are older ones
	live    map[int64]*liveRun
}

// readLists reads the repositories and the groups.
func (m *Monitor) readLists(ctx context.Context) error {
	m.listsDue = m.now().Add(listsEvery)
	err := m.readRepositories(ctx)
	if err == nil && m.options.Kind != OfRepository {
		err = m.readGroups(ctx)
	}
	if err != nil {
		m.listsDue = m.now().Add(time.Minute)
	}
	return err
}

func (m *Monitor) readRepositories(ctx context.Context) error {
	found := map[string]register.RepositoryInfo{}
	switch {
	case m.options.Kind == OfOrganization:
		for info, err := range m.options.GitHub.Repositories(ctx) {
			if err != nil {
				return m.deny("repositories", Unknown{"the repositories of " + m.options.Name, `the repository permission "Metadata" (read), or the scope repo`}, err)
			}
			if len(found) < mostRepositories && !info.Archived && m.options.Allows(info.FullName) {
				found[info.FullName] = info
			}
		}
		m.allow("repositories")
		for _, rule := range m.options.Repositories {
			known := strings.Contains(rule, "*")
			for name := range found {
				known = known || strings.EqualFold(name, rule)
			}
			m.change(func() {
				delete(m.denied, "rule "+rule)
				if !known {
					m.denied["rule "+rule] = Unknown{"the repository " + rule + " of ALLOWED_REPOSITORIES", "access to it, or its name corrected"}
				}
			})
		}
	case m.options.Kind == OfRepository:
		found[m.options.Name] = register.RepositoryInfo{}
	default:
		for _, rule := range m.options.Repositories {
			if !strings.Contains(rule, "*") {
				found[rule] = register.RepositoryInfo{}
			}
		}
		if len(found) == 0 {
			m.change(func() {
				m.denied["repositories"] = Unknown{"the repositories of the enterprise, which GitHub does not list", "their names in ALLOWED_REPOSITORIES"}
			})
		}
	}
	for name, info := range found {
		if info.ID != 0 {
			continue
		}
		info, err := m.options.GitHub.Repository(ctx, name)
		if err != nil && !mayNot(err) {
			return err
		}
		found[name] = info // without an id: unknown whether it is private
	}
	now := m.now()
	m.change(func() {
		for name := range m.repositories {
			if _, still := found[name]; !still {
				delete(m.repositories, name)
				delete(m.denied, "runs "+name)
			}
		}
		for name, info := range found {
			r := m.repositories[name]
			if r == nil {
				r = &repository{name: name, due: now, sweep: now, live: map[int64]*liveRun{}}
				m.repositories[name] = r
			}
			if info.ID != 0 {
				r.private = &info.Private
			}
		}
	})
	return nil
}

func (m *Monitor) readGroups(ctx context.Context) error {
	groups, err := m.options.GitHub.Groups(ctx)
	if err != nil {
		m.change(func() { m.groups = nil })
		return m.deny("groups", Unknown{"the runner groups", m.mayReadRunners()}, err)
	}
	m.allow("groups")
	for i := range groups {
		groups[i].Name = clean(groups[i].Name)
	}
	m.change(func() { m.groups = groups[:min(len(groups), 200)] })
	return nil
}

func (m *Monitor) free(repository string) bool {
	r := m.repositories[repository]
	return r != nil && r.private != nil && !*r.private
}
