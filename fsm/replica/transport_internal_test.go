package replica

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func newTestTransport(t *testing.T) *transport {
	t.Helper()
	s, err := listenStreams("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(s, newBook(nil), hclog.NewNullLogger())
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return tr
}

// TestHeartbeatsTakeTheMainLoop: Raft's fast path for heartbeats runs beside
// its main loop, and replicas could diverge (raft #695). Raft sets a handler;
// it must never be called, and every heartbeat must come out where the main
// loop takes it.
func TestHeartbeatsTakeTheMainLoop(t *testing.T) {
	t.Parallel()
	to, from := newTestTransport(t), newTestTransport(t)
	var asRaftSeesIt raft.Transport = to
	asRaftSeesIt.SetHeartbeatHandler(func(rpc raft.RPC) {
		t.Error("a heartbeat took the fast path")
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
	})
	if _, ok := asRaftSeesIt.(raft.WithPreVote); !ok {
		t.Error("the transport has lost pre-vote")
	}
	sent := make(chan error, 1)
	go func() {
		beat := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, Addr: []byte("a:1")}, Term: 3}
		sent <- from.AppendEntries("r1", to.LocalAddr(), &beat, &raft.AppendEntriesResponse{})
	}()
	select {
	case rpc := <-to.Consumer():
		if beat, ok := rpc.Command.(*raft.AppendEntriesRequest); !ok || beat.Term != 3 {
			t.Errorf("the main loop got %+v", rpc.Command)
		}
		rpc.Respond(&raft.AppendEntriesResponse{Term: 3, Success: true}, nil)
	case <-time.After(5 * time.Second):
		t.Error("the heartbeat did not reach the main loop")
	}
	if err := <-sent; err != nil {
		t.Errorf("heartbeat: %v", err)
	}
}

// TestCloseEndsBothEnds: connections that came in and idle ones that went out
// are closed, so that neither end keeps a goroutine in a read.
func TestCloseEndsBothEnds(t *testing.T) {
	t.Parallel()
	to, from := newTestTransport(t), newTestTransport(t)
	go func() {
		rpc := <-to.Consumer()
		rpc.Respond(&raft.RequestVoteResponse{}, nil)
	}()
	if err := from.RequestVote("r1", to.LocalAddr(), &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); err != nil {
		t.Fatal(err)
	}
	inbound := func() int {
		to.streams.mu.Lock()
		defer to.streams.mu.Unlock()
		return len(to.streams.mu.in)
	}
	if inbound() != 1 {
		t.Fatalf("%d connections came in, want 1 that is kept", inbound())
	}
	if err := errors.Join(from.Close(), from.Close()); err != nil {
		t.Error(err)
	}
	for end := time.After(5 * time.Second); inbound() > 0; {
		select {
		case <-end:
			t.Fatal("the kept connection outlives its transport")
		case <-time.Tick(5 * time.Millisecond):
		}
	}
	silent, err := net.Dial("tcp", string(to.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := to.Close(); err != nil {
		t.Error(err)
	}
	if err := silent.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var fault net.Error
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.As(err, &fault) && fault.Timeout() {
		t.Errorf("a silent connection outlives the transport: %v", err)
	}
}
