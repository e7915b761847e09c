// Package size shows that a cluster as large as the bounds allow works: 5,000
// registered nodes, 300 of which gossip on real sockets, in this process, with
// three replicas in processes of their own. It measures how long they take to come
// in, to see each other and to find one that dies, and what it all costs at rest.
//
// It takes minutes, and so is not among what `make test` runs. Who calls it: `make
// size`.
package size
