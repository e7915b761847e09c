// Package fsm is the registry as a replicated state machine: commands and
// snapshots as bytes, and a [Machine] that Raft drives over one
// registry.State.
//
// Like the state it is a function of the log: it reads no clock, starts no
// goroutine of its own and lets no map's order into a byte. An entry that it
// cannot decode is a bug, a newer release's or a broken disk's, and stops the
// replica with index and term: to skip it would make this replica another one
// than the rest.
//
// # The log entry
//
//	byte     format version, 1
//	uvarint  command number, see numbers
//	uvarint  log clock, ms
//	uvarint  the leader's wall time, ms since 1970
//	bytes    body, protobuf wire format, fields in ascending order
//	uint32   CRC32C of all of the above, little-endian
//
// The page cache below Raft has no checksum of its own (bbolt's data pages
// have none), so each entry carries one. Bodies are written field by field
// with protowire and not with generated messages: what the log holds must not
// change because the API does. A number's meaning never changes; a changed
// command is a new number. A decoder refuses fields that it does not know,
// because a replica that ignored half of a command would diverge.
//
// # The chain
//
// A running hash over the commands (see [Chain]) is part of what is replicated,
// and of the snapshot: replicas that compare it at equal indexes (see
// [Machine.Checkpoints]) find out that one of them has applied another byte than
// the rest. It is CRC64, which finds accidents and no forgery. Lost: a hash of the
// whole state, which costs its size each time; a hash of what lies between two
// checkpoints, which says nothing of what went before it.
//
// # Views
//
// Readers see the registry as each batch of entries left it, and take no lock
// to do so. Who must see what lies within a batch follows the machine (see
// [Follower]) and is given each state of pools and nodes, or told that it was
// too slow. Nobody is called while entries are applied, and nobody who reads
// makes them wait.
//
// Who calls it: fsm/replica, which encodes what it proposes and hands the
// Machine to Raft. Lost: gob and JSON bodies (no canonical form), the API's
// own messages (see above), one lock for the state and another for the index
// (a reader could see an index whose entry it does not see).
package fsm
