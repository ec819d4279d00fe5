//go:build linux

package runner

import (
	"strings"
	"time"
)

// work is the one truth whether a job runs here. The worker's process is the job:
// while it lives a job runs, whatever lines say, for what they say is in part the
// text of others (a job's name, a commit message in a condition, with line feeds
// in it). Lines only name what the process shows. work is a value: each sighting
// makes the next one, and turns tell what has changed.
type work struct {
	stage  stage
	name   string   // as the line told it that began it
	worker identity // the newest one that was seen; zero: none yet
	since  time.Time
	told   string // a result that was told before its time: believed if no worker comes
	forged bool   // an end was told while the worker lived: no result is believed
}

// stage is how far a job is.
type stage int

const (
	noJob     stage = iota
	announced       // a line says that one begins; no worker has been seen yet
	working         // its worker lives
	leaving         // its worker is gone, or its end was told before one was seen
)

// turn is a change of work. A job ends with result "" when nothing that can be
// believed told it.
type turn struct {
	what   turning
	result string
}

type turning int

const (
	begins    turning = iota
	named             // one that had begun without its line
	ends              //
	withdrawn         // announced, and never come
)

const (
	// announcedPatience is how long a job may have no worker: it comes 0.1 s after
	// its line, but not before GitHub has renewed the job's lock once.
	announcedPatience = 30 * time.Second
	// gonePatience is how long a worker has been gone when its job is over, unless a
	// line has told it before.
	gonePatience = time.Second
)

func (w work) running() bool { return w.stage != noJob }

// results are the words with which the official runner ends a job.
var results = []string{"Succeeded", "Failed", "Canceled", "Abandoned"}

// endOf takes apart what follows "Job " in a line: the name and one of the results.
func endOf(text string) (name, result string, ok bool) {
	const separator = " completed with result: "
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return "", "", false
	}
	for _, known := range results {
		if text[at+len(separator):] == known {
			return text[:at], known, true
		}
	}
	return "", "", false
}

func isEnd(text string) bool { _, _, ok := endOf(text); return ok }

// fits tells whether a line's name is the one that began. Of very long lines only
// the beginning is known.
func (w work) fits(name string) bool {
	const sure = longestLine - 128
	return name == w.name || len(name) >= sure && len(w.name) >= sure && name[:sure] == w.name[:sure]
}

// started is the line that announces a job. Whether the known worker lives was
// looked at before.
func (w work) started(name string, now time.Time) (work, []turn) {
	next := work{stage: announced, name: name, since: now}
	switch w.stage {
	case working:
		if w.name != "" {
			return w, nil // the text of others
		}
		w.name = name // read late
		return w, []turn{{what: named}}
	case leaving:
		if isEnd(name) {
			return w, nil // the end of a name that holds this line
		}
		return next, []turn{{ends, w.told}, {what: begins}}
	}
	return next, []turn{{what: begins}}
}

// completed is the line that tells a job's end. Whether the known worker lives was
// looked at before.
func (w work) completed(name, result string, now time.Time) (work, []turn) {
	switch {
	case w.stage == noJob || w.forged || !w.fits(name):
	case w.stage == working:
		w.forged = true
	case w.worker != identity{}: // seen, and gone
		return work{}, []turn{{ends, result}}
	case w.stage == announced || w.told != result:
		w.stage, w.since, w.told = leaving, now, result
	}
	return w, nil
}

// seen is a look for the worker; zero: there is none.
func (w work) seen(worker identity, now time.Time) (work, []turn) {
	if worker == (identity{}) {
		return w.unseen(now)
	}
	if worker == w.worker {
		w.stage = working
		return w, nil
	}
	var turns []turn
	switch {
	case w.stage == noJob:
		w = work{}
		turns = []turn{{what: begins}}
	case w.worker != identity{}: // another one's: that job has ended, this one was not announced
		w = work{}
		turns = []turn{{what: ends}, {what: begins}}
	case w.stage == leaving: // told before it had begun
		w.forged = true
	}
	w.stage, w.worker, w.since, w.told = working, worker, now, ""
	return w, turns
}

func (w work) unseen(now time.Time) (work, []turn) {
	lasted := now.Sub(w.since)
	switch {
	case w.stage == working:
		w.stage, w.since = leaving, now
	case w.stage == leaving && lasted >= gonePatience:
		return work{}, []turn{{ends, w.told}}
	case w.stage == announced && lasted >= announcedPatience:
		return work{}, []turn{{what: withdrawn}}
	}
	return w, nil
}

// confirmed is GitHub's word that it has given an announced job to this runner.
func (w work) confirmed(now time.Time) work {
	if w.stage == announced {
		w.since = now
	}
	return w
}

// over ends what there is: the listener has ended and its worker too.
func (w work) over() (work, []turn) {
	switch w.stage {
	case noJob:
		return w, nil
	case announced:
		return work{}, []turn{{what: withdrawn}}
	}
	return work{}, []turn{{ends, w.told}}
}

// wanted is how long until the worker is to be looked for again; 0: not by itself.
func (w work) wanted(now time.Time) time.Duration {
	const often = 100 * time.Millisecond
	switch w.stage {
	case announced: // each look is one at all processes
		return min(max(often, now.Sub(w.since)/4), 2*time.Second)
	case leaving:
		return often
	case working:
		return time.Second
	}
	return 0
}
