// Package records keeps what is known of finished jobs: a file of JSON Lines to
// which many containers append and which the monitor reads.
package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/virtuoso902/org-runner/internal/text"
)

// Record is one job that a runner has run. What is not known is absent, never
// zero: so the optional parts are pointers.
type Record struct {
	Repository string `json:"repository,omitempty"` // owner/name
	Workflow   string `json:"workflow,omitempty"`
	Job        string `json:"job"`
	RunID      int64  `json:"run_id,omitempty"`
	RunURL     string `json:"run_url,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`
	Actor      string `json:"actor,omitempty"`
	Result     string `json:"result"`           // Succeeded, Failed, Canceled, Abandoned, as the official runner says it; lost when it was killed, unknown when nobody told
	Reason     string `json:"reason,omitempty"` // of a job that a stop has cancelled, as GitHub shows it
	Runner     string `json:"runner"`

	Queued   *time.Time `json:"queued,omitempty"`
	Started  time.Time  `json:"started"`
	Finished time.Time  `json:"finished"`

	CPUSeconds *float64 `json:"cpu_seconds,omitempty"`
	PeakMemory *int64   `json:"peak_memory_bytes,omitempty"`
	OOMKills   *int64   `json:"oom_kills,omitempty"`
	Read       *int64   `json:"read_bytes,omitempty"`
	Written    *int64   `json:"written_bytes,omitempty"`
	Disk       *int64   `json:"disk_bytes,omitempty"` // used in the work folder at the job's end
}

// longestLine is what a reader takes for a record, in bytes.
const longestLine = 64 << 10

// Bounded is a name that others have given, as logs and records may show it: in one
// line of bounded length.
func Bounded(name string) string { return text.Name(name) }

// Append adds a record to a file, which is made if it is not there, and begun anew
// when it is full. Several processes may append at once: each line is one write
// under a lock, and one that was torn by a crash before it is ended first.
func Append(path string, r Record) error {
	for _, name := range []*string{&r.Repository, &r.Workflow, &r.Job, &r.RunURL, &r.Actor, &r.Result, &r.Runner} {
		*name = Bounded(*name)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := openToAppend(path)
	if err != nil {
		return err
	}
	defer f.Close()
	line = append(line, '\n')
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}

// Read calls each for every record from an offset on and returns the offset
// behind the last whole line and how many lines were no records. It stops when
// each returns false. A last line that is not ended yet is left for the next time.
func Read(f io.ReadSeeker, offset int64, each func(Record) bool) (next int64, torn int, err error) {
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset, 0, err
	}
	reader := bufio.NewReaderSize(f, longestLine+1)
	for {
		line, err := reader.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // no record of ours: skip it
			offset += int64(len(line))
			line, err = reader.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return offset, torn, nil
		}
		if err != nil {
			return offset, torn, err
		}
		offset += int64(len(line))
		var r Record
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if json.Unmarshal(line, &r) != nil || r.Finished.IsZero() {
			torn++
			continue
		}
		if !each(r) {
			return offset, torn, nil
		}
	}
}
