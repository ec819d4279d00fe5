//go:build linux

package runner

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtuoso902/org-runner/internal/safefile"
)

// note is what a life tells the next ones of the runner's folder, and must not be
// told by a job: it has a code that only who has the credentials can make. It is
// kept in the folder, because it must last as long as what jobs write there.
type note struct {
	// First is when the first life began here.
	First time.Time `json:"first"`
	// Updated is when the runner had updated itself, and its files were as they
	// should be. Updating: it had begun to, and was not seen to be ready.
	Updated  time.Time `json:"updated,omitzero"`
	Updating bool      `json:"updating,omitempty"`
}

// noteFile has its name from the released version, which kept times in it.
const noteFile = ".org-runner-first-start"

// whose tells how far a note is to be believed.
type whose int

const (
	nobodys  whose = iota // there is none
	unknowns              // it is not ours: it says that somebody has been here, and nothing else
	released              // it is as the released version wrote it, without a code
	ours
)

// readNote returns the note of the runner's folder.
func (l *Life) readNote() (note, whose) {
	var n note
	data, err := safefile.Read(filepath.Join(l.Home, noteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nobodys
	}
	text, code, _ := bytes.Cut(data, []byte("\n"))
	switch {
	case err != nil:
		return n, unknowns
	case hmac.Equal(bytes.TrimSpace(code), l.codeOf(text)) && json.Unmarshal(text, &n) == nil:
		return n, ours
	}
	if n, ok := parseReleased(string(data)); ok && !l.isAhead(n) {
		return n, released
	}
	return note{}, unknowns
}

// isAhead tells whether a note without a code names a time later than its file's
// last change, which nobody can set: then a job has written it. The kernel's clock
// for files may be some milliseconds behind.
func (l *Life) isAhead(n note) bool {
	var s unix.Stat_t
	if unix.Lstat(filepath.Join(l.Home, noteFile), &s) != nil {
		return true
	}
	changed := time.Unix(s.Ctim.Unix()).Add(time.Second)
	return n.First.After(changed) || n.Updated.After(changed)
}

// keepNote writes it.
func (l *Life) keepNote() error {
	text, err := json.Marshal(l.note)
	if err != nil {
		return err
	}
	data := append(append(text, '\n'), append(l.codeOf(text), '\n')...)
	path := filepath.Join(l.Home, noteFile)
	if old, err := safefile.Read(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return safefile.Write(path, data)
}

// codeOf binds a note to the credentials and to this folder, so that neither a job
// can write one nor another container's be put here.
func (l *Life) codeOf(text []byte) []byte {
	code := hmac.New(sha256.New, l.NoteKey)
	code.Write([]byte(l.around.Identity(l.Home) + "\n"))
	code.Write(text)
	return []byte(hex.EncodeToString(code.Sum(nil)))
}

// parseReleased reads the note of the version before codes: two times, of which the
// second may be missing, and a word for an update without an end.
func parseReleased(text string) (n note, ok bool) {
	lines := bytes.Split(bytes.TrimSpace([]byte(text)), []byte("\n"))
	first, err := time.Parse(time.RFC3339Nano, string(lines[0]))
	if err != nil {
		return n, false
	}
	n.First = first
	if len(lines) > 1 {
		n.Updated, _ = time.Parse(time.RFC3339Nano, string(lines[1]))
	}
	n.Updating = len(lines) > 2 && string(lines[2]) == "updating"
	return n, true
}
