//go:build linux

package runner

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// lastLine keeps what a child's output says of why it failed: its newest line that
// means something, GitHub's last refusal, and what its program died of.
type lastLine struct {
	mu        sync.Mutex
	text      []byte
	taken     bool // config.sh: there is a runner of this name
	refusal   refusal
	body      []byte // GitHub's, as far as it has been read; nil: none is expected
	exception string
}

// refusal is an answer of GitHub's that config.sh did not want.
type refusal struct {
	status             int    // 0: none was seen
	call               string // POST https://api.github.com/actions/runner-registration
	message, requestID string
}

const longestWords = 300 // in bytes

// The lines of config.sh and of .NET that tell a cause (actions/runner 2.336.0).
var (
	refusedCall   = regexp.MustCompile(`^Http response code: (\w+) from '([A-Za-z]+ [^']*)'(?: \(Request Id: ([^)]*)\))?`)
	refusedStatus = regexp.MustCompile(`^Response status code does not indicate success: (\d{3})`)
	diagnostics   = [][]byte{[]byte("[RUNNER 2"), []byte("[WORKER 2")} // and the rest of a year
)

// set takes the next line. It allocates only for lines that it recognises: a job's
// output comes by here too.
func (l *lastLine) set(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The official image prints the diagnostic log too, also behind a line that
	// has no end yet.
	torn := false
	for _, begin := range diagnostics {
		if at := bytes.Index(text, begin); at >= 0 {
			text, torn = text[:at], true
		}
	}
	trimmed := bytes.TrimSpace(text)
	switch {
	case len(trimmed) == 0, torn && trimmed[0] == '|', bytes.HasPrefix(trimmed, []byte("√ ")), bytes.HasPrefix(trimmed, []byte("# ")),
		bytes.HasPrefix(trimmed, []byte("at ")) && len(trimmed) < len(text), bytes.HasPrefix(trimmed, []byte("--- End of ")),
		bytes.Contains(trimmed, []byte(" Aborted ")) && bytes.Contains(trimmed, []byte("/bin/Runner.Listener")):
		return // nothing, the banner, a success, a stack's line, or the shell's word on it
	case l.hearBody(trimmed):
		return
	}
	l.text = append(l.text[:0], trimmed[:min(len(trimmed), longestWords)]...)
	line := bytes.TrimPrefix(l.text, []byte("An error occurred: "))
	for _, sign := range [][]byte{[]byte("Unhandled exception. "), []byte("Process terminated. ")} {
		if bytes.HasPrefix(line, sign) && l.exception == "" {
			l.exception = string(line[len(sign):])
		}
	}
	l.taken = l.taken || bytes.HasPrefix(line, []byte("A runner exists with the same name"))
	switch {
	case phrases[string(line)] != 0: // classic: nothing but the reason phrase
		l.refusal = refusal{status: phrases[string(line)]}
	case bytes.HasPrefix(line, []byte("Http response code: ")):
		if m := refusedCall.FindSubmatch(line); m != nil {
			l.refusal = refusal{status: statusNamed(string(m[1])), call: string(m[2]), requestID: string(m[3])}
			l.body = []byte{}
		}
	case bytes.HasPrefix(line, []byte("Response status code does not indicate success: ")):
		if m := refusedStatus.FindSubmatch(line); m != nil {
			l.refusal.status, _ = strconv.Atoi(string(m[1]))
		}
	}
}

// hearBody takes the lines behind a refusal that are its body, in JSON.
func (l *lastLine) hearBody(text []byte) bool {
	if l.body == nil || len(l.body) == 0 && text[0] != '{' || len(l.body) > longestLine {
		l.body = nil
		return false
	}
	l.body = append(l.body, text...)
	var said struct{ Message string }
	if json.Unmarshal(l.body, &said) == nil {
		l.refusal.message, l.body = said.Message, nil
	}
	return true
}

// phrases are the reason phrases of refusals, as .NET prints them, with their spaces
// and without.
var phrases = func() map[string]int {
	known := map[string]int{"UnprocessableContent": http.StatusUnprocessableEntity}
	for status := 400; status < 600; status++ {
		if text := http.StatusText(status); text != "" {
			known[text], known[strings.ReplaceAll(text, " ", "")] = status, status
		}
	}
	return known
}()

// statusNamed is the status of a phrase or a number; 0 if it is neither.
func statusNamed(phrase string) int {
	if status, err := strconv.Atoi(phrase); err == nil {
		return status
	}
	return phrases[phrase]
}

func (l *lastLine) nameTaken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// refused returns GitHub's last refusal; its status is 0 if there was none.
func (l *lastLine) refused() refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refusal
	r.call, r.message, r.requestID = oneLine(r.call), oneLine(r.message), oneLine(r.requestID)
	return r
}

// died is the first line of the exception that ended the program, "" if none did.
func (l *lastLine) died() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return oneLine(l.exception)
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return oneLine(string(l.text))
}

// oneLine makes text of others fit for an error message.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), longestWords)], "?"))
	return strings.TrimSpace(text)
}
