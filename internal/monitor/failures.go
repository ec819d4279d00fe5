package monitor

import (
	"errors"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// problemText is what an error of a call says without its remedy, which stands
// beside it.
func problemText(err error) string {
	var e *register.Error
	if errors.As(err, &e) {
		short := *e
		short.Remedy, short.RequestID, short.Tries = "", "", 0
		err = &short
	}
	return clean(err.Error())
}

func remedyOf(err error) string {
	var e *register.Error
	if errors.As(err, &e) && e.Remedy != "" {
		return e.Remedy
	}
	return "it is tried again by itself"
}

// mayNot tells whether GitHub does not let these credentials see something, as
// against having no answer at all.
func mayNot(err error) bool {
	var e *register.Error
	return errors.As(err, &e) && (e.Status == 403 || e.Status == 404) && !errors.Is(err, register.ErrUnreachable)
}

// deny notes that something cannot be seen, which is no failure; other errors
// stay.
func (m *Monitor) deny(key string, u Unknown, err error) error {
	if !mayNot(err) {
		return err
	}
	m.change(func() { m.denied[key] = u })
	return nil
}

func (m *Monitor) allow(key string) { m.change(func() { delete(m.denied, key) }) }

// mayReadRunners is the permission for everything about runners.
func (m *Monitor) mayReadRunners() string {
	switch m.options.Kind {
	case OfRepository:
		return `the repository permission "Administration" (read), or the scope repo`
	case OfEnterprise:
		return "the scope manage_runners:enterprise"
	}
	return `the organization permission "Self-hosted runners" (read), or the scope admin:org`
}

// denyRuns notes that a repository's runs cannot be seen: then what it has in its
// queue is unknown.
func (m *Monitor) denyRuns(r *repository, err error) error {
	if err := m.deny("runs "+r.name, Unknown{"the jobs of " + r.name, `the repository permission "Actions" (read), or the scope repo`}, err); err != nil {
		return err
	}
	r.due = m.now().Add(deniedWait)
	r.tags.forget()
	m.change(func() { clear(r.live); r.seen = time.Time{} })
	return nil
}
