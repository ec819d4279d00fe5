package dotenv

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Difference is a place in the file that docker run --env-file reads otherwise than
// docker compose does. It shows no value.
type Difference struct {
	Line           int
	Detail, Remedy string
}

// longestDockerLine is the longest line in bytes that docker run reads (bufio's
// MaxScanTokenSize, less the line end).
const longestDockerLine = 64<<10 - 1

// Differences finds them. docker run takes each line as it stands: what is before
// the first = is the name and must have no blank in it, all that is behind it is
// the value (docker/cli, pkg/kvfile).
func (f *File) Differences() []Difference {
	var all []Difference
	seen := map[string]string{}
	for i, number := 0, 1; i < len(f.lines); i++ {
		l := f.lines[i]
		if detail, remedy := l.otherwise(); detail != "" {
			all = append(all, Difference{number, detail, remedy})
		}
		if before, twice := seen[l.name]; twice && l.name != "" && before != l.value {
			all = append(all, Difference{number, l.name + " stands a second time, with another value: the last one counts", "remove one"})
		}
		seen[l.name] = l.value
		number += strings.Count(l.text, "\n")
	}
	return all
}

// otherwise says what docker run makes of a line that compose does not; "" if it
// reads the same.
func (l line) otherwise() (detail, remedy string) {
	const refuses = "docker run --env-file refuses the whole file: "
	text := strings.TrimSuffix(strings.TrimSuffix(l.text, "\n"), "\r")
	text = strings.TrimLeftFunc(strings.TrimPrefix(text, byteOrderUTF), unicode.IsSpace)
	name, value, _ := strings.Cut(text, "=")
	switch {
	case !utf8.ValidString(text):
		return refuses + "there is a byte that is no UTF-8", "save the file as UTF-8"
	case text == "" || text[0] == '#':
		return "", ""
	case strings.Contains(text, "\n"):
		return l.name + " is a value of several lines: docker run --env-file takes each of them for a variable of its own", "write it in one line; GITHUB_APP_PRIVATE_KEY takes \\n for a line end, or name a file in " + l.name + "_FILE"
	case len(text) > longestDockerLine:
		return refuses + "a line is longer than 64 KiB", "name a file that holds the value in " + l.name + "_FILE"
	case strings.HasPrefix(name, "export") && l.name != "export" && strings.ContainsFunc(name, unicode.IsSpace):
		return refuses + "there is export before " + l.name, "remove export: docker compose needs none"
	case strings.ContainsFunc(name, unicode.IsSpace):
		return refuses + "there is a blank behind " + strings.TrimSpace(name), "remove it"
	case l.name == "" || value == l.value:
		return "", "" // a name alone is taken from the shell by both
	}
	reads := l.name + ": docker run --env-file takes "
	switch {
	case strings.TrimSpace(value) == l.value:
		return reads + "the blanks around the value as part of it", "remove them"
	case l.text[l.start] == '"' || l.text[l.start] == '\'':
		if strings.TrimSpace(l.value) != l.value || replaces(l.value) || comment(l.value) >= 0 || strings.Contains(l.value, "$$") {
			return reads + "the quotes as part of the value, which docker compose needs", "for docker run, give this variable with --env, or name a file that holds the value in " + l.name + "_FILE"
		}
		return reads + "the quotes as part of the value", "remove them"
	case comment(value) >= 0:
		return reads + "the comment behind the value as part of it", "write the comment in a line of its own"
	}
	return reads + "the value as it stands, docker compose replaces a part of it", "write it so that both read it alike, without $$"
}
