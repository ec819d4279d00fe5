//go:build linux

package runner

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/internal/safefile"
)

// A worker that cannot work, for want of a folder, a library or memory, fails each
// job within a second, without a step and without a line in its log at GitHub. The
// listener ends well each time, and takes the next job.
const (
	failed = "Failed" // the listener's word
	// mostStepless is the number of such jobs in a row that are a crash: one may be
	// an accident.
	mostStepless = 2
)

// noteSteps is called when a job has ended. The hook, which is the first thing that
// a worker runs, has asked if it came that far.
func (l *Life) noteSteps(result string, began time.Time) {
	switch {
	case l.Hook == "", l.unanswered != nil, l.otherHook: // it cannot have asked
	case l.view.hookAsked():
		l.record.stepless(0)
	case result == failed:
		cause, itsOwn := l.workersCause(began)
		if itsOwn {
			return
		}
		l.record.stepless(l.record.Stepless + 1)
		if l.record.Stepless >= mostStepless {
			l.broken = fmt.Errorf("%w: %d jobs in a row failed before their first step: %s: run check in this container, and see _diag/Worker_*.log in %s", ErrRunner, l.record.Stepless, cause, l.Home)
		}
		l.Log.Error().Int("in_a_row", l.record.Stepless).Str("cause", cause).Msg("the job failed before its first step")
	}
}

// exceptionLine is how the worker's log begins an exception: time, level, source,
// its text. What caused an exception follows it, below a line of #.
var exceptionLine = regexp.MustCompile(`^\[[^\]]* ERR +[^\]]*\] (.*Exception.*)$`)

// workersCause finds in the newest log of a worker why its job has failed. What the
// workflow itself has wrong, as an action that does not exist, shows in the same
// place and is the job's own.
func (l *Life) workersCause(began time.Time) (cause string, itsOwn bool) {
	inner := false
	for line := range strings.Lines(l.workersLog(began)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasSuffix(line, "####") {
			inner = true
			continue
		}
		if found := exceptionLine.FindStringSubmatch(line); found != nil && !inner {
			cause = found[1]
		}
		inner = false
	}
	if _, setUp, found := strings.Cut(cause, "Caught exception from InitializeJob: "); found {
		cause = setUp
		itsOwn = !strings.HasPrefix(cause, "System.IO.") && !strings.HasPrefix(cause, "System.UnauthorizedAccessException")
	}
	cause = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(cause, "?"))
	if l.Mask != nil {
		cause = l.Mask(cause)
	}
	return cmp.Or(records.Bounded(cause), "the worker left no word why"), itsOwn
}

// workersLog returns the end of the newest log of a worker, if it is younger than
// the job.
func (l *Life) workersLog(began time.Time) string {
	const most = 256 << 10 // bytes; what matters is at the end
	paths, _ := filepath.Glob(filepath.Join(l.Home, "_diag", "Worker_*.log"))
	newest, at := "", began.Add(-time.Second) // the disk's clock is coarse
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	if newest == "" {
		return ""
	}
	file, err := os.OpenFile(newest, os.O_RDONLY|safefile.NoFollow, 0)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	data, _ := io.ReadAll(io.LimitReader(file, most))
	return string(data)
}

// stepless keeps how many jobs in a row have failed before their first step. From
// the second one on they are failed starts as well, whose pauses grow.
func (r *record) stepless(jobs int) {
	if r.Stepless == jobs {
		return
	}
	r.Stepless = jobs
	if jobs >= mostStepless {
		r.Failures, r.LastStart = jobs, time.Now()
	}
	r.save()
}
