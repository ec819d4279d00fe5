package secret

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Seeker finds secrets in texts that others have written, however they wrote
// them: with other line ends, in quotes, in a URL, in base64 or in hexadecimal
// digits, alone or as a part.
type Seeker struct {
	whole []string // a text that is one of these, to the byte
	parts []string // a text that has one of these in it, squeezed
}

// leastPart is the length in bytes from which a secret is looked for inside of a
// text: shorter ones are in texts by accident.
const leastPart = 8

// Add makes the seeker know a secret. Of a key in PEM it is the body that counts.
func (s *Seeker) Add(secret String) {
	text := strings.TrimSpace(secret.Reveal())
	if text == "" {
		return
	}
	s.whole = append(s.whole, text)
	body := strings.TrimRight(squeeze(armour().ReplaceAllString(text, "")), "=")
	if len(body) < leastPart {
		return
	}
	s.parts = append(s.parts, body)
	// What it is base64 of is as good as it: a key in DER, the files of a JIT
	// configuration.
	if decoded, err := base64.RawStdEncoding.DecodeString(body); err == nil && len(decoded) > 64 {
		s.parts = append(s.parts, squeeze(string(decoded)))
	}
}

// In tells whether text has one of the secrets in it.
func (s *Seeker) In(text string) bool {
	return slices.Contains(s.whole, strings.TrimSpace(text)) || len(s.parts) > 0 && s.in(text, 3)
}

// in looks at a text and at what it may be the writing of, some layers deep.
func (s *Seeker) in(text string, layers int) bool {
	squeezed := squeeze(text)
	if slices.ContainsFunc(s.parts, func(part string) bool { return strings.Contains(squeezed, part) }) {
		return true
	}
	if layers == 0 {
		return false
	}
	for _, written := range readings(text, squeezed) {
		if s.in(written, layers-1) {
			return true
		}
	}
	return false
}

// readings are what a text may stand for.
func readings(text, squeezed string) (all []string) {
	if strings.Contains(text, "%") {
		if plain, err := url.PathUnescape(text); err == nil && plain != text {
			all = append(all, plain)
		}
	}
	for _, run := range encoded().FindAllString(squeezed, -1) {
		if plain, err := hex.DecodeString(run); err == nil {
			all = append(all, string(plain))
		}
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		for begin := range 4 { // what stands before it may be of the same letters
			rest := run[begin:]
			if len(rest)%4 == 1 { // and what stands behind it
				rest = rest[:len(rest)-1]
			}
			if plain, err := base64.RawStdEncoding.DecodeString(rest); err == nil {
				all = append(all, string(plain))
			}
		}
	}
	return all
}

// encoded finds what could be base64, of either alphabet, or hexadecimal digits.
var encoded = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[A-Za-z0-9+/_-]{10,}`) })

// armour finds the first and last line of PEM.
var armour = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`-----(BEGIN|END) [A-Z0-9 ]+-----`) })

// squeeze takes out what differs between the ways to write the same: blanks and
// line ends, also escaped, and quotes. It works on bytes: text may be none.
func squeeze(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ' ', c == '\t', c == '\r', c == '\n', c == '"', c == '\'', c == '\\':
			if c == '\\' && i+1 < len(text) && strings.IndexByte("nrt", text[i+1]) >= 0 {
				i++
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
