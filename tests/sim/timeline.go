package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// linesMax is how many lines of a story are kept, the newest.
const linesMax = 4000

// Timeline is what happened, in virtual time. It may be written to from any
// goroutine.
type Timeline struct {
	began time.Time
	mu    struct {
		sync.Mutex
		lines   []string
		dropped int
	}
}

func newTimeline() *Timeline { return &Timeline{began: time.Now()} }

// now is the time since the story began.
func (s *Timeline) now() string { return fmt.Sprintf("%9.3fs", time.Since(s.began).Seconds()) }

// note adds what the scenario does.
func (s *Timeline) note(format string, args ...any) { s.add("== " + fmt.Sprintf(format, args...)) }

// Write adds lines of somebody's log.
func (s *Timeline) Write(b []byte) (int, error) {
	s.add(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

func (s *Timeline) add(line string) {
	at := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.lines) >= 2*linesMax {
		s.mu.dropped += linesMax
		s.mu.lines = append([]string(nil), s.mu.lines[linesMax:]...)
	}
	s.mu.lines = append(s.mu.lines, at+"  "+line)
}

// String gives the story so far.
func (s *Timeline) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := ""
	if s.mu.dropped > 0 {
		head = fmt.Sprintf("(%d lines before)\n", s.mu.dropped)
	}
	return head + strings.Join(s.mu.lines, "\n")
}
