package replica

import (
	"time"

	"github.com/hashicorp/raft"
)

// Raft lets a test hurry an election.
func (r *Replica) Raft() *raft.Raft { return r.raft.Load() }

// Flying tells a test how many entries of round-robin turns are on their way.
func (r *Replica) Flying() int {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	return len(r.gate.mu.combiner.flying)
}

// Waiting tells a test how many round-robin requests are unanswered.
func (r *Replica) Waiting() int {
	r.writes.mu.Lock()
	defer r.writes.mu.Unlock()
	return len(r.writes.mu.waiting)
}

// FailStore lets a test fail or hold up the calls of the store, of which none
// may take longer than callMax; 0 is what it is otherwise.
func (o *Options) FailStore(fault func(call string) error, callMax time.Duration) {
	o.disk.fault, o.disk.callMax = fault, callMax
}

// Compact lets a test see compactions of few entries.
func (o *Options) Compact(trailing, chunk uint64) { o.disk.trailing, o.disk.chunk = trailing, chunk }

// FreeSpace lets a test say how many bytes are free, and how many there are.
func (o *Options) FreeSpace(is func(dir string) (free, total uint64)) {
	o.disk.free = func(dir string) (s space, err error) {
		s.free, s.total = is(dir)
		return s, nil
	}
}
