package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

const (
	firstPause   = 15 * time.Second // after a failure
	longestPause = 5 * time.Minute
	// mostAlone is how many failures in a row may be those of single repositories; more
	// of them, and nothing that answers, are GitHub's.
	mostAlone = 3
	// longestLimit bounds how long a wait that GitHub has named is kept: its limits
	// begin anew every hour.
	longestLimit = time.Hour
	// mostMissing is after how many answers in a row a run that GitHub does not find
	// is believed to have been deleted.
	mostMissing = 3
)

// settle takes the end of a call in. What fails for all makes a pause for all,
// what fails for one repository only for that. Answers that withhold something
// make none; when there is nothing but those, what is shown is old all the same. That
// there is no such target is told at once.
func (m *Monitor) settle(ctx context.Context, t task, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, r := m.now(), m.repositories[t.repository]
	switch {
	case err == nil || errors.Is(err, errUnchanged):
		m.lastSuccess, m.failing, m.failed = now, nil, 0
		if r != nil {
			r.failing, r.failed = nil, 0
		}
		return
	case errors.Is(err, errBudget):
		m.pause = now.Add(firstPause)
		return
	case ctx.Err() != nil:
		return
	}
	if m.failing == nil {
		m.failing, m.failingSince = err, now
	}
	switch {
	case errors.Is(err, register.ErrAbsent):
		if !errors.Is(m.failing, register.ErrAbsent) {
			m.failing = err
		}
		// Of what is not there everything is asked in vain, unless something was told,
		// or repositories are named, which may be somebody else's.
		if err = m.failing; now.Sub(m.lastSuccess) > staleAfter && (m.options.Kind == OfRepository || m.listed()) {
			m.pause = now.Add(deniedWait)
		}
	case mayNot(err):
		if err = m.failing; now.Sub(m.failingSince) <= staleAfter {
			return
		}
	case r != nil && isOfOne(err) && m.failed < mostAlone:
		r.failing, r.pause = err, now.Add(pauseAfter(r.failed))
		r.failed++
		m.failed++
	default:
		m.failing, m.pause = err, now.Add(max(pauseAfter(m.failed), limitOf(err)))
		m.failed++
	}
	m.problem("github", problemText(err), remedyOf(err), "")
}

// pauseAfter is how long nothing is asked after so many failures in a row, and one
// more.
func pauseAfter(failed int) time.Duration { return min(firstPause<<min(failed, 10), longestPause) }

// limitOf is how long GitHub's limits ask to wait.
func limitOf(err error) time.Duration {
	var e *register.Error
	if !errors.As(err, &e) {
		return 0
	}
	return min(e.Wait, longestLimit)
}

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

// failsNow tells whether a problem of this text still is one; the state is locked.
func (m *Monitor) failsNow(what string) bool {
	if m.failing != nil && problemText(m.failing) == what {
		return true
	}
	for _, r := range m.repositories {
		if r.failing != nil && problemText(r.failing) == what {
			return true
		}
	}
	return false
}

// mayNot tells whether GitHub for certain has something that it does not show to
// these credentials, as against having no answer, or nothing for them at all.
func mayNot(err error) bool {
	var e *register.Error
	switch {
	case !errors.As(err, &e) || errors.Is(err, register.ErrBarred):
		return false
	case e.Status == 403:
		return errors.Is(err, register.ErrCredentials)
	}
	return errors.Is(err, register.ErrNotFound) || errors.Is(err, register.ErrHidden)
}

// isOfOne tells whether a failure of a call about one repository says nothing of
// the others: GitHub has answered, and it is not about the credentials or a limit.
func isOfOne(err error) bool {
	var e *register.Error
	return errors.As(err, &e) && e.Status >= 400 && e.Status != 401 && e.Status != 403 && e.Status != 429
}

// deny notes that something cannot be seen, if that is what an error says.
func (m *Monitor) deny(key string, u Unknown, err error) error {
	if errors.Is(err, register.ErrAbsent) {
		u.Permission = "access to " + m.options.Name + ", or its name corrected"
	}
	if mayNot(err) {
		m.change(func() { m.denied[key] = u })
	}
	return err
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

// denyRuns notes that a repository's runs cannot be seen, if that is what an error
// says: then what it has in its queue is unknown.
func (m *Monitor) denyRuns(r *repository, err error) error {
	if !mayNot(err) {
		return err
	}
	now := m.now()
	r.due, r.sweep = now.Add(deniedWait), sweep{at: now}
	r.tags.forget()
	m.change(func() {
		m.denied["runs "+r.name] = Unknown{"the jobs of " + r.name, `the repository permission "Actions" (read), or the scope repo`}
		clear(r.live)
		r.gaps, r.seen = nil, time.Time{}
	})
	return err
}
