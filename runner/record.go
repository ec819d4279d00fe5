//go:build linux

package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/virtuoso902/org-runner/internal/records"
	"github.com/virtuoso902/org-runner/internal/safefile"
)

// record is what one life leaves to the next one in the same container. Without
// a place to keep it, a life does without.
type record struct {
	// Name under which GitHub may have a runner of ours. Set before GitHub is
	// asked to make one, removed when it is known to be gone.
	Name string `json:"name,omitempty"`
	// ID is that runner's, once it is known.
	ID int64 `json:"id,omitempty"`
	// Instead is the name that this container has taken because another one has
	// its own.
	Instead string `json:"instead,omitempty"`
	// Failures counts the lives in a row that neither got a job nor ended well,
	// this one included.
	Failures int `json:"failures,omitempty"`
	// LastError is why the last of them ended, where it could still tell.
	LastError string `json:"last_error,omitempty"`
	// LastStart is when the last of them began.
	LastStart time.Time `json:"last_start,omitzero"`
	// Stepless counts the jobs in a row that failed before their first step.
	Stepless int `json:"stepless,omitempty"`

	path string
	lock *os.File
	log  zerolog.Logger
}

// openRecord reads the record and makes sure that no other life uses the same
// folder at the same time.
func openRecord(dir string, log zerolog.Logger) (*record, error) {
	r := &record{log: log}
	if dir == "" {
		return r, nil
	}
	lock, err := openLock(filepath.Join(dir, "lock"))
	if err != nil {
		log.Warn().Err(err).Msg("nothing can be kept for the next start in this container")
		return r, nil
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: another org-runner already runs with %s: give each its own RUNNER_HOME", ErrConfiguration, dir)
	}
	r.lock, r.path = lock, filepath.Join(dir, "life.json")
	data, err := safefile.Read(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn().Err(err).Msg("the record of the last life cannot be read: starting without it")
	}
	if err == nil && json.Unmarshal(data, r) != nil {
		log.Warn().Str("file", r.path).Msg("the record of the last life is damaged: starting without it")
	}
	return r, nil
}

// openLock removes what is no file under its name: a job can put it there.
func openLock(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		_ = os.RemoveAll(path)
	}
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR|safefile.NoFollow, 0o600)
}

// save writes the record as one piece: a reader sees the old one or the new.
func (r *record) save() {
	if r.path == "" {
		return
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = safefile.Write(r.path, data)
	}
	if err != nil {
		r.log.Warn().Err(err).Msg("what the next start should know could not be written")
	}
}

func (r *record) close() {
	if r.lock != nil {
		_ = r.lock.Close()
	}
}

// begin counts this life as failed until it succeeds, so that one that is
// killed counts too.
func (r *record) begin(now time.Time) {
	if now.Sub(r.LastStart) > longestFailureWait {
		r.Failures = 0 // that one lived: no crash loop
	}
	r.Failures++
	r.LastStart, r.LastError = now, ""
	r.save()
}

// succeed ends the row of failures.
func (r *record) succeed() {
	if r.Failures != 0 {
		r.Failures, r.LastStart, r.LastError = 0, time.Time{}, ""
		r.save()
	}
}

// fail keeps why, for the next start to tell.
func (r *record) fail(why string) {
	r.LastError = records.Bounded(why)
	r.save()
}

func (r *record) setRunner(name string, id int64) {
	if r.Name != name || r.ID != id {
		r.Name, r.ID = name, id
		r.save()
	}
}

// The wait before a life that follows failed ones: none after the first, then
// 5 s doubled each time up to 10 min. Docker's own back-off ends at 1 min and
// starts over as soon as a container has lived for 10 s.
const (
	firstFailureWait   = 5 * time.Second
	longestFailureWait = 10 * time.Minute
)

func failureWait(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(firstFailureWait<<min(failures-2, 10), longestFailureWait)
}

// jittered returns between half of d and d, so that a fleet that failed
// together does not come back together.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d/2+1)
}

// waitOutFailures makes an engine's crash loop ask GitHub less and less.
func (l *Life) waitOutFailures() error {
	if wait := jittered(failureWait(l.record.Failures)) - time.Since(l.record.LastStart); wait > 0 {
		why := strings.ToValidUTF8(records.Bounded(cmp.Or(l.record.LastError, "it was killed")), "?")
		l.Log.Warn().Int("failures", l.record.Failures).Dur("wait", wait.Round(time.Millisecond)).Str("last", why).
			Msg("failed starts in a row: waiting before registering")
		l.Trouble.Set(fmt.Sprintf("%d failed starts in a row: waiting %s before registering; the last one: %s", l.record.Failures, wait.Round(time.Second), why))
		if err := sleep(l.ctx, wait); err != nil {
			return err
		}
		l.Trouble.Set("")
	}
	l.record.begin(time.Now())
	return nil
}

// pause spaces the registrations within one life; the first is immediate.
func (l *Life) pause(again int) error {
	return sleep(l.ctx, jittered(failureWait(again)))
}

// sleep waits for d, or returns the cause for which ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
