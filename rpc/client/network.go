package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Dialer makes a connection, as net.Dialer.DialContext does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

const (
	// dialTimeoutMax leaves a replica that does not even refuse; what could not
	// be connected is certain not to have been done.
	dialTimeoutMax = time.Second
	// pingAfter a silence, a connection must answer a ping within pingTimeout or
	// it is closed with all that waits on it: so a dead machine is noticed by
	// calls that have a long deadline, and by connections at rest.
	pingAfter   = 2 * time.Second
	pingTimeout = time.Second
	// restMax closes a connection that nobody uses.
	restMax = 90 * time.Second
)

// network carries the requests of one Client: HTTP/2 over TCP without TLS. It
// sends each request at most once, and knows every connection, so that close
// leaves none behind.
type network struct {
	transport *http.Transport
	dial      Dialer
	timeout   time.Duration
	// life ends with close, and every dial that is under way with it.
	life context.Context
	end  context.CancelFunc

	mu struct {
		sync.Mutex
		closed bool
		conns  map[*tracked]struct{}
	}
}

func newNetwork(dial Dialer, attemptTimeout time.Duration) *network {
	n := &network{dial: dial, timeout: min(dialTimeoutMax, attemptTimeout)}
	n.life, n.end = context.WithCancel(context.Background())
	n.mu.conns = make(map[*tracked]struct{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	n.transport = &http.Transport{
		DialContext:        n.connect,
		Protocols:          protocols,
		HTTP2:              &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		DisableCompression: true,
		IdleConnTimeout:    restMax,
	}
	return n
}

// Do implements connect.HTTPClient. It follows no redirect and lets net/http
// repeat nothing: that would send a round robin again, without end, when its
// stream is reset with PROTOCOL_ERROR (golang/go#47635).
func (n *network) Do(req *http.Request) (*http.Response, error) {
	single := req.WithContext(req.Context()) // a copy, the request is the caller's
	single.GetBody = nil
	res, err := n.transport.RoundTrip(single)
	if err != nil && refusedUnprocessed(err) {
		return nil, fmt.Errorf("%w: %w", errUnprocessed, err)
	}
	return res, err
}

// errUnprocessed marks a stream that the server refused without processing it:
// reset with REFUSED_STREAM, or above the last stream of a GOAWAY (RFC 9113,
// 6.8 and 8.7). That is how a replica that shuts down turns requests away.
var errUnprocessed = errors.New("the stream was refused unprocessed")

// refusedUnprocessed knows net/http's errors by their text, as their types are
// not exported. If a text changes, a refused stream counts as one that may have
// been processed, and a test fails.
func refusedUnprocessed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "graceful shutdown GOAWAY") ||
		strings.Contains(text, "; REFUSED_STREAM; received from peer")
}

// connect dials for the transport, whose ctx outlives the request.
func (n *network) connect(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	conn, err := n.dial(ctx, network, address)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		return nil, fmt.Errorf("dial %s: no connection in %v", address, n.timeout)
	}
	if err != nil {
		return nil, err
	}
	return n.track(conn)
}

// tracked is a connection that its network knows until it is closed.
type tracked struct {
	net.Conn
	forget func(*tracked)
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.forget(t)
	return t.Conn.Close()
}

func (n *network) track(conn net.Conn) (net.Conn, error) {
	t := &tracked{Conn: conn, forget: n.forget}
	n.mu.Lock()
	closed := n.mu.closed
	if !closed {
		n.mu.conns[t] = struct{}{}
	}
	n.mu.Unlock()
	if closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	return t, nil
}

func (n *network) forget(t *tracked) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.conns, t)
}

// close ends every connection and every dial. Requests under way fail.
func (n *network) close() {
	n.end()
	n.mu.Lock()
	n.mu.closed = true
	conns := make([]*tracked, 0, len(n.mu.conns))
	for t := range n.mu.conns {
		conns = append(conns, t)
	}
	n.mu.Unlock()
	n.transport.CloseIdleConnections()
	for _, t := range conns {
		_ = t.Close() // the connection is being given up
	}
}
