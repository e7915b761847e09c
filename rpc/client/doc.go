// Package client is the Go library of rota: it asks a cluster's replicas for
// topics and changes pools, nodes, cursors and settings, in the vocabulary of
// package registry. The command line uses nothing else.
//
// It owns the choice of the replica that is asked, the deadlines and the
// retries; package transport makes its connections. It decides nothing about
// pools: what a replica answers is passed on. It never imports Raft or
// memberlist.
//
// # Which replica is asked
//
// Any replica takes any request. A [Client] asks the one that answered last,
// at first the first of its list: list the nearest first. When one does not
// answer, this call and the next ones move on to the one listed after it.
//
// # Retries
//
// Every call has a deadline: the earlier of its context's and
// [Options.Timeout] from its start. Within it, what is retried depends on what
// a second execution would do; the decision is one pure function, in retry.go:
//
//   - Nothing was done, for certain: no connection could be made, the stream was
//     refused unprocessed, or the replica said unavailable or overloaded.
//     Every method is retried.
//   - It may have been done: the connection broke after the request went out, no
//     answer came in [Options.AttemptTimeout], or the replica itself said
//     outcome_unknown. Reads are retried, and so are the writes that leave the
//     state the same when they run twice: RegisterPool without Replace, Join,
//     Leave, AddNode, DrainNode, UndrainNode and SetSettings. Any other write
//     fails at once with outcome_unknown: a round robin is never sent again after
//     it may have moved its cursor.
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
