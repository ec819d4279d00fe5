package monitor

import (
	"net/url"
	"sort"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// longestName bounds what others have named, in characters.
const longestName = 200

// clean bounds a name and takes out of it what could steer a terminal or turn
// text around: what is not printable, and broken UTF-8.
func clean(text string) string {
	if len(text) <= longestName && !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n == longestName {
			b.WriteRune('…')
			break
		}
		switch {
		case r == utf8.RuneError:
			r = '\uFFFD'
		case unprintable(r):
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// address is a link if it is one of the web, else nothing.
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil || len(text) > 500 || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return text
}

// cleanAll cleans a list of at most 100.
func cleanAll(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, text := range texts[:min(len(texts), 100)] {
		out = append(out, clean(text))
	}
	return out
}

// moment is a time that can be: nil is unknown, which also what JSON cannot say is.
func moment(t time.Time) *time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return nil
	}
	return &t
}

// shown is the same of one that may be unknown already.
func shown(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return moment(*t)
}

// sortBy sorts a list, and is stable. It stands for slices.SortFunc, of which the
// linked program would get 20 KB for each type.
func sortBy[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, k int) bool { return compare(list[i], list[k]) < 0 })
}
