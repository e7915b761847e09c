// Package server is the API of one replica: it translates requests into
// commands and reads of package registry, and answers back. One port serves
// Connect, gRPC, gRPC-Web and plain JSON by curl, over HTTP/1.1 and HTTP/2
// without TLS, beside /healthz, /readyz and /metrics.
//
// It owns the listener, the limits that hold before anything is decoded, the
// deadlines and the recovery of a handler that panics. It decides nothing about
// pools and never knows whether it runs on the leader: what it needs of the
// replica it says in [Replica], which fsm/replica implements and cmd/rota hands
// over.
//
// # Why it looks like this
//
// Connect's own JSON codec drops fields that it does not know, so that a typo
// answers 200; ours refuses them (see strictJSON). Connect compresses every
// message unless told otherwise, which halves the throughput of small ones; so
// small ones are left alone. A ServeMux lost to a switch on the path, because
// net/http's own 404, 405 and 415 tell nobody what to do next.
package server
