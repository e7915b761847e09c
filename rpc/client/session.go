package client

import (
	"sync"

	"github.com/rota-registry/rota/registry"
)

// session numbers the turns of one session.
type session struct {
	id string

	mu struct {
		sync.Mutex
		// next is the serial of the next turn.
		next uint64
		// first is the smallest serial that is not finished.
		first uint64
		// finished are the finished ones above first: where each run of them
		// begins, and the serial behind it.
		finished map[uint64]uint64
	}
}

func newSession(id string) *session {
	s := &session{id: id}
	s.mu.next, s.mu.first, s.mu.finished = 1, 1, make(map[uint64]uint64)
	return s
}

// room is how many turns more may be under way.
func (s *session) room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return registry.OutstandingMax - int(s.mu.next-s.mu.first)
}

// draw gives the first of n serials in a row, for which there must be room, and
// the one to acknowledge with them: nothing below it will be sent again. All
// that are drawn must be finished, together.
func (s *session) draw(n int) (serial, firstUnacked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	serial = s.mu.next
	s.mu.next += uint64(n)
	return serial, s.mu.first
}

// finish says that serials that were drawn will not be sent again, whatever
// came of them.
func (s *session) finish(serial uint64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.finished[serial] = serial + uint64(n)
	for {
		behind, ok := s.mu.finished[s.mu.first]
		if !ok {
			return
		}
		delete(s.mu.finished, s.mu.first)
		s.mu.first = behind
	}
}
