// Package secret holds credentials in memory without letting them out by
// accident: a type that prints as [redacted] however it is printed, and a
// writer that masks every known secret in what passes through it.
package secret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"
	"sync"
)

// Redacted stands wherever a secret would have been printed.
const Redacted = "[redacted]"

// String is a secret. Its zero value is "no secret". The text is kept behind a
// pointer, because fmt prints the unexported fields of a struct without asking
// their methods: it then shows an address, not the text.
type String struct{ text *string }

// New keeps text as a secret; the empty text is the zero String.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{&text}
}

// Reveal returns the text itself. Its callers are the places to look at when
// asking where a secret can go.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether there is no secret.
func (s String) IsZero() bool { return s.text == nil }

// String, GoString, Format, MarshalText and MarshalJSON all say [redacted].
func (s String) String() string { return Redacted }

// GoString implements fmt.GoStringer, for %#v.
func (s String) GoString() string { return Redacted }

// Format implements fmt.Formatter, for every other verb, %x and %d included.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText implements encoding.TextMarshaler.
func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON implements json.Marshaler.
func (s String) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// shortest is the length in bytes below which a text is not masked: masking
// "a" would turn a log into asterisks and hide nothing.
const shortest = 6

// leastBeginning is the length in bytes from which the beginning of a secret is
// masked where a text was cut. GitHub's own prefix (ghp_) is no secret.
const leastBeginning = 5

// Masker replaces the secrets it knows in everything written through its
// Writers. It is safe for use by several goroutines.
type Masker struct {
	mu       sync.RWMutex
	known    map[string]bool
	replacer *strings.Replacer
}

// Add makes the masker know s, in the spellings in which it could appear: as it
// is, as JSON and %q escape it, in a URL, in base64, and each line of a
// text of several lines (a PEM key).
func (m *Masker) Add(s String) {
	text := s.Reveal()
	if len(text) < shortest {
		return
	}
	spellings := []string{text, url.QueryEscape(text), url.PathEscape(text), base64.StdEncoding.EncodeToString([]byte(text))}
	if quoted, err := json.Marshal(text); err == nil {
		spellings = append(spellings, strings.Trim(string(quoted), `"`))
	}
	for line := range strings.Lines(text) {
		// A PEM key's first and last line are no secret.
		if line = strings.TrimSpace(line); len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			spellings = append(spellings, line)
		}
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[string]bool)
	}
	for _, spelling := range spellings {
		if len(spelling) >= shortest {
			m.known[spelling] = true
		}
	}
	// Longest first: a secret that begins with another one must not leave its
	// rest behind. strings.Replacer tries its pairs in order.
	sorted := make([]string, 0, len(m.known))
	for spelling := range m.known {
		sorted = append(sorted, spelling)
	}
	sort.Slice(sorted, func(i, j int) bool {
		if len(sorted[i]) != len(sorted[j]) {
			return len(sorted[i]) > len(sorted[j])
		}
		return sorted[i] < sorted[j]
	})
	pairs := make([]string, 0, 2*len(sorted))
	for _, spelling := range sorted {
		pairs = append(pairs, spelling, Redacted)
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// Mask returns text with every known secret replaced, and the beginning of one
// where the text was cut to fit a column or a bound ("ghp_0123…").
func (m *Masker) Mask(text string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.replacer == nil {
		return text
	}
	text = m.replacer.Replace(text)
	if !strings.Contains(text, cut) {
		return text
	}
	parts := strings.Split(text, cut)
	for i, part := range parts[:len(parts)-1] {
		parts[i] = m.maskEnd(part)
	}
	return strings.Join(parts, cut)
}

// cut is what stands where a text was shortened, everywhere in this program.
const cut = "…"

// maskEnd replaces the longest beginning of a secret that text ends with.
func (m *Masker) maskEnd(text string) string {
	longest := 0
	for spelling := range m.known {
		if len(spelling) <= leastBeginning {
			continue
		}
		tail := text[max(len(text)-len(spelling)+1, 0):]
		for len(tail) > longest {
			at := strings.Index(tail, spelling[:leastBeginning])
			if at < 0 {
				break
			}
			if tail = tail[at:]; strings.HasPrefix(spelling, tail) {
				longest = max(longest, len(tail))
			}
			tail = tail[1:]
		}
	}
	if longest == 0 {
		return text
	}
	return text[:len(text)-longest] + Redacted
}

// Writer returns a writer that masks each Write before it goes to w. A secret
// that is split over two Writes is not recognised: loggers write whole lines.
func (m *Masker) Writer(w io.Writer) io.Writer { return &maskingWriter{m, w} }

type maskingWriter struct {
	masker *Masker
	next   io.Writer
}

// Unwrap returns the writer behind: who asks whether it is a terminal needs it.
func (w *maskingWriter) Unwrap() io.Writer { return w.next }

// Write reports len(p) on success, whatever the masked length was, as
// io.Writer's contract wants it.
func (w *maskingWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.next, w.masker.Mask(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
