package replica

import "github.com/hashicorp/raft"

// Raft lets a test hurry an election.
func (r *Replica) Raft() *raft.Raft { return r.raft.Load() }
