//go:build linux

package runner

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"time"
)

// sighting is what one line of the runner's output tells about its state.
type sighting int

const (
	nothing         sighting = iota
	listening                // the listener has a session: it is online
	jobStarted               // text: the job's display name
	jobCompleted             // text: the job's display name and its result, as endOf takes them
	connectionLost           // text: GitHub's or the network's words
	connectionBack           //
	restarting               // run.sh starts its listener again: after a retryable error or an update
	updating                 // the listener has begun to update itself, or ended for it
	sessionConflict          // the listener ended with 5, which run.sh hides
	terminated               // the listener ended with 1, which run.sh hides
	unknownCode              // text: the listener's exit code, which run.sh hides
	deleted                  // GitHub has deleted the registration, and the listener ends
	noSuchGroup              // config.sh: the runner group does not exist
	versionIs                // text: the official runner's version
)

type line struct {
	what sighting
	text string
}

// The lines of run-helper.sh and config.sh that carry what their exit codes
// hide (actions/runner 2.336.0, src/Misc/layoutroot).
var wholeLines = []struct {
	prefix string
	what   sighting
}{
	{"Runner listener exit with retryable error", restarting},
	{"Runner update in progress", updating}, // files change from here on, with the listener running
	{"Runner listener exit because of updating", restarting},
	{"Runner listener exit with Session Conflict error", sessionConflict},
	{"Runner listener exit with terminated error", terminated},
	{"Exiting with unknown error code: ", unknownCode},
	{"Failed to create a session. The runner registration has been deleted from the server", deleted},
	{"Could not find any self-hosted runner group named ", noSuchGroup},
	{"Current runner version: ", versionIs}, // the listener's, each time that it starts
}

// parseLine recognises the lines that tell the state. The listener prints its
// diagnostic log too when ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT is set, so only
// whole lines count: a timestamp ("2026-08-12 10:11:12Z: ") and known words.
// It allocates only for lines that it recognises.
func parseLine(text []byte) line {
	text = bytes.TrimRight(text, "\r")
	if rest, ok := cutTimestamp(text); ok {
		switch {
		case string(rest) == "Listening for Jobs":
			return line{what: listening}
		case bytes.HasPrefix(rest, []byte("Running job: ")):
			return line{jobStarted, string(rest[len("Running job: "):])}
		case bytes.HasPrefix(rest, []byte("Job ")):
			if told := string(rest[len("Job "):]); isEnd(told) {
				return line{jobCompleted, told}
			}
		case bytes.HasPrefix(rest, []byte("Runner connect error: ")):
			return line{connectionLost, string(rest[len("Runner connect error: "):])}
		case string(rest) == "Runner reconnected.":
			return line{what: connectionBack}
		}
		return line{}
	}
	// config.sh's errors come as "An error occurred: …", and behind a line start
	// or a colour.
	text = bytes.TrimPrefix(text, []byte("An error occurred: "))
	for _, known := range wholeLines {
		if bytes.HasPrefix(text, []byte(known.prefix)) && (known.what != unknownCode || isNumber(text[len(known.prefix):])) {
			return line{known.what, string(text[len(known.prefix):])}
		}
	}
	return line{}
}

// cutTimestamp removes "yyyy-mm-dd hh:mm:ssZ: ".
func cutTimestamp(text []byte) ([]byte, bool) {
	const layout = "0000-00-00 00:00:00Z: "
	if len(text) < len(layout) {
		return nil, false
	}
	for i := range len(layout) {
		if layout[i] == '0' {
			if text[i] < '0' || text[i] > '9' {
				return nil, false
			}
		} else if text[i] != layout[i] {
			return nil, false
		}
	}
	return text[len(layout):], true
}

// longestLine and longestEnd bound what is kept of a line, in bytes. A longer one
// is known by its beginning and its end: between them stands a job's name, which
// may be of any length.
const (
	longestLine = 4096
	longestEnd  = 256
)

// scanner hands what is written to it on unchanged and calls found for each line
// that tells something.
type scanner struct {
	next    io.Writer
	found   func(line)
	last    *lastLine
	partial []byte // the beginning of a line whose end has not come yet
	end     []byte // the newest bytes of one that is longer than longestLine
}

// Write never fails for the child's sake: an engine that no longer takes our
// output must not end a job. The state is read from the line all the same.
func (s *scanner) Write(p []byte) (int, error) {
	_, _ = s.next.Write(p)
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.keep(p)
			break
		}
		if len(s.partial) == 0 && end <= longestLine {
			s.report(p[:end])
		} else {
			s.keep(p[:end])
			s.partial = append(s.partial, s.end...)
			s.report(s.partial)
		}
		s.partial, s.end = s.partial[:0], s.end[:0]
		p = p[end+1:]
	}
	return n, nil
}

func (s *scanner) keep(p []byte) {
	room := min(longestLine-len(s.partial), len(p))
	s.partial = append(s.partial, p[:room]...)
	if p = p[room:]; len(p) > longestEnd {
		p = p[len(p)-longestEnd:]
	}
	if over := len(s.end) + len(p) - longestEnd; over > 0 {
		s.end = append(s.end[:0], s.end[over:]...)
	}
	s.end = append(s.end, p...)
}

func (s *scanner) report(text []byte) {
	l := parseLine(text)
	if l.what != nothing {
		s.found(l)
	}
	if isLastWord(text, l.what) {
		s.last.set(text)
	}
}

// isLastWord tells whether a line may be the cause of an end. What run.sh says of it
// is none, and neither is the diagnostic log, whose last line only says that there
// is an end.
func isLastWord(text []byte, what sighting) bool {
	if len(bytes.TrimSpace(text)) == 0 || what != nothing && what != noSuchGroup && what != deleted {
		return false
	}
	for _, prefix := range []string{"Exiting runner", "Restarting runner", "[RUNNER ", "[WORKER ", "Runner listener exit with "} {
		if bytes.HasPrefix(text, []byte(prefix)) {
			return false
		}
	}
	return true
}

func isNumber(text []byte) bool {
	return len(text) > 0 && len(bytes.Trim(text, "0123456789")) == 0
}

// pump copies a child's pipe until it ends. After the child's own end, finish
// takes what is still in the pipe and stops, whoever else holds it open.
type pump struct {
	pipe *os.File
	to   io.Writer
	done chan struct{}
}

// newPump returns the pump and the end to give to the child; the caller closes
// that end once the child has it.
func newPump(to io.Writer) (*pump, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &pump{pipe: read, to: to, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		buffer := make([]byte, 16<<10)
		for {
			n, err := read.Read(buffer)
			_, _ = to.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	return p, write, nil
}

// finish is called when the child has ended: its last words are in the pipe by
// then, so what can be read without waiting is all that it said. Waiting for
// the end of the pipe would wait for a grandchild that keeps it open.
func (p *pump) finish() {
	_ = p.pipe.SetReadDeadline(time.Now())
	<-p.done
	if raw, err := p.pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			buffer := make([]byte, 16<<10)
			// Bounded: a grandchild may write faster than we read.
			for range pipeCapacity / len(buffer) {
				n, err := syscall.Read(int(fd), buffer)
				if n <= 0 || err != nil {
					return
				}
				_, _ = p.to.Write(buffer[:n])
			}
		})
	}
	_ = p.pipe.Close()
}

// pipeCapacity is the most that an unprivileged process can have in a pipe, in
// bytes (pipe(7), /proc/sys/fs/pipe-max-size).
const pipeCapacity = 1 << 20
