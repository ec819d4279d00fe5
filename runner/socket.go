package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Socket is where the life of a container answers, below its state folder. It
// is no way in: whoever reaches it can read the status and nothing else.
func Socket(stateDir string) string { return filepath.Join(stateDir, "life.sock") }

// SocketVariable tells the job-started hook where to ask. A workflow cannot set
// it: hooks do not see the workflow's own env.
const SocketVariable = "ORG_RUNNER_SOCKET"

// imageStateDir is the folder for our own small files that the image has.
const imageStateDir = "/run/org-runner"

func homeStateDir(home string) string { return filepath.Join(home, ".org-runner") }

// FindSocket returns where the life in this container answers, for who may be
// another user than it: the folder of the image, unless the life could not use it.
func FindSocket(home string) string {
	for _, dir := range []string{imageStateDir, homeStateDir(home)} {
		if info, err := os.Lstat(Socket(dir)); err == nil && info.Mode()&os.ModeSocket != 0 {
			return Socket(dir)
		}
	}
	if info, err := os.Stat(imageStateDir); err == nil && info.IsDir() {
		return Socket(imageStateDir)
	}
	return Socket(homeStateDir(home))
}

// Job is what is known of the job that runs.
type Job struct {
	Name       string    `json:"name"`
	Repository string    `json:"repository,omitempty"`
	Workflow   string    `json:"workflow,omitempty"`
	RunID      string    `json:"run_id,omitempty"`
	RunURL     string    `json:"run_url,omitempty"`
	Attempt    int       `json:"attempt,omitempty"`
	Actor      string    `json:"actor,omitempty"`
	Since      time.Time `json:"since"`

	queued <-chan *time.Time // since when it had been waiting, once that is known
}

// Status is what a life says of itself.
type Status struct {
	State     State     `json:"state"`
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason,omitempty"`
	Began     time.Time `json:"began"`
	Healthy   bool      `json:"healthy"`
	Starting  bool      `json:"starting,omitempty"` // not healthy yet, and not for too long
	Waiting   bool      `json:"waiting,omitempty"`  // not healthy, for a reason that another start would meet too
	Health    string    `json:"health"`
	Name      string    `json:"name"`
	ID        int64     `json:"id,omitempty"`
	URL       string    `json:"url,omitempty"`
	Group     string    `json:"group,omitempty"`
	Labels    []string  `json:"labels"`
	Ephemeral bool      `json:"ephemeral"`
	Version   string    `json:"version,omitempty"` // of the official runner, once it has told it
	Job       *Job      `json:"job,omitempty"`
}

// Live tells whether nothing is won by starting it again: it is well, or it starts,
// or it waits for what the next start would wait for too.
func (s *Status) Live() bool { return s.Healthy || s.Starting || s.Waiting }

// Trouble is what a life that is not listening waits for, in words for people.
// Its zero value is none. It is safe for use by several goroutines.
type Trouble struct{ reason atomic.Pointer[string] }

// Set replaces the reason; "" is none.
func (t *Trouble) Set(reason string) { t.reason.Store(&reason) }

func (t *Trouble) String() string {
	if reason := t.reason.Load(); reason != nil {
		return *reason
	}
	return ""
}

// Viewer shows a life to who is in the same process, where no job can come between
// as at the socket. Its zero value shows none.
type Viewer struct{ status atomic.Pointer[func() Status] }

// Status is what the life says of itself; nil before it has begun.
func (v *Viewer) Status() *Status {
	ask := v.status.Load()
	if ask == nil {
		return nil
	}
	s := (*ask)()
	return &s
}

// Request is a question to a life.
type Request struct {
	Ask string `json:"ask"` // "status", or "job-started" from the hook

	Repository string `json:"repository,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
	RunID      string `json:"run_id,omitempty"`
	RunURL     string `json:"run_url,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`
	Actor      string `json:"actor,omitempty"`
}

// Reply is its answer.
type Reply struct {
	Status *Status `json:"status,omitempty"`

	Allow   bool     `json:"allow,omitempty"`   // the job may run
	Message string   `json:"message,omitempty"` // for the job's log
	Next    []string `json:"next,omitempty"`    // the operator's own hook as a command line, to be run after ours
}

// askTimeout bounds a question and its answer: both ends are on this machine.
const askTimeout = 5 * time.Second

// longestAnswer bounds an answer in bytes. A life's own has up to 100 labels of 256
// characters; a job can have put another socket in its place.
const longestAnswer = 256 << 10

// Ask puts a question to the life behind the socket. What it answers can be a job's
// word: whoever shows it bounds it and makes it visible.
func Ask(socket string, request Request) (Reply, error) {
	connection, err := net.DialTimeout("unix", socket, askTimeout)
	if err != nil {
		return Reply{}, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(askTimeout))
	if err := json.NewEncoder(connection).Encode(request); err != nil {
		return Reply{}, err
	}
	var reply Reply
	bounded := &io.LimitedReader{R: connection, N: longestAnswer}
	if err := json.NewDecoder(bounded).Decode(&reply); err != nil {
		if bounded.N <= 0 {
			err = fmt.Errorf("it is longer than %d KiB", longestAnswer>>10)
		}
		return Reply{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	return reply, nil
}
