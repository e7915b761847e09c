// Package simnet is a network in memory, for simulations in virtual time: hosts
// with addresses, streams that behave like TCP and packets that behave like
// UDP, and everything that can go wrong with either.
//
// It owns what is on its way. Each message belongs to a plane (Raft, the API,
// gossip's packets, gossip's streams) and to a direction between two hosts; a
// [Link] says what happens to it there: it is cut off, delayed, lost,
// duplicated, overtaken. A test that leaves the links alone has a network on
// which each message takes a fraction of a millisecond.
//
// What is sent on a stream, which Raft, the API and half of gossip do, arrives
// whole, once and in order, or not yet: a cut or a loss is a delay there, as TCP
// sends again. Duplicates and messages in another order there are among packets
// alone. Only a reset, or the crash of a host, breaks a stream off: what was on
// its way is lost at both ends, and the peer knows it at once. A host whose power
// is gone says nothing at all; its peers keep their halves of the streams until
// their own pings or writes find out, or the host is back.
//
// It must never: sleep in real time (all waits are timers, which a
// testing/synctest bubble makes virtual), block a writer for ever (a stream that
// takes nothing for fifteen minutes breaks, as TCP's do), or leave a goroutine
// behind.
//
// Who uses it: tests/sim, and whoever wants a part of rota in a bubble. What
// lost: net.Pipe, whose writes wait for the reader, so that nothing is ever on
// its way; memberlist's MockNetwork, which blocks for ever once a target is
// gone; goroutines that carry messages, of which a few thousand must then be
// joined.
package simnet
