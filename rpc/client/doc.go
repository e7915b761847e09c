// Package client is the Go library of rota: it asks a cluster's replicas for
// topics and changes pools, nodes, cursors and settings, in the vocabulary of
// package registry. The command line uses nothing else.
//
// It owns the choice of the replica that is asked, the deadlines and the
// retries; package transport makes its connections. It decides nothing about
// pools: what a replica answers is passed on, and a watched pool answers with
// the replica's code. It never imports Raft or memberlist.
//
// # Which replica is asked
//
// Any replica takes any request. A [Client] asks the one that answered last,
// at first the first of its list: list the nearest first. When one does not
// answer, this call and the next ones move on to the one listed after it. RR, RRN
// and LogTopic go first to the replica that leads, once an answer has said
// which, if its API address is in the list: that saves a hop. It speaks gRPC over HTTP/2 without TLS, and needs nothing else of a proxy.
//
// # Calls that go together
//
// What a call costs the cluster is mostly a request, and for a round robin a
// commit. So the calls of all goroutines that wait while others are on their way
// go together: all RR, RRN and LogTopic in one batch, and HRW in one for each
// pool and consistency. Nothing is to be set for it. A lone caller's call goes at
// once. Otherwise a call waits for the batch of its kind that is on its way, at
// most 20 ms while no more than one is, and when that one has ended up to a
// millisecond for those whom it answered: see package pace. What that means for
// callers:
//
//   - Two calls, one begun after the other returned, are in that order. Calls
//     that overlap may come in any.
//   - Calls of one cursor in a batch share its answers in the order in which
//     they were made; those of an RRN follow one another.
//   - Each call has its own deadline, and its own error: one that asks for a
//     pool that is not there does not trouble the others of its batch.
//   - A batch goes on for as long as any of its calls may. One that has gone out
//     cannot be called back for one of them: a round robin whose context ends
//     then fails with outcome_unknown, and its turn may be taken. Before, nothing
//     was done. When all calls of a batch have ended, so does its request.
//   - A linearizable read is in no batch that was sent before it was called.
//   - The values of a call's context go no further: a batch has many callers.
//
// A program that asks for a turn so often that it cannot wait for a commit takes
// them ahead: see [Pool.Prefetch].
//
// What decides is a function of its events, in combiner.go; gatherer.go drives
// it.
//
// # Retries
//
// Every call has a deadline: the earlier of its context's and
// [Options.Timeout] from its start; a batch has the latest of its calls'. Within
// it, what is retried depends on what a second execution would do; the decision
// is one pure function, in retry.go:
//
//   - Nothing was done, for certain: no connection could be made, the stream was
//     refused unprocessed, the replica said unavailable or overloaded, or the
//     server is not rota's, or not of this release, which is the answer when all
//     of them say so. Every method is retried.
//   - It may have been done: the connection broke after the request went out, no
//     answer came in [Options.AttemptTimeout], or the replica itself said
//     outcome_unknown. Reads are retried, and so are the writes that leave the
//     state the same when they run twice: RegisterPool without Replace, Join,
//     Leave, AddNode, DrainNode, UndrainNode and SetSettings. So are RR, RRN and
//     LogTopic, which move a cursor, under one request of a session; see below.
//     Any other write fails at once with outcome_unknown.
//   - Anything else that a replica says is the answer.
//
// Another replica is tried at once; a wait, drawn at random between nothing
// and a bound that doubles, comes once all have been tried, and after each
// overloaded. A call makes at most 64 attempts, and gives up after its fourth
// overloaded.
//
// A write that is retried may in rare cases run twice with another client's
// write in between, and undo that. Its Changed tells what the last execution
// changed.
//
// # Sessions
//
// A Client opens a session with its first round robin; all its goroutines share
// it. Each turn of a batch is a request of the session with a serial of its own,
// and keeps it when it is sent again, to whichever replica: the cluster takes it
// once, and gives every further one the answer of the first. What the Client
// has an answer to it acknowledges with its next requests, so that the cluster
// forgets it.
//
// The cluster forgets a session, too: when it has not been used for an hour, or
// is the one unused for longest of too many. If that happens while it is not
// known whether a turn was taken, its calls fail with outcome_unknown; else
// the Client opens another one and goes on. [Options.WithoutSessions] does
// without: all round robins of a batch then fail with outcome_unknown whenever
// it may have been done.
//
// # Watched pools
//
// [Pool.Watch] keeps a copy of a pool in this process, which answers hrw as a
// replica does at the same epoch, and asks nobody. A replica tells it of each
// change, and once a second that there was none. When that is silent for 3 s,
// or has not known itself up to date for 5 s, or breaks off, another one is
// asked to go on from the copy's epoch: it sends what has changed since, or the
// whole pool. What is from before the copy is not taken, so that its epoch
// never goes back; after a cluster was set back to an earlier state, watch anew.
//
// The age of an answer is how long ago the copy was certainly up to date: the
// time since a replica's word, and how long before it the replica had last
// known itself so. Without a leader, or with no replica in reach, the copy
// answers on and its age grows. Not in the age is how long the word was on its
// way. What a process was sent while it was stopped for more than a second it
// drops, because it cannot know how old that is.
//
// hrw is an assignment, not a lock. Copies of different epochs may give one key
// to two nodes, and a node that is cut off goes on with keys that others have
// been given. The epoch is the fencing token: who keeps what is done with a key
// refuses what comes with an epoch lower than one it has seen for that key.
// Where nothing can refuse, [WatchedPool.HRWWithin] asks whenever the copy is
// too old, and a node does nothing while [WatchedPool.Age] is longer than others
// take to find it dead; that makes two owners rare, not impossible.
//
// A node that works on the keys of a pool asks [WatchedNode.IsMine], and hears
// by [WatchedNode.Follow] which share of all keys each change of the epoch gives
// to it or takes from it, with a test for each key: it need not throw away all
// it holds when some other node comes or goes. A death moves the keys of the
// dead one and no others.
//
// # Errors
//
// Every error is a [registry.Error] or wraps one: errors.Is(err,
// registry.ErrNotFound) and [registry.CodeOf] work as they do in the server.
// A call that its own context ended wraps the context's error, too. These codes
// are this package's own word as well as a server's:
//
//   - unavailable: no replica could be reached, or none of them had a leader;
//     nothing was done
//   - deadline: replicas were there, and gave no answer in time; nothing was done
//   - outcome_unknown: a write may or may not have been done
//   - invalid: the options or an argument cannot be right
//
// An empty answer is no error: see [Answer.EmptyReason].
package client
