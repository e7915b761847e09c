// Package tests holds what is tested across packages, one folder a kind; the
// package itself is the repository's own rules, as a test (see TestTidy).
//
//	conformance  Zeek's answers, from the registry and from a real cluster
//	e2e          the binary: real processes, signals, restarts
//	mutants      planted bugs, and that the tests catch each
//	procs        real processes for both
//	size         as many nodes as there may be, on real sockets
//	tools        the pinned versions of staticcheck and gofumpt
//	run.sh       what `make test`, `make lint` and `make fuzz` do
//
// What belongs to one package is tested beside its code. So are the step tests,
// which drive all that decides together from a seed: they are TestSteps of
// rpc/client, because they need its inside.
package tests
