package replicas

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// dialTimeout leaves a replica that does not even refuse.
	dialTimeout = time.Second
	// writeTimeout closes a connection that takes no bytes.
	writeTimeout = 5 * time.Second
	// restMax closes a connection that nobody uses.
	restMax = 90 * time.Second
)

// notSent wraps an error that came before a byte of the request was sent.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }
func (e *notSent) Unwrap() error { return e.err }

// network makes the connections of a client, and knows all of them and all
// calls, so that close leaves nothing behind.
//
// That a notSent means what it says rests on net/http: an HTTP/2 request is
// tried again on a new connection only if the first one certainly did not
// process it, and so a failed dial is never the second half of a try.
type network struct {
	transport *http.Transport
	dialer    func(ctx context.Context, network, address string) (net.Conn, error)
	// life ends with close.
	life context.Context
	end  context.CancelFunc

	mu struct {
		sync.Mutex
		closed bool
		conns  map[*tracked]struct{}
		calls  sync.WaitGroup // added to under the lock, never after closed
	}
}

func newNetwork(options Options) *network {
	n := &network{dialer: options.Dial}
	n.life, n.end = context.WithCancel(context.Background())
	n.mu.conns = make(map[*tracked]struct{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	n.transport = &http.Transport{
		DialContext: n.dial,
		Protocols:   protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  options.PingAfter,
			PingTimeout:      options.PingTimeout,
			WriteByteTimeout: writeTimeout,
		},
		DisableCompression: true,
		IdleConnTimeout:    restMax,
	}
	return n
}

// begin ties a call to the network's life; its release is deferred.
func (n *network) begin(ctx context.Context) (context.Context, func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.closed {
		return nil, nil, &notSent{errors.New("this replica is stopping")}
	}
	n.mu.calls.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(n.life, cancel)
	return ctx, func() {
		stop()
		cancel()
		n.mu.calls.Done()
	}, nil
}

func (n *network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(n.life, cancel)
	defer stop()
	conn, err := n.dialer(ctx, protocol, address)
	if err != nil {
		return nil, &notSent{err}
	}
	return n.track(conn)
}

func (n *network) track(conn net.Conn) (net.Conn, error) {
	t := &tracked{Conn: conn, network: n}
	n.mu.Lock()
	closed := n.mu.closed
	if !closed {
		n.mu.conns[t] = struct{}{}
	}
	n.mu.Unlock()
	if closed {
		_ = conn.Close()
		return nil, &notSent{net.ErrClosed}
	}
	return t, nil
}

// close breaks off what is under way, waits for it, and closes what is left.
func (n *network) close() {
	n.mu.Lock()
	n.mu.closed = true
	n.mu.Unlock()
	n.end()
	n.mu.calls.Wait()
	n.transport.CloseIdleConnections()
	for _, conn := range n.open() {
		_ = conn.Close()
	}
}

func (n *network) open() []*tracked {
	n.mu.Lock()
	defer n.mu.Unlock()
	conns := make([]*tracked, 0, len(n.mu.conns))
	for conn := range n.mu.conns {
		conns = append(conns, conn)
	}
	return conns
}

// tracked is a connection that its network knows until it is closed.
type tracked struct {
	net.Conn
	network *network
}

func (t *tracked) Close() error {
	t.network.mu.Lock()
	delete(t.network.mu.conns, t)
	t.network.mu.Unlock()
	return t.Conn.Close()
}
