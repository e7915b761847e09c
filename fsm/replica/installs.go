package replica

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// installs keeps Raft from taking in a snapshot of which this replica has all
// already, in its log or in a newer snapshot. A leader sends one again when it hears
// no answer, and the first one may come late: Raft would go back to it and drop the
// log behind it, with entries that this replica has acknowledged.
//
// What is needless is answered as if it had been taken in, for the leader would send
// it for ever. Whether it is shows only when Raft has done with all that came before.
// So Raft asks, too, when it makes room for it, and fails; the leader comes again.
type installs struct {
	holds func(index, term uint64) bool // whether this store has that entry
	term  func() uint64                 // Raft's

	mu struct {
		sync.Mutex
		// last are those that Raft was given last: it may be at work on one while the
		// next one waits.
		last [2]snapshotAt
	}
}

// snapshotAt is the last entry that a snapshot stands for.
type snapshotAt struct{ index, term uint64 }

// errNeedless is what Raft is told, and the leader by it.
var errNeedless = errors.New("this replica has what is in the snapshot already")

// needless is not so in a new term, of which Raft must hear first.
func (in *installs) needless(req *raft.InstallSnapshotRequest) bool {
	return req.Term == in.term() && in.holds(req.LastLogIndex, req.LastLogTerm)
}

// given notes what Raft is given.
func (in *installs) given(req *raft.InstallSnapshotRequest) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.last = [2]snapshotAt{in.mu.last[1], {req.LastLogIndex, req.LastLogTerm}}
}

// refuse is for a snapshot that Raft begins to write: one of its own, or one that it
// was given.
func (in *installs) refuse(index, term uint64) error {
	in.mu.Lock()
	own := !slices.Contains(in.mu.last[:], snapshotAt{index, term})
	in.mu.Unlock()
	if own || !in.holds(index, term) {
		return nil
	}
	return errNeedless
}

// sift has Raft's requests go through in, one after the other.
func (t *transport) sift(in *installs) {
	t.requests = make(chan raft.RPC)
	from := t.NetworkTransport.Consumer()
	t.order(func() {
		for {
			select {
			case rpc := <-from:
				t.pass(in, rpc)
			case <-t.done:
				return
			}
		}
	})
}

func (t *transport) pass(in *installs, rpc raft.RPC) {
	if req, is := rpc.Command.(*raft.InstallSnapshotRequest); is {
		if in.needless(req) {
			t.order(func() {
				_, err := io.Copy(io.Discard, rpc.Reader) // the connection goes on behind it
				rpc.Respond(&raft.InstallSnapshotResponse{Term: req.Term, Success: err == nil}, err)
			})
			return
		}
		in.given(req)
	}
	select {
	case t.requests <- rpc:
	case <-t.done:
	}
}

// Consumer gives what comes in, for Raft.
func (t *transport) Consumer() <-chan raft.RPC {
	if t.requests != nil {
		return t.requests
	}
	return t.NetworkTransport.Consumer()
}

// holds reports whether this store has an entry: in its log, or in what a snapshot
// stands for.
func (s *store) holds(index, term uint64) bool {
	var l raft.Log
	if s.logs.GetLog(index, &l) == nil {
		return l.Term == term
	}
	return index <= s.newestSnapshot()
}
