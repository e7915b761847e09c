// Package replica is one replica of the registry: Raft on a bolt store, the
// fsm.Machine that Raft drives, and gossip, wired together. It is the only
// package that starts Raft.
//
// A write comes in at [Replica.Propose], is checked, goes to the leader's log
// (from a follower through [Caller.Forward]) and comes back as the machine's
// answer. A read comes in at [Replica.Read], waits until this replica's own
// machine has everything that was committed when it was asked, and sees the
// state under the machine's lock. Gossip feeds the leader's reconciler, which
// proposes what it finds like anybody else.
//
// # Reads
//
// A linearizable read is not VerifyLeader, which counts the answers of
// non-voters and answers to heartbeats that were sent before it was called.
// The leader, once it has applied a command of its own term, takes its commit
// index and asks every voter for its current term; when a majority knows no
// higher one, no newer leader can have acknowledged anything, and the index is
// safe. The serving replica, the leader included, then waits until its machine
// has that index. Reads that wait share one such round; one round is under way
// at a time and the next gathers.
//
// # Addresses
//
// Raft's configuration names replicas by their names; where they are is kept
// in an address book fed by Hello, in both directions, and remembered beside
// the store. Raft's transport asks the book. So replicas come back on new
// addresses, even all at once, without a change of configuration.
//
// # What it must never do
//
// Edit Raft's configuration at a stop; answer a read weaker than asked when
// the deadline nears; call a proposal failed whose outcome it does not know;
// call memberlist or Raft while holding a lock.
//
// Who calls it: cmd/rota builds one per process; rpc/server meets it through
// an interface of its own. Lost: forwarding whole API requests (what is
// forwarded is what is committed, so batches travel as they are), leaving the
// probe of a former life in JoinNode to the leader (any replica can ask over gossip; the command's
// precondition makes the answer safe), committing each replica's address into
// Raft's configuration (a cluster that lost all its addresses has no leader to
// commit them).
package replica
