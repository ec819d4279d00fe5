package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// screen is the width that output is made for, in characters.
const screen = 80

// table is text in columns. The last column takes what is left of the screen;
// what does not fit is cut.
type table struct {
	head []string
	rows [][]string
	most []int // the widest that a column may become; 0: as wide as it is
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table; paint may colour a cell once it has its width.
func (t *table) print(w io.Writer, paint func(column int, text string) string) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	left := screen
	for i := range widths {
		if i < len(t.most) && t.most[i] > 0 {
			widths[i] = min(widths[i], t.most[i])
		}
		if i == len(widths)-1 {
			widths[i] = min(widths[i], max(left, 10))
		}
		left -= widths[i] + 2
	}
	for n, row := range append([][]string{t.head}, t.rows...) {
		line := ""
		for i, cell := range row {
			cell = shorten(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if n > 0 && paint != nil {
				cell = paint(i, cell)
			}
			if i < len(row)-1 {
				cell += pad + "  "
			}
			line += cell
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// shorten cuts text to a number of characters and shows that it did.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:max(most-1, 0)]) + "…"
}

// age is how long something has lasted, in one or two units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// plural is "1 runner", "2 runners".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	switch {
	case strings.HasSuffix(thing, "y"):
		thing = strings.TrimSuffix(thing, "y") + "ie"
	case strings.HasSuffix(thing, "s"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// wrapped is text in lines that fit the screen, each with an indentation.
func wrapped(text string, indent int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			b.WriteString(strings.Repeat(" ", indent))
			column = indent
		case column+1+length > screen:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
