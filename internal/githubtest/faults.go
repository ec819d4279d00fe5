package githubtest

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Drop is when a connection is closed without an answer.
type Drop int

// The ways to drop one.
const (
	DropBefore Drop = iota + 1 // before the call has its effect
	DropAfter                  // after it
)

// Fault makes calls go wrong. The zero values of its parts do nothing.
type Fault struct {
	Operation string // "" for every call of the REST API
	Method    string // instead: a method and a path, with * for one segment
	Path      string // without the API's prefix
	After     int    // spares so many calls first
	Times     int    // then hits so many; 0: all until it is removed

	Status  int // answered without effect
	Message string
	Header  http.Header
	Delay   time.Duration
	Drop    Drop
	Hang    bool // no answer until the caller gives up
	Garbage bool // the effect, and an answer of 200 that is no JSON

	// reset is when a used-up primary rate limit begins anew.
	reset     time.Time
	seen, hit int
	removed   chan struct{}
}

// Inject adds a fault; the function it returns removes it.
func (s *Server) Inject(f Fault) (remove func()) {
	fault := &f
	fault.removed = make(chan struct{})
	s.change(func() { s.faults = append(s.faults, fault) })
	return func() {
		s.change(func() {
			for i, other := range s.faults {
				if other == fault {
					s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
					close(fault.removed)
				}
			}
		})
	}
}

// RemoveFaults removes all of them.
func (s *Server) RemoveFaults() {
	s.change(func() {
		for _, f := range s.faults {
			close(f.removed)
		}
		s.faults = nil
	})
}

// faultFor returns the first fault that hits a call, and whether the whole
// server is down.
func (s *Server) faultFor(q request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if !f.concerns(q) {
			continue
		}
		f.seen++
		if f.seen > f.After && (f.Times == 0 || f.hit < f.Times) {
			f.hit++
			return *f, s.down
		}
	}
	return Fault{}, s.down
}

func (f *Fault) concerns(q request) bool {
	switch {
	case f.Path != "":
		_, ok := match(f.Path, q.path)
		return ok && f.Method == q.method
	case f.Operation != "":
		return f.Operation == q.operation
	}
	return !q.runnerSide
}

// Hits tells how often faults of an operation have hit.
func (s *Server) Hits(operation string) int {
	hits := 0
	s.look(func() {
		for _, f := range s.faults {
			if f.Operation == operation {
				hits += f.hit
			}
		}
	})
	return hits
}

func (s *Server) hang(ctx context.Context, f Fault) {
	select {
	case <-ctx.Done():
	case <-s.done:
	case <-f.removed:
	}
}

// limit is a rate limit on writes.
type limit struct {
	writes     int // a window; 0: no limit
	window     time.Duration
	status     int
	retryAfter bool
	began      time.Time
	used       int
}

// LimitWrites allows so many writes to the REST API in each window, and answers
// the others as GitHub's secondary limit does: with a status of 403 or 429, with
// or without Retry-After.
func (s *Server) LimitWrites(writes int, window time.Duration, status int, retryAfter bool) {
	s.change(func() {
		s.limit = limit{writes: writes, window: window, status: status, retryAfter: retryAfter}
	})
}

// limited answers a write over the limit; the lock is held.
func (s *Server) limited(q request) (response, bool) {
	l := &s.limit
	if l.writes == 0 || q.method == http.MethodGet || q.runnerSide {
		return response{}, false
	}
	now := time.Now()
	if now.Sub(l.began) >= l.window {
		l.began, l.used = now, 0
	}
	l.used++
	if l.used <= l.writes {
		return response{}, false
	}
	answer := refuse(l.status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	if l.retryAfter {
		rest := l.began.Add(l.window).Sub(now)
		answer = answer.with("Retry-After", strconv.Itoa(int(rest/time.Second)+1))
	}
	return answer, true
}

// PrimaryLimit is the Fault of a used-up primary rate limit.
func PrimaryLimit(reset time.Time) Fault {
	return Fault{Status: http.StatusForbidden, Message: "API rate limit exceeded for user ID 1.", reset: reset}
}

// answer is what a fault with a status answers.
func (f Fault) answer(now time.Time) response {
	answer := refuse(f.Status, f.Message)
	for key, values := range f.Header {
		answer = answer.with(key, values[0])
	}
	if !f.reset.IsZero() {
		reset := f.reset
		if soon := now.Add(time.Second); reset.Before(soon) {
			reset = soon // GitHub never names a time that has passed
		}
		answer = answer.with("X-RateLimit-Remaining", "0").with("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	}
	return answer
}
