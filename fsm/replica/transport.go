package replica

import (
	"errors"
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
type transport struct {
	*raft.NetworkTransport
	streams *streams
}

var _ raft.WithPreVote = (*transport)(nil)

// SetHeartbeatHandler leaves heartbeats to Raft's main loop.
func (*transport) SetHeartbeatHandler(func(raft.RPC)) {}

func newTransport(s *streams, book raft.ServerAddressProvider, logger hclog.Logger) *transport {
	return &transport{
		streams: s,
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider:   book,
			Logger:                  logger,
			Stream:                  s,
			MaxPool:                 raftConnections,
			Timeout:                 raftIOTimeout,
			MsgpackUseNewTimeFormat: true,
		}),
	}
}

// Close ends the connections too: NetworkTransport.Close leaves the reads of
// inbound ones hanging, and the pool of outbound ones open. It may be called
// more than once.
func (t *transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	t.streams.breakAll()
	return err
}

// streams is Raft's listener; it knows the connections that came in.
type streams struct {
	net.Listener
	advertise net.Addr

	mu struct {
		sync.Mutex
		in     map[net.Conn]struct{}
		closed bool
	}
}

var _ raft.StreamLayer = (*streams)(nil)

// address is an advertised host:port, which need not be resolvable here.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func listenStreams(bind, advertiseHost string) (*streams, error) {
	l, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, err
	}
	s := &streams{Listener: l, advertise: address(advertised(advertiseHost, l.Addr()))}
	s.mu.in = make(map[net.Conn]struct{})
	return s, nil
}

// Addr gives the address that others reach Raft at.
func (s *streams) Addr() net.Addr { return s.advertise }

// Dial opens a connection to another replica's Raft.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}

// Accept takes the next connection in.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: c, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	s.mu.in[t] = struct{}{}
	return t, nil
}

func (s *streams) breakAll() {
	s.mu.Lock()
	s.mu.closed = true
	open := make([]net.Conn, 0, len(s.mu.in))
	for c := range s.mu.in {
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
	delete(t.of.mu.in, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}
