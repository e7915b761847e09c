// Package check says whether what the callers of a cluster saw can have come
// from one correct registry, and whether a run saw what it was made to see.
//
// Simulation and real processes share it. Each records an [Operation] for every
// call that it makes, keeps what was done, what surely was not and what is
// unknown apart, and hands them over with the log of every replica:
//
//   - the logs must agree on every index that two replicas have applied, and
//     have no gap (see [Merge]);
//   - the witness check replays the log and looks up each answer at the index
//     that it carries; who was called after another one's return has no lower
//     index (see [Replay]). It takes one pass, and is the check that finds most;
//   - a local answer lacks nothing that was acknowledged longer ago than the age that
//     it says it has;
//   - what a replica held at an index, its snapshot, is byte by byte what the log
//     up to there gives, and a replica that restores it holds the same (see
//     [States]);
//   - porcupine, which knows nothing of indexes, looks for an order of the
//     calls that a naive model of a rotation explains (see [Facts.Linearizable]);
//   - the turns in the log are those that were answered and some of those whose
//     outcome is unknown (see [Facts.Cursors]);
//   - what is forgotten of the cursors is what nobody has used for as long as they are
//     kept, by the turns in the log (see [Replay]);
//   - what its caller was told had failed is not in the log: a request, and a
//     change that a mark of its caller's tells from all others, such as the reason
//     of a drain (of one whose mark another has, too, nothing can be said);
//   - the log clock never falls, is carried on from term to term, and runs as the
//     run's own time does, and never ahead of it, nor for longer than the cluster lives (see [Facts.Clock]);
//   - after each change the pools are whole, the registry picks whom the naive
//     rule of hrw picks, and a death moves the dead one's keys and no others (see
//     [Replay], too);
//   - nothing leaks (see [Grown]), and what the run is for has happened at all
//     (see [Counters]).
//
// The witness check believes registry and fsm, which it replays with: a rule
// that they have wrong on every replica alike is not its to find. The model,
// the count of turns and the chain are written anew, and call neither.
//
// It never talks to a cluster, starts no process and reads no clock. Who calls
// it: tests/sim and tests/chaos. Lost: porcupine alone, which takes memory by
// the square of the calls; keeping the operations in a file, which costs more
// than it explains, because a violation prints the few that it is about.
package check
