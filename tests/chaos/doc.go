// Package chaos holds the tests that break things: the built binary in real
// processes, each replica and each agent in a network namespace of its own with
// an address of its own on a bridge, under a load that goes on, while processes
// are killed and stopped, links cut and lossy, disks slow, full and failing, and
// clocks wrong. What callers were told and what replicas applied is then judged
// by package check.
//
// A ground is where it happens. That of namespaces needs root on Linux; without
// it the run says so and goes on on loopback with what signals and disks can do.
// A fault is something that is done to a cluster and taken back. A round is a
// cluster's whole life: load, one fault after another from a seed, a recovery
// after each, a quiet end and the checks. A run is rounds for as long as it is
// asked to go on, and a table at the end.
//
// It owns all that it starts and ends it by its process id; namespaces, links and
// mounts carry the test's own process id in their names, and are removed at the
// end of a failed run, too. A failed run leaves its seed, a timeline and the
// directory with all logs. README.md says which test injects which fault.
//
// Nobody imports it. Lost: a proxy between replicas instead of the kernel's own
// network, which the replicas can tell from one; etcd's and Jepsen's harnesses,
// which would have to learn what a rotation is.
package chaos
