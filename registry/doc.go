// Package registry is the domain of rota: pools, nodes, cursors and settings,
// and the one [State] that holds them all.
//
// It is pure. [State.Apply] is a function of the commands that the log gives
// it: it reads no clock, draws no random number, starts no goroutine and lets
// no map's order reach its answers, so that every replica that applied the
// same log holds the same bytes. What needs a time or an id gets it as a field
// of the command or of its [Stamp], from whoever proposed it.
//
// Package fsm turns commands and snapshots into bytes, package fsm/replica
// puts them through Raft, rpc/server translates the API to commands and reads.
// None of them decides what a pool answers; this package alone does.
//
// # Words
//
// The rules are those of Zeek's cluster framework
// (base/frameworks/cluster/pools.zeek), and so are the words, where it has one:
//
//   - node: a member of pools, with a name, a type and an address
//   - layout: all nodes that the registry knows, alive or not
//   - pool: a [Spec] and its members, picked from the layout
//   - eligible: alive and not draining; what hrw and rr may answer
//   - member: a node as one pool sees it, with alias, site id and topic
//   - site id: the 32-bit number that stands for a member in hrw
//   - cursor: per pool and key, the index of the member whose turn is next
//   - replica: a server that holds the registry; never called a member
//   - epoch: per pool, the log index of its last change
//   - boot id: drawn at each start of a node's process; name and boot id
//     together are one life of the node
//   - suspect: a life that would be declared failed, about which replicas are asked
//   - frozen: of a node type: too many would fail at once, so nobody does
//   - held: of a node: it flaps, and stays failed for a while though it is seen
//   - session: under it a client's retried turn counts once and gets the answer
//     of the first time
//   - serial: the number of a request within its session
//   - log clock: milliseconds that only the log advances; see [Stamp]
package registry
