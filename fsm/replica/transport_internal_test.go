package replica

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func newTestTransport(t *testing.T) *transport {
	t.Helper()
	s, err := listenStreams(nil, "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(s, newBook(nil), func() bool { return true }, time.Second, hclog.NewNullLogger())
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

// TestCloseEndsWhatNobodyAnswers: Raft's shutdown waits for its calls, and one to
// a replica that is cut off hangs in its dial, or in the read of the answer, for
// as long as a call may take.
func TestCloseEndsWhatNobodyAnswers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dials := map[string]func(context.Context, string) (net.Conn, error){
		"a dial": func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"an answer": func(ctx context.Context, _ string) (net.Conn, error) {
			return dialTCP(ctx, silent.Addr().String())
		},
	}
	for what, dial := range dials {
		from := newTestTransport(t)
		dialled := make(chan struct{})
		from.streams.dial = func(ctx context.Context, to string) (net.Conn, error) {
			defer close(dialled)
			if what == "a dial" {
				dialled <- struct{}{}
			}
			return dial(ctx, to)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- from.RequestVote("r1", "127.0.0.1:1", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
		}()
		<-dialled
		if err := from.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: the call was answered", what)
			}
		case <-time.After(raftIOTimeout / 2):
			t.Errorf("%s: the call goes on after Close", what)
		}
	}
}

// TestAHandoverIsGivenUpInTime: Raft begins no other while the call is under way, to
// one that does not answer for as long as any call may take.
func TestAHandoverIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	from := newTestTransport(t)
	began := time.Now()
	err = from.TimeoutNow("r1", raft.ServerAddress(silent.Addr().String()), &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{})
	if took := time.Since(began); err == nil || took < from.election || took > raftIOTimeout*3/4 {
		t.Errorf("after %s: %v; want an error after %s", took, err, from.election)
	}
	if err := from.Close(); err != nil {
		t.Error(err)
	}
	if err := from.TimeoutNow("r1", "127.0.0.1:1", &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{}); !errors.Is(err, raft.ErrTransportShutdown) {
		t.Errorf("after Close: %v", err)
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
		return len(to.streams.mu.open)
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

// answerAll answers as a follower that takes everything.
func answerAll(tr *transport, done <-chan struct{}) {
	for {
		select {
		case rpc := <-tr.Consumer():
			rpc.Respond(&raft.AppendEntriesResponse{Term: 3, Success: true}, nil)
		case <-done:
			return
		}
	}
}

// TestEntriesWaitOutAFollower: entries for a follower that cannot be reached
// are not failed, which would make Raft pause longer and longer, but wait for
// the first heartbeat that reaches it.
func TestEntriesWaitOutAFollower(t *testing.T) {
	t.Parallel()
	from := newTestTransport(t)
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := bound.Addr().String()
	if err := bound.Close(); err != nil {
		t.Fatal(err)
	}
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, Addr: []byte("a:1")}
	send := func(args raft.AppendEntriesRequest) error {
		args.RPCHeader, args.Term = header, 3
		return from.AppendEntries("r1", raft.ServerAddress(addr), &args, &raft.AppendEntriesResponse{})
	}
	sent := make(chan error, 1)
	go func() { sent <- send(raft.AppendEntriesRequest{PrevLogEntry: 7, PrevLogTerm: 2}) }()
	if err := send(raft.AppendEntriesRequest{}); err == nil {
		t.Fatal("a heartbeat reached nobody, and nobody said so")
	}
	select {
	case err := <-sent:
		t.Fatalf("the entries did not wait: %v", err)
	case <-time.After(3 * waitOutLook):
	}
	s, err := listenStreams(nil, addr, "")
	if err != nil {
		t.Fatal(err)
	}
	to := newTransport(s, newBook(nil), func() bool { return false }, time.Second, hclog.NewNullLogger())
	done := make(chan struct{})
	answering := make(chan struct{})
	go func() { defer close(answering); answerAll(to, done) }()
	defer func() { close(done); <-answering; _ = to.Close() }()
	if err := send(raft.AppendEntriesRequest{}); err != nil {
		t.Fatalf("heartbeat: %v", err)
	}
	select {
	case err := <-sent:
		if err != nil {
			t.Errorf("the entries: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the entries did not follow the heartbeat")
	}
}

// TestAPipelineEndsWithTheFirstRefusal: Raft stops reading answers at the first
// one that says no, and may send twice more before it looks. Its own pipeline
// held such a send for ever: the follower heard heartbeats, and no entry again
// (raft #612).
func TestAPipelineEndsWithTheFirstRefusal(t *testing.T) {
	t.Parallel()
	to, from := newTestTransport(t), newTestTransport(t)
	done, refusing := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(refusing)
		for {
			select {
			case rpc := <-to.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Term: 3}, nil)
			case <-done:
				return
			}
		}
	}()
	defer func() { close(done); <-refusing }()
	pipeline, err := from.AppendEntriesPipeline("r2", to.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	send := func() error {
		args := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: 3, PrevLogEntry: 7, PrevLogTerm: 2}
		_, err := pipeline.AppendEntries(&args, &raft.AppendEntriesResponse{})
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if answer := <-pipeline.Consumer(); answer.Error() != nil || answer.Response().Success {
		t.Fatalf("answered %+v, %v, want a refusal", answer.Response(), answer.Error())
	}
	ended := make(chan error, 1)
	go func() {
		var last error
		for range 5 {
			last = send()
		}
		ended <- last
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("sent into a pipeline that nobody reads: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a send waits for answers that nobody reads")
	}
	if err := errors.Join(pipeline.Close(), pipeline.Close()); err != nil {
		t.Error(err)
	}
}

// TestEntriesDoNotOutliveTheLeadership: who no longer leads waits for nobody.
func TestEntriesDoNotOutliveTheLeadership(t *testing.T) {
	t.Parallel()
	from := newTestTransport(t)
	from.leads = func() bool { return false }
	sent := make(chan error, 1)
	go func() {
		args := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: 3, PrevLogEntry: 7}
		sent <- from.AppendEntries("r1", "127.0.0.1:1", &args, &raft.AppendEntriesResponse{})
	}()
	select {
	case err := <-sent:
		if err == nil {
			t.Error("the entries reached nobody, and nobody said so")
		}
	case <-time.After(5 * time.Second):
		t.Error("the entries wait on")
	}
}

// TestQuietSaysItOnce: what Raft says several times a second is said once of
// each follower, and once of none.
func TestQuietSaysItOnce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	q := newQuiet(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info}), new(atomic.Bool))
	for range 3 {
		q.Error("failed to heartbeat to", "peer", "r2", "error", "refused")
		q.Error("failed to heartbeat to", "peer", "r3", "error", "refused")
		q.Warn("heartbeat timeout reached, starting election")
	}
	for text, want := range map[string]int{"peer=r2": 1, "peer=r3": 1, "starting election": 1} {
		if got := strings.Count(out.String(), text); got != want {
			t.Errorf("%q stands %d times, want %d:\n%s", text, got, want, out.String())
		}
	}
}
