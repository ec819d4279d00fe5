package cli

import (
	"io"
	"os"
	"slices"
	"sort"

	"github.com/mattn/go-isatty"
)

// isTerminal tells whether somebody may be looking at what is written there.
func isTerminal(stream any) bool {
	if w, ok := stream.(io.Writer); ok {
		stream = unmasked(w)
	}
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// The colours that mean something; never the only sign of it.
const (
	red    = "31"
	yellow = "33"
	green  = "32"
	dim    = "2"
)

// palette colours text on a terminal whose owner has not asked for none
// (no-color.org).
type palette bool

func newPalette(call Invocation, w io.Writer) palette {
	plain := slices.ContainsFunc(call.Environ, func(variable string) bool {
		return len(variable) > len("NO_COLOR=") && variable[:len("NO_COLOR=")] == "NO_COLOR=" || variable == "TERM=dumb"
	})
	return palette(!plain && isTerminal(w))
}

func (p palette) paint(colour, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// sortBy sorts a list, and is stable. It stands for slices.SortFunc, of which the
// linked program would get 20 KB for each type.
func sortBy[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, k int) bool { return compare(list[i], list[k]) < 0 })
}
