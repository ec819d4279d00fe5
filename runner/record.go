//go:build linux

package runner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	// Code says that we have noted both, and here: a job cannot make it, and in the
	// copy of a folder, on a cloned machine, it is another one.
	Code string `json:"code,omitempty"`
	// Left are the runners that GitHub went on to call busy when all patience was
	// over: their names and, as far as they are known, their ids.
	Left map[string]int64 `json:"left,omitempty"`
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
	// Jobless says that no job had run in this container when its last life ended, in
	// a code that no job can make. It is not there while one can run, so a job that
	// removes it gains nothing.
	Jobless string `json:"jobless,omitempty"`
	// Hopeless says that another start with the same configuration would have
	// ended as that one did. Config stands for it, a hash that Salt is a part of.
	Hopeless bool   `json:"hopeless,omitempty"`
	Config   string `json:"config,omitempty"`
	Salt     string `json:"salt,omitempty"`
	// Stepless counts the jobs in a row that failed before their first step.
	Stepless int `json:"stepless,omitempty"`

	path string
	lock *os.File
	here string // this folder on this machine since it was booted; "": unknown
	key  []byte // for Code: what no job has
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
		log.Warn().Err(err).Msgf("cannot save state to %s: after a crash this container will not clean up its runner", dir)
		return r, nil
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: another org-runner already runs with %s: give each its own RUNNER_HOME", ErrConfiguration, dir)
	}
	r.lock, r.path, r.here = lock, filepath.Join(dir, "life.json"), place(lock)
	data, err := safefile.Read(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn().Err(err).Msg("saved state cannot be read: ignoring it")
	}
	if err == nil && json.Unmarshal(data, r) != nil {
		log.Warn().Str("file", r.path).Msg("saved state is damaged: ignoring it")
	}
	return r, nil
}

func (r *record) code() string {
	if r.here == "" || r.Name == "" {
		return ""
	}
	code := hmac.New(sha256.New, r.key)
	fmt.Fprintf(code, "%s\n%s\n%d", r.here, r.Name, r.ID)
	return hex.EncodeToString(code.Sum(nil))
}

// joblessCode is that of this folder on this machine; "" if they are unknown.
func (r *record) joblessCode() string {
	if r.here == "" {
		return ""
	}
	code := hmac.New(sha256.New, r.key)
	fmt.Fprintf(code, "%s\njobless", r.here)
	return hex.EncodeToString(code.Sum(nil))
}

func (r *record) saysJobless() bool {
	return r.Jobless != "" && hmac.Equal([]byte(r.Jobless), []byte(r.joblessCode()))
}

// isOurs tells whether the name and the id were noted by us, here.
func (r *record) isOurs() bool { return r.Code != "" && hmac.Equal([]byte(r.Code), []byte(r.code())) }

// place is the machine's boot and the file's inode, "" if they cannot be told.
func place(file *os.File) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	info, problem := file.Stat()
	if err != nil || problem != nil {
		return ""
	}
	return fmt.Sprintf("%s %d", strings.TrimSpace(string(boot)), info.Sys().(*syscall.Stat_t).Ino)
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
		r.log.Warn().Err(err).Msg("could not save state")
	}
}

func (r *record) close() {
	if r.lock != nil {
		_ = r.lock.Close()
	}
}

// begin counts this life as failed until it succeeds, so that one that is
// killed counts too.
func (r *record) begin(now time.Time, config string) {
	if now.Sub(r.LastStart) > longestFailureWait {
		r.Failures = 0 // that one lived: no crash loop
	}
	r.Failures++
	r.LastStart, r.LastError, r.Hopeless, r.Config = now, "", false, config
	r.save()
}

// succeed ends the row of failures.
func (r *record) succeed() {
	if r.Failures != 0 {
		r.Failures, r.LastStart, r.LastError, r.Hopeless = 0, time.Time{}, "", false
		r.save()
	}
}

// fail keeps why, for the next start to tell.
func (r *record) fail(why string, hopeless bool) {
	r.LastError, r.Hopeless = records.Bounded(why), hopeless
	r.save()
}

func (r *record) setRunner(name string, id int64) {
	if r.Name != name || r.ID != id {
		r.Name, r.ID = name, id
		r.Code = r.code()
		r.save()
	}
}
