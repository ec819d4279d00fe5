package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// terminal prints as the official runner does: every line on a stream, and what
// the diagnostic log says in a file of _diag, and beside the lines where
// ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT is set.
type terminal struct {
	mu   sync.Mutex
	who  string // RUNNER or WORKER
	log  io.Writer
	echo bool
	mute bool // the listener loses its own lines
	full bool // the log's disk has no space left
}

var term = terminal{who: "RUNNER", log: io.Discard, echo: os.Getenv("ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT") != ""}

// open begins a log in _diag. A folder that cannot be written is no reason to
// stop; one without space ends the program with an exception.
func (t *terminal) open(root, kind string) {
	_ = os.MkdirAll(filepath.Join(root, "_diag"), 0o755)
	name := fmt.Sprintf("%s_%s-utc.log", kind, time.Now().UTC().Format("20060102-150405"))
	if file, err := os.OpenFile(filepath.Join(root, "_diag", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
		t.log = file
		t.trace("Program", "The diagnostic log begins")
		if t.full {
			abort("System.IO.IOException: No space left on device : '" + file.Name() + "'")
		}
	}
}

// hasSpace tells whether all of the log could be written so far.
func (t *terminal) hasSpace() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.full
}

// stamp is a point in time as .NET's universal sortable format has it.
func stamp() string { return time.Now().UTC().Format("2006-01-02 15:04:05Z") }

// trace writes into the diagnostic log. Each line of the text has the prefix; a
// lone carriage return ends no line, which is what the text of others can use.
func (t *terminal) trace(area, format string, values ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	prefix := fmt.Sprintf("[%s %s INFO %s] ", t.who, stamp(), area)
	for line := range strings.SplitSeq(fmt.Sprintf(format, values...), "\n") {
		if _, err := fmt.Fprintln(t.log, prefix+line); errors.Is(err, syscall.ENOSPC) {
			t.full = true
		}
		if t.echo {
			fmt.Println(prefix + line)
		}
	}
}

// chatter fills the diagnostic log as much as the official runner does: so many
// lines of about 130 bytes.
func (t *terminal) chatter(area string, lines int) {
	text := strings.Repeat("Well known directory 'Diag': a line that tells nothing of the runner's state\n", lines)
	t.trace(area, "%s", strings.TrimSuffix(text, "\n"))
}

// print prints a line as it is: a job's name can hold line ends.
func (t *terminal) print(stream *os.File, kind, text string) {
	t.trace("Terminal", "WRITE %s: %s", kind, text)
	fmt.Fprintln(stream, text)
}

func (t *terminal) line(format string, values ...any) {
	if !t.mute {
		t.print(os.Stdout, "LINE", fmt.Sprintf(format, values...))
	}
}

// say prints a line with the time before it.
func (t *terminal) say(format string, values ...any) {
	t.line("%s", stamp()+": "+fmt.Sprintf(format, values...))
}

func success(text string) { term.line("√ %s", text) }

// fail prints an error as the official listener does, and is its exit code.
func fail(format string, values ...any) int {
	term.print(os.Stderr, "ERROR", fmt.Sprintf(format, values...))
	return 1
}
