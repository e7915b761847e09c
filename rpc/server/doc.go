// Package server is the API of one replica: it translates requests into
// commands and reads of package registry, and answers back. One port serves
// Connect, gRPC, gRPC-Web and plain JSON by curl, over HTTP/1.1 and HTTP/2
// without TLS, beside /healthz, /readyz, /metrics and, for curl and browsers,
// /watch.
//
// A second listener, for those who want it, serves gRPC alone with grpc-go: a
// call takes a third of the processor time that net/http's HTTP/2 takes. Which
// of the two a connection wants could only be told by its first request, and
// proxies mix; so it is an address of its own, with the same methods, bounds and
// errors.
//
// It owns the listeners, the limits that hold before anything is decoded, the
// deadlines and the recovery of a handler that panics. It decides nothing about
// pools and never knows whether it runs on the leader: what it needs of the
// replica it says in [Replica], which fsm/replica implements and cmd/rota hands
// over.
//
// # Watches
//
// A watch is an answer without an end: a stream of Connect or gRPC, or
// server-sent events of the same messages in JSON. It has slots of its own, as
// many as there may be watchers, so that they take none from requests that end.
// The server's deadlines for a whole answer would cut it, and not who does not
// read it; so they are lifted, and each piece that is written has one. A
// shutdown ends all of them first, as unavailable, which sends watchers to
// another replica while this one still answers what is under way.
//
// What many watchers are told is encoded once in each form, and so it goes
// uncompressed: compression would be done anew for each.
//
// # Why it looks like this
//
// Connect's own JSON codec drops fields that it does not know, so that a typo
// answers 200; ours refuses them (see strictJSON). Connect compresses every
// message unless told otherwise, which halves the throughput of small ones; so
// small ones are left alone. A ServeMux lost to a switch on the path, because
// net/http's own 404, 405 and 415 tell nobody what to do next.
package server
