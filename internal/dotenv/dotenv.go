// Package dotenv reads and edits .env files, and keeps every byte of what it does
// not change: comments, order, quotes, line ends.
//
// There are two readers of such files, and they differ: compose takes quotes
// off, ends a value at " #" and replaces $NAME; docker run --env-file does none
// of it. This package reads as compose does (v2.40), but never replaces anything: a
// value in which compose would is an error. Differences tells where they differ.
package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// File is a .env file. Its zero value is an empty one.
type File struct{ lines []line }

// line is one line of the file, or several when a quoted value has line ends in
// it.
type line struct {
	text  string // with its line end
	name  string // "": no variable
	value string
	start int // of the value in text, quotes included
	end   int
}

var (
	assignment   = lazy(`^(\s*(?:export\s+)?)([A-Za-z_][A-Za-z0-9_.-]*)([ \t]*=[ \t]*)`)
	nameOnly     = lazy(`^\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*$`)
	replacement  = lazy(`\$[A-Za-z_{(]`)
	escapes      = strings.NewReplacer(`\a`, "\a", `\b`, "\b", `\f`, "\f", `\v`, "\v", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\\`, `\`, `\$`, `$`, `$$`, `$`)
	byteOrderUTF = "\ufeff"
)

// lazy compiles an expression when it is first wanted: a container is started
// without a file, and each health check is a start too.
func lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// Parse reads a file. Its errors name the line and never what stands in it.
func Parse(data []byte) (*File, error) {
	f := &File{}
	rest := string(data)
	if strings.HasPrefix(rest, "\xff\xfe") || strings.HasPrefix(rest, "\xfe\xff") {
		return nil, errors.New("line 1 is in UTF-16: save the file as UTF-8")
	}
	for number := 1; rest != ""; {
		l, after, err := parseLine(rest, number == 1)
		if err != nil {
			if key := f.newest(); strings.HasPrefix(key.value, "-----BEGIN") && !strings.Contains(key.value, "-----END") {
				err = fmt.Errorf("belongs to the value of a line before (%s): write it in one line, with \\n for the line ends", key.name)
			}
			return nil, fmt.Errorf("line %d %w", number, err)
		}
		f.lines = append(f.lines, l)
		number += strings.Count(l.text, "\n")
		rest = after
	}
	return f, nil
}

// newest is the last line that sets a variable.
func (f *File) newest() line {
	for _, l := range slices.Backward(f.lines) {
		if l.name != "" {
			return l
		}
	}
	return line{}
}

// parseLine reads one line off the text.
func parseLine(text string, first bool) (l line, rest string, err error) {
	end := strings.IndexByte(text, '\n') + 1
	if end == 0 {
		end = len(text)
	}
	l.text, rest = text[:end], text[end:]
	content, skipped := l.text, 0
	if first {
		content = strings.TrimPrefix(content, byteOrderUTF)
		skipped = len(l.text) - len(content)
	}
	trimmed := strings.TrimSpace(content)
	if trimmed == "" || trimmed[0] == '#' || nameOnly().MatchString(content) {
		return l, rest, nil // a name alone is taken from the shell: nothing is set here
	}
	head := assignment().FindStringSubmatchIndex(content)
	if head == nil {
		return l, rest, fmt.Errorf("is neither NAME=value nor a comment: correct it, or put # before it")
	}
	l.name = content[head[4]:head[5]]
	l.start = skipped + head[1]
	if at := text[l.start:]; at != "" && (at[0] == '"' || at[0] == '\'') {
		closing := closingQuote(at)
		if closing < 0 {
			return l, rest, fmt.Errorf("has a quote that is never closed (%s): close it, or take it away", l.name)
		}
		l.end = l.start + closing + 1
		tail := text[l.end:]
		end = strings.IndexByte(tail, '\n') + 1
		if end == 0 {
			end = len(tail)
		}
		if after := strings.TrimSpace(tail[:end]); after != "" && after[0] != '#' {
			return l, rest, fmt.Errorf("has something behind the closing quote (%s): take it away", l.name)
		}
		l.text, rest = text[:l.end+end], tail[end:]
		l.value = at[1:closing]
		if at[0] == '\'' {
			l.value = strings.ReplaceAll(l.value, `\'`, `'`)
		} else {
			if replaces(strings.ReplaceAll(l.value, `\$`, "$$")) {
				return l, rest, errReplaces(l.name)
			}
			l.value = escapes.Replace(l.value)
		}
		return l, rest, nil
	}
	value := strings.TrimRight(l.text[l.start:], "\r\n")
	unindented := strings.TrimLeftFunc(value, unicode.IsSpace)
	l.start, value = l.start+len(value)-len(unindented), unindented
	if at := comment(value); at >= 0 {
		value = value[:at]
	}
	l.value = strings.TrimRightFunc(value, unicode.IsSpace)
	l.end = l.start + len(l.value)
	if replaces(l.value) {
		return l, rest, errReplaces(l.name)
	}
	l.value = strings.ReplaceAll(l.value, "$$", "$")
	return l, rest, nil
}

func errReplaces(name string) error {
	return fmt.Errorf("has a $ that compose would replace (%s): write the value in single quotes, which docker run --env-file takes as part of it", name)
}

// replaces tells whether compose would put something in the place of a $.
func replaces(value string) bool {
	return replacement().MatchString(strings.ReplaceAll(value, "$$", ""))
}

// comment finds where a comment behind a value begins, as compose does: behind a
// blank, and not in the place of the value; -1 if there is none.
func comment(value string) int { return strings.Index(value, " #") }

// closingQuote finds the quote that ends a value which begins with one.
func closingQuote(text string) int {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// Environ is the file's variables, "NAME=value" each; of one that stands twice,
// the last.
func (f *File) Environ() []string {
	var environ []string
	for i, l := range f.lines {
		if l.name != "" && f.last(l.name) == i {
			environ = append(environ, l.name+"="+l.value)
		}
	}
	return environ
}

func (f *File) last(name string) int {
	for i := len(f.lines) - 1; i >= 0; i-- {
		if f.lines[i].name == name {
			return i
		}
	}
	return -1
}

// Get returns a variable's value; ok is false if the file does not set it.
func (f *File) Get(name string) (value string, ok bool) {
	if i := f.last(name); i >= 0 {
		return f.lines[i].value, true
	}
	return "", false
}

// Set gives a variable a value: where it stands, or at its commented-out place,
// or at the end. A value that both readers take as it is stays without quotes.
func (f *File) Set(name, value string) {
	text := value
	if needsQuotes(value) {
		text = "'" + value + "'"
		if strings.Contains(value, "'") || strings.HasSuffix(value, `\`) {
			text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`).Replace(value) + `"`
		}
	}
	if i := f.last(name); i >= 0 {
		l := &f.lines[i]
		l.text, l.value = l.text[:l.start]+text+l.text[l.end:], value
		l.end = l.start + len(text)
		return
	}
	added := line{text: name + "=" + text + f.lineEnd(), name: name, value: value, start: len(name) + 1, end: len(name) + 1 + len(text)}
	commented := regexp.MustCompile(`^\s*#\s*` + regexp.QuoteMeta(name) + `\s*=\S*\s*$`) // and no sentence
	for i, l := range f.lines {
		if l.name == "" && commented.MatchString(l.text) {
			if !strings.HasSuffix(l.text, "\n") {
				added.text = strings.TrimRight(added.text, "\r\n")
			}
			f.lines[i] = added
			return
		}
	}
	if n := len(f.lines); n > 0 && !strings.HasSuffix(f.lines[n-1].text, "\n") {
		f.lines[n-1].text += f.lineEnd()
	}
	f.lines = append(f.lines, added)
}

// needsQuotes tells whether compose would take a value for something else without.
func needsQuotes(value string) bool {
	return value != strings.TrimSpace(value) || strings.ContainsAny(value, "\r\n") || strings.ContainsAny(value[:min(1, len(value))], `"'#`) ||
		comment(value) >= 0 || replaces(value) || strings.Contains(value, "$$")
}

// Unset comments a variable out wherever it stands, without its value: that may
// be a secret that nobody would look for in a comment.
func (f *File) Unset(name string) {
	for i, l := range f.lines {
		if l.name != name {
			continue
		}
		end := "\n"
		switch {
		case strings.HasSuffix(l.text, "\r\n"):
			end = "\r\n"
		case !strings.HasSuffix(l.text, "\n"):
			end = ""
		}
		f.lines[i] = line{text: "#" + name + "=" + end}
		if i == 0 && strings.HasPrefix(l.text, byteOrderUTF) {
			f.lines[i].text = byteOrderUTF + f.lines[i].text
		}
	}
}

// lineEnd is the one that the file has.
func (f *File) lineEnd() string {
	for _, l := range f.lines {
		if strings.HasSuffix(l.text, "\r\n") {
			return "\r\n"
		}
	}
	return "\n"
}

// Bytes is the file.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range f.lines {
		b.WriteString(l.text)
	}
	return b.Bytes()
}
