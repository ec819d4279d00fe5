package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
	"unique"

	"github.com/virtuoso902/org-runner/register"
)

const (
	// kept is how long finished jobs are remembered: a week, and a day more so that
	// the week is whole.
	kept = 8 * 24 * time.Hour
	// mostJobs and mostBytes bound the history, in memory and as a file.
	mostJobs  = 100_000
	mostBytes = 64 << 20
	// longestLine bounds one run of the file, in bytes: 1,000 jobs.
	longestLine = 1 << 20
)

// runLine is one line of the file: a finished run with those of its jobs that ran
// on own runners. There may be none; then it only says that the run has been
// looked into.
type runLine struct {
	Run        int64     `json:"run"`
	Attempt    int       `json:"attempt,omitempty"`
	Repository string    `json:"repository"`
	Workflow   string    `json:"workflow,omitempty"`
	Finished   int64     `json:"finished"` // Unix seconds, as all times here
	Free       bool      `json:"free,omitempty"`
	Jobs       []jobLine `json:"jobs,omitempty"`
}

type jobLine struct {
	Name     string `json:"name"`
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

// name is a text of which there is one copy, however many jobs have it.
type name = unique.Handle[string]

// finished is one job in memory; times are Unix seconds, 0 for unknown.
type finished struct {
	run                        int64
	queued, started, ended     int64
	repository, workflow, name name
	result, system             name
	free                       bool // GitHub's own runners would have been free
}

func (j finished) took() time.Duration { return time.Duration(max(j.ended-j.started, 0)) * time.Second }

func (j finished) waited() time.Duration { return time.Duration(j.started-j.queued) * time.Second }

// history is the finished jobs of the last days, in memory and in a file. Its
// owner locks.
type history struct {
	path  string
	file  *os.File
	began time.Time
	jobs  []finished
	runs  map[int64]run // those that have been looked into
	lines int           // in the file
	whole int           // of them when it was last written anew
	size  int64
	err   error // of the last write
}

type run struct {
	attempt int
	ended   int64
}

// openHistory reads dir/history.jsonl, which need not be there yet. An error is
// one of the configuration: the folder cannot be used.
func openHistory(dir string, now time.Time) (*history, error) {
	h := &history{path: filepath.Join(dir, "history.jsonl"), began: now, runs: map[int64]run{}}
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
	if err := h.compact(now); err != nil {
		return refused(err)
	}
	return h, nil
}

func (h *history) close() error { return h.file.Close() }

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

// has tells whether an attempt of a run has been looked into.
func (h *history) has(id int64, attempt int) bool {
	r, found := h.runs[id]
	return found && r.attempt >= attempt
}

func finishedOf(r runLine, j jobLine) finished {
	return finished{run: r.Run, queued: j.Queued, started: j.Started, ended: j.Finished, repository: unique.Make(r.Repository),
		workflow: unique.Make(r.Workflow), name: unique.Make(j.Name), result: unique.Make(j.Result), system: unique.Make(j.System), free: r.Free}
}

// remember takes a run into memory and returns those of its jobs that are new: the
// jobs that a new attempt did not run again are those of the old one.
func (h *history) remember(r runLine) []finished {
	if h.has(r.Run, r.Attempt) {
		return nil
	}
	_, again := h.runs[r.Run]
	h.runs[r.Run] = run{r.Attempt, r.Finished}
	var added []finished
	for _, j := range r.Jobs {
		f := finishedOf(r, j)
		if again && slices.ContainsFunc(h.jobs, func(old finished) bool {
			return old.run == f.run && old.started == f.started && old.name == f.name
		}) {
			continue
		}
		added = append(added, f)
	}
	h.jobs = append(h.jobs, added...)
	return added
}

// add remembers a finished run and appends it to the file. What cannot be written
// is remembered all the same, and err says so.
func (h *history) add(r runLine, now time.Time) []finished {
	added := h.remember(r)
	data, err := json.Marshal(r)
	if err == nil {
		if h.err != nil {
			data = append([]byte{'\n'}, data...) // ends a line that was torn
		}
		var n int
		n, err = h.file.Write(append(data, '\n'))
		h.size += int64(n)
		h.lines++
	}
	h.err = err
	if len(h.jobs) > mostJobs+mostJobs/10 || h.size > mostBytes || h.lines > 2*h.whole+1000 {
		h.err = errors.Join(err, h.compact(now))
	}
	return added
}

// forget lets go of what is too old, and of the oldest where there is too much. A
// run's mark stays longer than its jobs: it must not come back from GitHub's list.
func (h *history) forget(now time.Time, most int) {
	oldest := now.Add(-kept).Unix()
	if len(h.jobs) > most {
		sort.Slice(h.jobs, func(i, k int) bool { return h.jobs[i].ended < h.jobs[k].ended })
		h.jobs = slices.Clone(h.jobs[len(h.jobs)-most:])
	}
	h.jobs = slices.DeleteFunc(h.jobs, func(j finished) bool { return j.ended < oldest })
	if len(h.runs) > 2*mostJobs {
		ends := make([]int64, 0, len(h.runs))
		for _, r := range h.runs {
			ends = append(ends, r.ended)
		}
		slices.Sort(ends)
		oldest = max(oldest, ends[len(ends)-mostJobs])
	}
	maps.DeleteFunc(h.runs, func(_ int64, r run) bool { return r.ended < oldest })
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
		l.Jobs = append(l.Jobs, jobLine{j.name.Value(), j.result.Value(), j.queued, j.started, j.ended, j.system.Value()})
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
		err = errors.Join(err, encoder.Encode(l))
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
