package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	raftConnections = 3
	raftIOTimeout   = 3 * time.Second
)

// transport is Raft's network transport without the heartbeat fast path, which
// runs appendEntries beside Raft's main loop (raft #695): replicas could
// diverge. Embedding keeps pre-vote, which a plain wrapper would lose.
//
// It also waits out a follower that cannot be reached, where Raft's replication
// would double its pause up to 10 s with every failure and, once the follower
// is back, sleep on: heartbeats, which go on at their own pace, say when.
type transport struct {
	*raft.NetworkTransport
	streams *streams
	// leads is false once there is nothing to replicate for.
	leads func() bool
	// election is how long Raft goes on with a handover of leadership; orders are the
	// calls of those, and what else Close waits for.
	election time.Duration
	orders   sync.WaitGroup
	// requests are what comes in, sifted; done is closed by Close.
	requests chan raft.RPC
	done     chan struct{}

	mu struct {
		sync.Mutex
		closed bool
		// last is when each follower's last answer to a heartbeat came.
		last map[raft.ServerID]time.Time
		// reached is closed, and forgotten, by a heartbeat that was answered;
		// there is one for each follower that somebody waits for.
		reached map[raft.ServerID]chan struct{}
	}
}

const (
	// waitOut bounds the wait for a follower: it may have been removed.
	waitOut = time.Minute
	// waitOutLook is how often who waits looks whether it still should.
	waitOutLook = 100 * time.Millisecond
)

var _ raft.WithPreVote = (*transport)(nil)

// SetHeartbeatHandler leaves heartbeats to Raft's main loop.
func (*transport) SetHeartbeatHandler(func(raft.RPC)) {}

func newTransport(s *streams, book raft.ServerAddressProvider, leads func() bool, election time.Duration, logger hclog.Logger) *transport {
	t := &transport{
		streams:  s,
		leads:    leads,
		election: election,
		done:     make(chan struct{}),
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider:   book,
			Logger:                  logger,
			Stream:                  s,
			MaxPool:                 raftConnections,
			Timeout:                 raftIOTimeout,
			MsgpackUseNewTimeFormat: true,
		}),
	}
	t.mu.reached = make(map[raft.ServerID]chan struct{})
	t.mu.last = make(map[raft.ServerID]time.Time)
	return t
}

// AppendEntries sends entries, or a heartbeat, to a follower.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if isHeartbeat(args) {
		if err == nil {
			t.noteReached(id)
		}
		return err
	}
	if err == nil || !t.awaitReached(id) {
		return err
	}
	return t.NetworkTransport.AppendEntries(id, target, args, resp)
}

// isHeartbeat is how Raft's own transport knows them: they carry nothing but
// the term.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return args.Term != 0 && args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0
}

func (t *transport) noteReached(id raft.ServerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.last[id] = time.Now()
	if c := t.mu.reached[id]; c != nil {
		close(c)
		delete(t.mu.reached, id)
	}
}

// reaches reports whether a follower has answered a heartbeat within that time.
func (t *transport) reaches(id raft.ServerID, within time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.mu.last[id]
	return ok && time.Since(last) < within
}

// TimeoutNow has a follower stand for election. Raft gives a handover up when an
// election's time has passed, and begins no other before this call is over: so it
// ends then, too. Who takes longer is not waited for, and may stand yet when he gets
// the order.
func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	answered := make(chan error, 1)
	if !t.order(func() {
		answered <- t.NetworkTransport.TimeoutNow(id, target, args, &raft.TimeoutNowResponse{})
	}) {
		return raft.ErrTransportShutdown
	}
	late := time.NewTimer(t.election)
	defer late.Stop()
	select {
	case err := <-answered:
		return err
	case <-late.C:
		return fmt.Errorf("replica %s has not answered within %s", id, t.election)
	}
}

// order makes a call that Close waits for; once that has begun it does not.
func (t *transport) order(call func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return false
	}
	t.orders.Go(call)
	return true
}

// awaitReached waits until a heartbeat reaches the follower; it is false when
// that was not so in time, or there is no more need.
func (t *transport) awaitReached(id raft.ServerID) bool {
	t.mu.Lock()
	c := t.mu.reached[id]
	if c == nil {
		c = make(chan struct{})
		t.mu.reached[id] = c
	}
	t.mu.Unlock()
	end := time.NewTimer(waitOut)
	defer end.Stop()
	look := time.NewTicker(waitOutLook)
	defer look.Stop()
	for {
		select {
		case <-c:
			return true
		case <-end.C:
			return false
		case <-look.C:
			if !t.leads() || t.IsShutdown() {
				return false
			}
		}
	}
}

// Close ends the connections too: NetworkTransport.Close leaves the reads of
// inbound ones hanging, and the pool of outbound ones open. It may be called
// more than once.
func (t *transport) Close() error {
	t.mu.Lock()
	if !t.mu.closed {
		close(t.done)
	}
	t.mu.closed = true
	t.mu.Unlock()
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	t.streams.breakAll()
	t.orders.Wait()
	return err
}

// streams is Raft's listener; it knows the connections that came in, and those
// that went out.
type streams struct {
	net.Listener
	dial      func(ctx context.Context, to string) (net.Conn, error)
	advertise net.Addr
	// life ends with breakAll, and all dials with it: Raft waits for them.
	life context.Context //nolint:containedctx // the listener's own lifetime, which no dial's outlives
	end  context.CancelFunc

	mu struct {
		sync.Mutex
		open   map[net.Conn]struct{}
		closed bool
	}
}

var _ raft.StreamLayer = (*streams)(nil)

// address is an advertised host:port, which need not be resolvable here.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// listenStreams takes the address on the network, which is TCP if it is nil.
func listenStreams(network Network, bind, advertiseHost string) (*streams, error) {
	listen, dial := listenTCP, dialTCP
	if network != nil {
		listen, dial = network.ListenRaft, network.DialRaft
	}
	l, err := listen(bind)
	if err != nil {
		return nil, err
	}
	s := &streams{Listener: l, dial: dial, advertise: address(advertised(advertiseHost, l.Addr()))}
	s.life, s.end = context.WithCancel(context.Background())
	s.mu.open = make(map[net.Conn]struct{})
	return s, nil
}

// Addr gives the address that others reach Raft at.
func (s *streams) Addr() net.Addr { return s.advertise }

// Dial opens a connection to another replica's Raft.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	c, err := s.dial(ctx, string(to))
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

func listenTCP(bind string) (net.Listener, error) { return net.Listen("tcp", bind) }

func dialTCP(ctx context.Context, to string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to)
}

// Accept takes the next connection in.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// track closes a connection that comes too late.
func (s *streams) track(c net.Conn) (net.Conn, error) {
	t := &tracked{Conn: c, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	s.mu.open[t] = struct{}{}
	return t, nil
}

func (s *streams) breakAll() {
	s.end()
	s.mu.Lock()
	s.mu.closed = true
	open := make([]net.Conn, 0, len(s.mu.open))
	for c := range s.mu.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// tracked is a connection that is forgotten when it is closed.
type tracked struct {
	net.Conn
	of *streams
}

// Read gives the end of the stream for a connection that was closed here, or
// broken off there, as for one that was closed there: none is a fault.
func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// Close closes the connection.
func (t *tracked) Close() error {
	t.of.mu.Lock()
	delete(t.of.mu.open, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}
