package replica

import "github.com/hashicorp/raft"

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
