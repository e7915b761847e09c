// Package sim runs clusters of the real code in virtual time: replicas with
// their stores, their API and the calls between them, agents that join and
// gossip, clients of package rpc/client, all in one testing/synctest bubble over
// a [simnet.Network]. An hour takes seconds, and a goroutine that outlives its
// owner fails the test.
//
// It owns a cluster's life and everything that is done to it: [Cluster] has the
// words in which a scenario is told. What all replicas apply is kept, compared
// between them as it is applied, and written as a script when a run fails. It
// decides nothing about right answers: package check does.
//
// Agents do what rota agent does: they join, gossip, look at their record, follow
// the addresses of replicas that they are told, and attend a replica by a stream
// that breaks when they die. KillAgent breaks it, which is found within a second;
// PowerOffAgent leaves it as it is, and gossip finds out; a reset of a living
// agent's calls is a hint that is false. An agent that is done with says no
// goodbye.
//
// A run that saw too little proves nothing and fails: stories under load want
// operations that were answered, random runs, from a hundred on, and a bad hour
// what [check.Counters] counts. What a story is about it asserts itself, so that
// a fault that had no effect is no success.
//
// A seed gives the workload and the faults. It does not give the order in which
// goroutines run, so that a run may not fail again; the script of what was
// committed replays through package fsm exactly.
//
// Stores are bolt's and files, on a file system in memory where the machine has
// one: so a restart is a restart. Disks do not fail here, clocks are right, and
// a process that is stopped is one that nobody reaches, though it goes on by
// itself.
//
// It must never wait in real time. Who uses it: its own tests, which are run
// alone and by make sim. What lost: stores of Raft's own in memory, which know
// neither identity files nor what a restart finds.
package sim
