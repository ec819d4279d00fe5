// Package text shows what others have written: names of jobs and branches, what a
// server or a child says. Such text must not steer a terminal, turn the text around
// it, or begin a line that it does not own.
package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LongestName bounds a name in a log, a record or a table, in characters.
const LongestName = 256

// longestLine bounds a line for people, in characters.
const longestLine = 4096

// Name is one line of at most LongestName characters.
func Name(s string) string { return Bounded(s, LongestName) }

// Line is one line of a length that a person may still read.
func Line(s string) string { return Bounded(s, longestLine) }

// Bounded is one line of at most so many characters, cut with "…". What is
// invisible comes as an escape sequence of Go's.
func Bounded(s string, most int) string {
	if len(s) <= most && plain(s) {
		return s
	}
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+size]
		if !Visible(r, size) {
			piece = escape(r, s[i])
		}
		if n += utf8.RuneCountInString(piece); n > most || n == most && i+size < len(s) {
			b.WriteString("…")
			break
		}
		b.WriteString(piece)
		i += size
	}
	return b.String()
}

// Lines is text in which line ends are meant, as an error's that names all problems;
// all else is made visible.
func Lines(s string) string {
	if plain(strings.ReplaceAll(s, "\n", "")) {
		return s
	}
	return string(Append(nil, []byte(s), '\n'))
}

// Append adds text to dst and makes visible what is not, but for the given
// characters of ASCII, which are kept.
func Append(dst, s []byte, keep ...byte) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= 0x20 && c != 0x7f || strings.IndexByte(string(keep), c) >= 0 {
				dst = append(dst, c)
			} else {
				dst = append(dst, escape(rune(c), c)...)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if Visible(r, size) {
			dst = append(dst, s[i:i+size]...)
		} else {
			dst = append(dst, escape(r, s[i])...)
		}
		i += size
	}
	return dst
}

// Visible tells whether a character of that many bytes neither steers nor hides:
// controls of both sets, formatting ones (the directions of Unicode among them),
// separators of lines, and what is no UTF-8 do. Joiners stay: emoji and some
// languages need them.
func Visible(r rune, size int) bool {
	const joiner, nonJoiner = '\u200d', '\u200c'
	switch {
	case r == utf8.RuneError && size <= 1:
		return false
	case r < utf8.RuneSelf:
		return r >= 0x20 && r != 0x7f
	case r == joiner || r == nonJoiner:
		return true
	}
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Blank tells whether nothing is to be seen of a character at the beginning of a
// line.
func Blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Zs, unicode.Cf, unicode.Mn)
}

func plain(s string) bool {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !Visible(r, size) {
			return false
		}
		i += size
	}
	return true
}

// escape writes a character, or a byte that is none, as Go does in quotes.
func escape(r rune, first byte) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < utf8.RuneSelf, r == utf8.RuneError:
		return fmt.Sprintf(`\x%02x`, first)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
