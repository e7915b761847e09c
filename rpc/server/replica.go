package server

import (
	"context"
	"iter"

	"github.com/rota-registry/rota/registry"
)

// Replica is what the API needs of the replica that it belongs to. Errors carry
// a registry.Code; a write whose fate is not known says OutcomeUnknown.
type Replica interface {
	// Propose commits and applies a command, wherever the leader is. An error
	// may be the command's own, from Apply.
	Propose(ctx context.Context, cmd registry.Command) (registry.Result, registry.Position, error)
	// Read gives the registry at a position that options allow.
	Read(ctx context.Context, options registry.ReadOptions) (*registry.View, registry.ReadInfo, error)
	// Cursors is Read with a pool's cursors; the error may be the state's own.
	Cursors(ctx context.Context, options registry.ReadOptions, pool registry.PoolName) ([]registry.Cursor, *registry.View, registry.ReadInfo, error)
	// Watch gives what happens to a pool, to a watcher that has it at an epoch; 0
	// is one that has not. The error is the last thing that it gives.
	Watch(ctx context.Context, pool registry.PoolName, after registry.Epoch) iter.Seq2[registry.PoolEvent, error]
	// Join admits a node: it probes a former life of that name, commits the new
	// one and tells where gossip is.
	Join(ctx context.Context, node registry.JoinNode) (registry.Admission, registry.Position, error)
	// Status asks all replicas how they are; those that do not answer are
	// unreachable in it.
	Status(ctx context.Context) registry.ClusterStatus
	// Liveness asks the leader what keeps it from following its gossip; with thaw
	// it ends the freeze of a type first, of all if that is empty, and the report is
	// of before.
	Liveness(ctx context.Context, thaw bool, t registry.NodeType) (registry.LivenessReport, error)
	// ConnectionBroke is told when an agent's connection has broken. It does not
	// block.
	ConnectionBroke(life registry.Life)
	// Leader is the API address of who leads, as far as this replica knows.
	Leader() string
	// Self says how this replica is, without asking anyone.
	Self() registry.Greeting

	// The following are asked by other replicas.

	// Hello takes another replica's greeting and gives this one's.
	Hello(ctx context.Context, from registry.Greeting) (registry.Greeting, error)
	// CurrentTerm is refused when name is not this replica.
	CurrentTerm(ctx context.Context, name registry.ReplicaName) (registry.Term, error)
	// ReadIndex is refused by who is not the confirmed leader.
	ReadIndex(ctx context.Context) (registry.Index, error)
	// Forward commits a command as package fsm encodes it.
	Forward(ctx context.Context, command []byte) (result []byte, at registry.Position, err error)
	// SeesNodes tells of each life whether gossip shows it or, with probe, whether
	// it answers when it is called directly.
	SeesNodes(ctx context.Context, lives []registry.Life, probe bool) []registry.Sight
	// NodesBroke is refused by who does not lead.
	NodesBroke(ctx context.Context, lives []registry.Life) error
	// OwnLiveness is Liveness, refused by who does not lead.
	OwnLiveness(thaw bool, t registry.NodeType) (registry.LivenessReport, error)
}
