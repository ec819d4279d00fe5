package monitor

// jobKey is what makes a finished job one: a second attempt names the jobs that it
// did not run again once more, by other ids.
type jobKey struct {
	run, started int64
	name         name
	nth          int32
}

func (f finished) key() jobKey { return jobKey{f.run, f.started, f.name, f.nth} }

// countOnce counts a finished job if that has not been done; recorded tells
// whether the history has it. What ended before the monitor began to look is no
// news: who counts it now would see all of it happen at once. The state is locked.
func (m *Monitor) countOnce(f finished, recorded bool) {
	was, known := m.counted[f.key()]
	if len(m.counted) >= 3*mostJobs {
		m.countRecorded()
	}
	m.counted[f.key()] = recorded || was
	if !known && f.ended >= m.began.Unix() {
		m.count(f)
	}
}

// countRecorded begins with what the history has.
func (m *Monitor) countRecorded() {
	m.counted = make(map[jobKey]bool, len(m.history.jobs))
	for _, f := range m.history.jobs {
		m.counted[f.key()] = true
	}
}

// isRecorded tells whether the history has a job already; the state is locked.
func (m *Monitor) isRecorded(f finished) bool { return m.counted[f.key()] }
