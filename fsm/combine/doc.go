// Package combine says which round-robin requests go together in which batch: at
// a replica on their way to the leader, and at the leader's gate in one log entry.
// Package replica's documentation tells what that is good for.
//
// It owns the queue of what waits, its bounds, and who of a batch hears what: the
// batch's own answers, that nothing was done, or that it is not known. A Combiner
// is a function of its events, which are told the time: a seed replays it exactly.
// It never commits, waits or looks at a clock, and it never proposes again what
// may have been done.
//
// Package replica drives two of them, with a mutex and one goroutine a batch. It
// is a package of its own, as pace is, so that the step tests can drive it together
// with the client's half, which may not import a replica (see rpc/client). Lost:
// a step test within package replica (it would need the client's combiner, session
// and retries exported instead, three times as much).
package combine
