//go:build linux

package runner

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/text"
)

// longestPassed bounds what is handed on of one line, in bytes.
const longestPassed = 16 << 10

// notOurs stands before a child's line that looks like one of ours.
const notOurs = "| "

// passage hands a child's output on, line by line: a job can write there too, and
// what it writes must not pass for ours. It goes to our standard output, while our
// own lines go to standard error; where both are shown as one, a line that begins
// like ours gets a mark before it. What steers a terminal is made visible, a tab
// excepted, and a line is cut at longestPassed. A line whose end has not come is
// held back, so a lone carriage return does not begin one.
type passage struct {
	next   io.Writer
	line   []byte // the beginning of a line whose end has not come yet
	beyond int    // how many bytes of it there were more
	out    []byte // whole lines of one Write
}

// Write never fails: see scanner.
func (p *passage) Write(b []byte) (int, error) {
	n := len(b)
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		if len(p.line) == 0 && end <= longestPassed {
			p.pass(b[:end])
		} else {
			p.keep(b[:end])
			p.pass(p.line)
		}
		b = b[end+1:]
		if len(p.out) > longestPassed {
			p.send()
		}
	}
	p.keep(b)
	p.send()
	return n, nil
}

// end hands on the last line of a child that has ended without ending it.
func (p *passage) end() {
	if len(p.line) > 0 {
		p.pass(p.line)
		p.send()
	}
}

func (p *passage) keep(b []byte) {
	room := min(longestPassed-len(p.line), len(b))
	p.line = append(p.line, b[:room]...)
	p.beyond += len(b) - room
}

func (p *passage) send() {
	if len(p.out) > 0 {
		_, _ = p.next.Write(p.out)
		p.out = p.out[:0]
	}
}

func (p *passage) pass(line []byte) {
	if last := lastStart(line); p.beyond > 0 && !utf8.FullRune(line[last:]) { // cut within a character
		p.beyond += len(line) - last
		line = line[:last]
	}
	line = bytes.TrimRight(line, "\r")
	begin := len(p.out)
	if looksLikeOurs(line) {
		p.out = append(p.out, notOurs...)
	}
	p.out = text.Append(p.out, line, '\t')
	if end := begin + longestPassed; len(p.out) > end { // by what was made visible
		end = lastStart(p.out[:end+1])
		p.beyond += len(p.out) - end
		p.out = p.out[:end]
	}
	if p.beyond > 0 {
		p.out = fmt.Appendf(p.out, " … [%d more bytes]", p.beyond)
	}
	p.out = append(p.out, '\n')
	p.line, p.beyond = p.line[:0], 0
}

// lastStart is where the last character begins.
func lastStart(line []byte) int {
	i := max(len(line)-1, 0)
	for i > 0 && !utf8.RuneStart(line[i]) {
		i--
	}
	return i
}

// looksLikeOurs tells whether a line begins as one of our log's, for people or as
// JSON, or as one of our errors. Blanks and what cannot be seen do not count.
func looksLikeOurs(line []byte) bool {
	var buffer [64]byte // what is compared, without its blanks
	begin := buffer[:0]
	for rest := line; len(rest) > 0 && len(begin) < len(buffer)-utf8.UTFMax; {
		r, size := utf8.DecodeRune(rest)
		if rest = rest[size:]; r < utf8.RuneSelf && r > ' ' {
			begin = append(begin, byte(r))
		} else if !text.Blank(r) {
			begin = utf8.AppendRune(begin, r)
		}
	}
	const program, date = "org-runner", "0000-00-00"
	switch {
	case len(begin) == 0:
		return false
	case begin[0] == '{', len(begin) >= len(program) && bytes.EqualFold(begin[:len(program)], []byte(program)):
		return true
	case len(begin) < len(date):
		return false
	}
	for i := range len(date) {
		if isDigit := begin[i] >= '0' && begin[i] <= '9'; date[i] == '0' && !isDigit || date[i] != '0' && begin[i] != date[i] {
			return false
		}
	}
	_, official := cutTimestamp(line)
	return !official
}
