// Package gossip says who is alive. It makes memberlist small: a view of
// lives, a poke when the view changes, a direct probe of one life, and a loop
// that looks for lost replicas. Replicas and agents run one Gossip each; it
// knows no pools and no Raft, and imports nothing of ours.
//
// A life is one run of a process: memberlist sees it as name#boot, so that a
// process that restarts under its old name is in view at once, on any
// address, beside its former life, which fades when its probes fail. Which
// life counts is decided in the log, not here. Nor is it said here whether a
// process left or died: a life is in view, or it is not.
//
// What lost, and why. Bare names: memberlist takes a quick restart on a new
// address for a conflict and refuses it for half a minute, while Join returns
// nil. Event channels: a full one stops memberlist, so callbacks note the fact
// under a mutex of their own and poke a one-slot channel, and whoever reads
// compares whole views. memberlist.Members: it hands out pointers into state
// that changes under its own lock. A MergeDelegate that refuses: one bad
// record in a remote view would keep everyone out, so each record is judged
// alone, by the AliveDelegate.
package gossip
