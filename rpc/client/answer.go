package client

import (
	"fmt"
	"time"

	"github.com/rota-registry/rota/registry"
)

// Served says what an answer was given from, and by whom.
type Served struct {
	// Position is the log entry that the answer stands at.
	registry.Position
	// ServedBy is the replica that answered.
	ServedBy registry.ReplicaName
	// Age is how long before the answer the replica last knew itself up to
	// date; a year if it has not since its start. Only Local reads have it.
	Age time.Duration
}

// Answer is one node that hrw or rr chose.
type Answer struct {
	// Topic is the node's topic. It is empty when nothing is eligible, and of a
	// log topic then the log's own.
	Topic string
	// Node is its name; empty when nothing is eligible.
	Node registry.NodeName
	// EmptyReason says why nothing is; else it is registry.NotEmpty.
	EmptyReason registry.EmptyReason
	// Epoch is the pool's: the fencing token of an assignment.
	Epoch registry.Epoch
	Served
}

// Answers are the answers to several keys, or of several turns, at one index.
type Answers struct {
	// Each is one a key or turn, in order. When nothing is eligible they are
	// all empty for keys, and there are none for turns.
	Each        []registry.Answer
	EmptyReason registry.EmptyReason
	Epoch       registry.Epoch
	Served
}

// Ranking is a pool's members in the order in which hrw prefers them for a key.
type Ranking struct {
	Entries []registry.Ranked
	// Digest is the key's, under the pool's hash.
	Digest uint32
	Epoch  registry.Epoch
	Served
}

// PoolState is a pool.
type PoolState struct {
	registry.PoolInfo
	// Cursors are sorted by key; nil unless they were asked for.
	Cursors []registry.Cursor
	Served
}

// PoolChange is a pool after a write.
type PoolChange struct {
	registry.PoolInfo
	// Changed is false when the pool was as asked already.
	Changed bool
	Served
}

// PoolList is all pools, sorted by name, without cursors.
type PoolList struct {
	Pools []registry.PoolInfo
	Served
}

// Rebalance is what a rebalance moved, or would move.
type Rebalance struct {
	Moves []registry.Move
	Served
}

// CursorList is a pool's cursors, sorted by key.
type CursorList struct {
	Cursors []registry.Cursor
	Served
}

// SettingsState is the cluster's settings.
type SettingsState struct {
	registry.Settings
	// Changed is false after a SetSettings that found them as asked.
	Changed bool
	Served
}

// NodeState is a node.
type NodeState struct {
	registry.NodeInfo
	Served
}

// NodeChange is a node after a write.
type NodeChange struct {
	registry.NodeInfo
	// Changed is false when the node was as asked already.
	Changed bool
	Served
}

// NodeList is all nodes of the layout, sorted by name.
type NodeList struct {
	Nodes []registry.NodeInfo
	Served
}

// Admission is what a node that joined is told.
type Admission struct {
	registry.Admission
	Node registry.NodeInfo
	Served
}

// answer is what all responses tell of themselves.
type answer interface {
	GetIndex() uint64
	GetTerm() uint64
	GetServedBy() string
}

// served reads it.
func served(a answer) Served {
	s := Served{
		Position: registry.Position{Index: registry.Index(a.GetIndex()), Term: registry.Term(a.GetTerm())},
		ServedBy: registry.ReplicaName(a.GetServedBy()),
	}
	if aged, ok := a.(interface{ GetAgeMs() uint64 }); ok {
		s.Age = time.Duration(aged.GetAgeMs()) * time.Millisecond
	}
	return s
}

// unreadable is the error of an answer that no rota server gives.
func unreadable(a answer, err error) error {
	return &givenUp{code: registry.Internal, why: fmt.Sprintf("replica %q answered what cannot be read: %v", a.GetServedBy(), err)}
}
