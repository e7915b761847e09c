// Package replica is one replica of the registry: Raft on a bolt store, the
// fsm.Machine that Raft drives, and gossip, wired together. It is the only
// package that starts Raft.
//
// A write comes in at [Replica.Propose], is checked, goes to the leader's log
// (from a follower through [Caller.Forward]; a round robin in a batch with
// others) and comes back as the machine's answer. What the state refuses now is
// refused before it enters the log. A read comes in at [Replica.Read], waits
// until this replica's own machine has everything that was committed when it
// was asked, and sees a view that never changes. Gossip feeds the
// leader's reconciler, which proposes what it finds like anybody else.
//
// # Reads
//
// A linearizable read is not VerifyLeader, which counts the answers of
// non-voters and answers to heartbeats that were sent before it was called.
// The leader, once it has applied a command of its own term, takes its commit
// index and asks voters for their current term, no more of them than a majority
// takes unless those are slow or fail; when a majority, itself included, knows no
// higher one, no newer leader can have acknowledged anything, and the index is
// safe. The serving replica, the leader included, then waits until its machine
// has that index. Reads that wait share one such round; one round is under way
// at a time and the next gathers.
//
// # Writes
//
// A round-robin answer costs a commit, which is a sync of a majority's disks;
// so commits are shared. The requests that arrive at a replica go on together
// with those that wait there, whatever their pools and keys, in order of arrival
// and each with its turns together: a follower forwards whole batches. At the
// leader those of all replicas, its own included, meet at the gate, where as many
// as fit become one RoundRobin, one log entry. While an entry is on its way the
// next ones wait for it, and go when it is done or slow; when exactly, package
// pace says. A lone request is proposed when it comes.
//
// What a batch came to is what each of its requests came to. If nothing was
// done, they go back to where they were in the queue, each until its own
// deadline, and the next try comes after a short pause; if it is not known,
// each is told so and none is proposed again. Who gives up in the queue was not
// proposed; who is in a batch hears what that comes to, or a moment after its
// deadline that it is not known. A batch is given up after four seconds
// whatever its deadlines, so that a leader that hangs does not hold all slots
// after the others have elected a new one. The queue is bounded, in requests and
// in bytes, and says so at once when it is full.
//
// What decides is a step function, package combine: events with the time in them
// come in, what to propose and whom to answer comes out, and a seed replays it
// exactly. A mutex and one goroutine a batch carry it out.
//
// Lost: a commit for each request (Raft then syncs up to 64 entries at once, but
// encodes, sends, applies and answers each by itself); a timer that gathers for
// a fixed moment (it makes the lone caller slower); entries of one replica's
// batches, several under way (of 64 unary calls at three replicas an entry had
// 11, where it has 24 now, and each costs three replicas two syncs and
// milliseconds of processor); one batch at a time on the way to the gate, too
// (who waits here could as well wait there, and meet the others); a goroutine
// with channels for the queue (its schedule could not be replayed).
//
// # Watches
//
// Who watches a pool ([Replica.Watch]) is told it whole, and then each change of
// it in the log's order, also of those that were applied in one batch; and every
// second that all is as it was, up to which index. Any replica tells the same,
// because epochs are log indexes; it tells what it has itself applied, and asks
// nobody.
//
// The changes of a pool are made once, whoever watches, from the views around
// each entry, and remembered with numbers; a watcher is the number of its next.
// Nothing waits for it. One that is so slow that its next is forgotten is told
// the whole pool again, and that it was reset; so are all when the machine was
// faster than this package, or took a snapshot, for those pools that became
// others meanwhile.
//
// A watcher that comes back, here or from another replica, says which epoch it
// has and is told what is remembered from there. That is so for pools that were
// watched here within the last minutes; nothing is kept of others, so that a
// cluster in which nobody watches pays nothing. Where the pool was not watched,
// one that has the current epoch goes on from it, if nothing that an epoch does
// not tell has happened since; any other is told the whole pool, and that it was
// reset if the epoch is not its own. One that has seen more than this replica has
// applied waits for it, for a few seconds.
//
// What decides is a step function again, the hub; a mutex and one goroutine
// drive it, and each watcher takes what is its own on the goroutine that it came
// on. When the replica steps down or ends, so do its watches, at once.
//
// Lost: a queue for each watcher (a thousand of them hold the same changes a
// thousand times, and what a watcher that comes back needs is in none of them);
// keeping history for all pools from the start (memory in every cluster for what
// few want).
//
// # Who lives
//
// The leader's reconciler lets registry.Decide compare its gossip's view with the
// layout, and commits what that gives. Nobody is declared failed on its view
// alone: about suspects it asks all voters at once, with a deadline of half a
// second, and looks again with their answers. Whom another replica sees is not
// failed; one that does not answer counts neither way.
//
// Gossip takes seconds to find a death. An agent's broken connection
// (ConnectionBroke) tells of it at once, and is no more than a hint: it is carried
// to the leader, and all voters call the life directly; if none of them is
// answered, two of them at least, it is failed within the time of a probe. A
// replica that dies breaks its agents' connections too, and they answer. Hints
// that are lost or too many cost nothing: gossip finds out.
//
// Whom gossip has lost is asked about a little later: one that was cut off has taken
// all others for dead, and tells them so when it is back; gossip believes it until
// they object, and every view misses them as long.
//
// Who has failed or left for longer than the settings keep it is forgotten, unless it
// is static or drains. The leader's log clock says how long that is: while nothing is
// written the state's stands still. So are cursors that nobody has used for too long,
// some at a time.
//
// Lost: the leader probing alone (one bad link, and a node fails that all others
// reach); failing for the broken connection alone (so would every node, when a
// proxy restarts); a call for each suspect (of a thousand at once those that time
// out would count as not asked).
//
// # Disks
//
// The log and the votes are crash-only: the first error of either, and the first
// call that takes more than ten seconds (opening the store, a minute), ends the
// replica, because a failed fsync may well succeed the next time and have lost what
// it was for, and because a leader whose disk hangs still sends its heartbeats.
// Whatever waits for such a disk, Close too, may wait for ever: so Halt ends the
// process and closes nothing.
//
// What a snapshot has written that fails, or that a crash cuts off, is removed, then
// or at the next start: it may be what fills the disk. And one that a leader sent
// long ago is not taken in when it comes (see installs): Raft would drop the log
// behind it, with what this replica has acknowledged.
//
// A replica whose disk is nearly full is not ready and gives leadership away
// while it can still write that down. It reads on and votes on: a cluster whose
// disks are all nearly full is one that works. A leader whose disk is slow, and
// for a while ten times slower than another voter's, gives leadership away, too.
//
// # What was applied
//
// Replicas tell each other in Hello the hashes of all that they have applied up
// to the last checkpoints, and each judges itself: one that a majority of the
// voters contradicts notes in its identity file that it is refused, and ends.
// Without such a majority all say so and go on. Lost: a leader that judges the
// others (it may be the one that is wrong).
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
