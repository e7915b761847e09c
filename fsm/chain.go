package fsm

import (
	"encoding/binary"
	"hash/crc64"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// Chain is a hash over all commands that led to a state: those of the log, each
// with its index and term, in order. Replicas whose logs are the same have the
// same one at the same index, however often they took and restored snapshots,
// which carry it.
type Chain struct {
	// Hash is never 0: that is a snapshot of a release that had no chain.
	Hash uint64
	// From is the index behind which the chain begins: 0, or that of a snapshot
	// without one. Chains that begin elsewhere say nothing about each other.
	From registry.Index
}

// chainSeed is the hash of no command at all.
const chainSeed = 1

// checkpointEvery is at which indexes the chain is remembered: multiples of it.
const checkpointEvery = 4096

// begun gives the chain of a snapshot at an index, which may not have one.
func (c Chain) begun(at registry.Index) Chain {
	if c.Hash == 0 {
		return Chain{Hash: chainSeed, From: at}
	}
	return c
}

// add takes one command in. Its bytes hold a CRC of another polynomial, which
// does not cancel out in this one.
func (c *Chain) add(l *raft.Log) {
	var head [16]byte
	binary.LittleEndian.PutUint64(head[:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	table := crc64.MakeTable(crc64.ECMA)
	c.Hash = crc64.Update(crc64.Update(c.Hash, table, head[:]), table, l.Data)
	if c.Hash == 0 {
		c.Hash = chainSeed
	}
}

// checkpointLocked remembers the chain as it is at the multiple of checkEvery that
// lies before the next entry, if it does. Entries that never come here, no-ops,
// leave gaps: so what is at a multiple is known when something follows it.
func (m *Machine) checkpointLocked(next registry.Index) {
	index := (next - 1) / m.checkEvery * m.checkEvery
	if index == 0 || index < m.mu.at.Index {
		return
	}
	keep := m.mu.checks
	if len(keep) >= registry.CheckpointsMax {
		keep = keep[len(keep)-registry.CheckpointsMax+1:]
	}
	checks := append(make([]registry.Checkpoint, 0, len(keep)+1), keep...)
	m.mu.checks = append(checks, registry.Checkpoint{Index: index, From: m.mu.chain.From, Hash: m.mu.chain.Hash})
}

// Checkpoints gives the last few that were passed, the newest last. The slice is
// not changed any more.
func (m *Machine) Checkpoints() []registry.Checkpoint { return m.seen.Load().checks }
