package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/register"
)

const (
	// longestLine is what a reader takes for a line, in bytes; mostInLine jobs, with
	// the longest names that there can be, are less.
	longestLine = 1 << 20
	mostInLine  = 250
	// rewriteEvery is how often it is tried again to write the file anew.
	rewriteEvery = time.Minute
)

// runLine is one line of the file: a finished run with those of its jobs that ran
// on own runners. There may be none; then it only says that the run has been
// looked into. A run of many jobs has several lines.
type runLine struct {
	Run        int64     `json:"run"`
	Attempt    int       `json:"attempt,omitempty"`
	Repository string    `json:"repository"`
	Workflow   string    `json:"workflow,omitempty"`
	Finished   int64     `json:"finished"` // Unix seconds, as all times here
	Free       bool      `json:"free,omitempty"`
	More       bool      `json:"more,omitempty"` // the jobs of the line before go on
	Jobs       []jobLine `json:"jobs,omitempty"`
}

type jobLine struct {
	Name     string `json:"name"`
	Nth      int32  `json:"nth,omitempty"` // of its name that began in that second of its attempt
	Result   string `json:"result"`
	Queued   int64  `json:"queued,omitempty"`
	Started  int64  `json:"started,omitempty"`
	Finished int64  `json:"finished"`
	System   string `json:"system,omitempty"`
}

// header is the file's first line.
type header struct {
	Began time.Time `json:"began"`
}

// historyFile is the file that the history is in.
type historyFile struct {
	path  string
	file  *os.File // nil: it could not be written at the start
	lines int      // in the file
	whole int      // of them when it was last written anew
	size  int64

	torn    bool      // its last line may not be whole
	behind  bool      // memory has what it has not
	err     error     // why
	failed  time.Time // when it could last not be written anew
	trouble string    // what the page was told of err
}

// openHistory reads dir/history.jsonl, which need not be there yet. An error is
// one of the configuration: the folder cannot be used. That a disk is full is none:
// the history is kept in memory then.
func openHistory(dir string, now time.Time) (*history, error) {
	h := &history{began: now, runs: map[int64]run{}}
	h.path = filepath.Join(dir, "history.jsonl")
	refused := func(err error) (*history, error) {
		return nil, fmt.Errorf("%w: the history cannot be kept: %w: make %s a folder that this user (uid %d) can write, as a volume, or name another one with --data",
			register.ErrConfiguration, err, dir, os.Getuid())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return refused(err)
	}
	if err := h.load(now); err != nil {
		return refused(err)
	}
	// It is written anew once, so that what is old, torn or double is gone, and it is
	// known that it can be.
	if h.rewriteNow(now); h.err != nil && !isFull(h.err) {
		return refused(h.err)
	}
	return h, nil
}

// isFull tells whether an error goes away when somebody makes room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (h *historyFile) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// load reads the file. Lines that are no runs were torn by a crash.
func (h *history) load(now time.Time) error {
	f, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	reader := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := readLine(reader)
		if len(line) > 0 {
			var first header
			var r runLine
			switch {
			case json.Unmarshal(line, &r) == nil && r.Run != 0 && r.Finished > 0:
				h.remember(r)
			case json.Unmarshal(line, &first) == nil && !first.Began.IsZero() && first.Began.Before(now):
				h.began = first.Began
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readLine reads one line; one that is too long is passed over.
func readLine(reader *bufio.Reader) (line []byte, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		if len(line)+len(part) <= longestLine {
			line = append(line, part...)
		} else {
			line = append(line[:0], "too long"...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), err
		}
	}
}

func finishedOf(r runLine, j jobLine) finished {
	return finished{run: r.Run, queued: j.Queued, started: j.Started, ended: j.Finished, repository: unique.Make(r.Repository),
		workflow: unique.Make(r.Workflow), name: unique.Make(j.Name), result: unique.Make(j.Result), system: unique.Make(j.System), free: r.Free, nth: j.Nth}
}

func lineOf(f finished) jobLine {
	return jobLine{f.name.Value(), f.nth, f.result.Value(), f.queued, f.started, f.ended, f.system.Value()}
}

// parts is a run in lines that are not too long.
func (r runLine) parts() []runLine {
	parts, jobs := []runLine{}, r.Jobs
	for {
		r.Jobs = jobs[:min(len(jobs), mostInLine)]
		parts = append(parts, r)
		if jobs = jobs[len(r.Jobs):]; len(jobs) == 0 {
			return parts
		}
		r.More = true
	}
}

// append writes a run to the end of the file.
func (h *historyFile) append(r runLine) {
	var text bytes.Buffer
	if h.torn {
		text.WriteByte('\n')
	}
	encoder := json.NewEncoder(&text)
	for _, part := range r.parts() {
		if err := encoder.Encode(part); err != nil {
			panic(err) // no type of it can fail
		}
		h.lines++
	}
	n, err := 0, error(os.ErrClosed)
	if h.file != nil {
		n, err = h.file.Write(text.Bytes())
	}
	h.size += int64(n)
	if h.torn = err != nil; h.torn {
		h.behind = true
		if h.err == nil { // else there is an older reason
			h.err = err
		}
	}
}

// keepUp writes the file anew when it has become too large, or lacks something. A
// disk that is full is not tried at every run that ends.
func (h *history) keepUp(now time.Time) {
	if !h.behind && len(h.jobs) <= mostJobs+mostJobs/10 && h.size <= mostBytes && h.lines <= 2*h.whole+1000 {
		return
	}
	if h.failed.IsZero() || now.Sub(h.failed) >= rewriteEvery || now.Before(h.failed) {
		h.rewriteNow(now)
	}
}

func (h *history) rewriteNow(now time.Time) {
	if h.err = h.compact(now); h.err != nil {
		h.behind, h.failed = true, now
		return
	}
	h.behind, h.torn, h.failed = false, false, time.Time{}
}

// compact writes the file anew, with so few jobs that there is room for more.
func (h *history) compact(now time.Time) error {
	for most := mostJobs; ; most /= 2 {
		h.forget(now, most)
		if err := h.rewrite(); err != nil || h.size < mostBytes*3/4 || most == 0 {
			return err
		}
	}
}

// rewrite writes a new file and puts it in the old one's place.
func (h *history) rewrite() error {
	lines := make(map[int64]*runLine, len(h.runs))
	for id, r := range h.runs {
		lines[id] = &runLine{Run: id, Attempt: r.attempt, Finished: r.ended}
	}
	for _, j := range h.jobs {
		l := lines[j.run]
		if l == nil {
			l = &runLine{Run: j.run, Finished: j.ended}
			lines[j.run] = l
		}
		l.Repository, l.Workflow, l.Free = j.repository.Value(), j.workflow.Value(), j.free
		l.Jobs = append(l.Jobs, lineOf(j))
	}
	file, err := os.OpenFile(h.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	size := &counter{w: file}
	out := bufio.NewWriter(size)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(header{h.began.UTC()})
	for _, l := range lines {
		for _, part := range l.parts() {
			err = errors.Join(err, encoder.Encode(part))
		}
	}
	err = errors.Join(err, out.Flush(), file.Sync())
	if err == nil {
		err = os.Rename(h.path+".new", h.path)
	}
	if err != nil {
		file.Close()
		return errors.Join(err, os.Remove(h.path+".new"))
	}
	if h.file != nil {
		h.file.Close()
	}
	h.file, h.size, h.lines, h.whole = file, size.n, len(lines)+1, len(lines)+1
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(data []byte) (int, error) {
	n, err := c.w.Write(data)
	c.n += int64(n)
	return n, err
}

// keepStore tries again to write what could not be written, and tells when it
// cannot.
func (m *Monitor) keepStore(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history.keepUp(now)
	m.tellStore()
}

// tellStore notes that the history cannot be written; the state is locked.
func (m *Monitor) tellStore() {
	what := ""
	if m.history.err != nil {
		what = clean("the history cannot be written: " + m.history.err.Error())
	}
	m.lasting(&m.history.trouble, what, "make room on the disk of "+m.options.Data+", or name another folder with --data")
}
