package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// bindTriesMax is how often a port that is free for TCP and taken for UDP is
// given back and another one asked for.
const bindTriesMax = 10

var errHungUp = errors.New("gossip transport is closed")

// transport stands between memberlist and the network. memberlist closes its
// listeners and leaves the connections to their timeouts; this one knows them
// all and closes them first, so that a Close is prompt.
type transport struct {
	inner   memberlist.NodeAwareTransport
	streams chan net.Conn
	hung    chan struct{} // closed by hangUp: no connection lives any more
	stop    chan struct{} // closed when inner is down: the forwarder ends
	done    chan struct{} // closed by the forwarder

	shutdown func() error

	mu struct {
		sync.Mutex
		hungUp bool
		conns  map[*trackedConn]struct{}
	}
}

// newTransport takes over inner, and starts the goroutine that Shutdown joins.
func newTransport(inner memberlist.Transport) *transport {
	aware, ok := inner.(memberlist.NodeAwareTransport)
	if !ok {
		aware = addressed{inner}
	}
	t := &transport{
		inner: aware, streams: make(chan net.Conn),
		hung: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	t.mu.conns = map[*trackedConn]struct{}{}
	t.shutdown = sync.OnceValue(t.shutdownOnce)
	go t.forward()
	return t
}

// addressed lets a plain Transport take addresses that carry names.
type addressed struct{ memberlist.Transport }

func (a addressed) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return a.WriteTo(b, to.Addr)
}

func (a addressed) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return a.DialTimeout(to.Addr, timeout)
}

// forward hands inbound connections on, tracked; once hung up it drops what
// still comes, so that nothing in inner waits for a reader that is gone.
func (t *transport) forward() {
	defer close(t.done)
	for {
		select {
		case conn := <-t.inner.StreamCh():
			t.deliver(conn)
			continue
		case <-t.hung:
		}
		break
	}
	for {
		select {
		case conn := <-t.inner.StreamCh():
			_ = conn.Close()
		case <-t.inner.PacketCh():
		case <-t.stop:
			return
		}
	}
}

func (t *transport) deliver(conn net.Conn) {
	c, err := t.track(conn)
	if err != nil {
		return
	}
	select {
	case t.streams <- c:
	case <-t.hung:
		_ = c.Close()
	}
}

// track closes the connection itself if it comes too late.
func (t *transport) track(conn net.Conn) (net.Conn, error) {
	c := &trackedConn{Conn: conn, owner: t}
	t.mu.Lock()
	late := t.mu.hungUp
	if !late {
		t.mu.conns[c] = struct{}{}
	}
	t.mu.Unlock()
	if late {
		_ = conn.Close()
		return nil, errHungUp
	}
	return c, nil
}

// hangUp closes every connection and lets no other come to be.
func (t *transport) hangUp() {
	t.mu.Lock()
	if t.mu.hungUp {
		t.mu.Unlock()
		return
	}
	t.mu.hungUp = true
	conns := t.mu.conns
	t.mu.conns = map[*trackedConn]struct{}{}
	t.mu.Unlock()
	close(t.hung)
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// Shutdown implements memberlist.Transport; it may be called more than once.
func (t *transport) Shutdown() error { return t.shutdown() }

func (t *transport) shutdownOnce() error {
	t.hangUp()
	err := t.inner.Shutdown()
	close(t.stop)
	<-t.done
	return err
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return t.inner.FinalAdvertiseAddr(ip, port)
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.inner.WriteTo(b, addr)
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	return t.inner.WriteToAddress(b, addr)
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.inner.PacketCh() }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport. The connection
// comes with a deadline: memberlist writes the label before it sets its own.
func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := t.inner.DialAddressTimeout(addr, timeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("set a deadline for %s: %w", addr.Addr, err)
	}
	return t.track(conn)
}

// trackedConn leaves its transport's books when it is closed.
type trackedConn struct {
	net.Conn
	owner *transport
}

// Write closes the connection when it fails: memberlist drops one whose label
// it could not write without closing it.
func (c *trackedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.mu.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// netTransport is memberlist's own, with dials that end when the Gossip does.
type netTransport struct {
	*memberlist.NetTransport
	dial func(addr string, timeout time.Duration) (net.Conn, error)
}

// listenNet binds TCP and UDP to one port. Port 0 is any that is free for both.
func listenNet(ctx context.Context, ip string, port int, logger *log.Logger) (*netTransport, error) {
	config := &memberlist.NetTransportConfig{BindAddrs: []string{ip}, BindPort: port, Logger: logger}
	tries := 1
	if port == 0 {
		tries = bindTriesMax
	}
	for {
		inner, err := memberlist.NewNetTransport(config)
		if err == nil {
			return &netTransport{NetTransport: inner, dial: dialer(ctx)}, nil
		}
		tries--
		if tries == 0 || !strings.Contains(err.Error(), "address already in use") {
			return nil, fmt.Errorf("gossip cannot listen on %s: %w", net.JoinHostPort(ip, fmt.Sprint(port)), err)
		}
	}
}

func dialer(life context.Context) func(string, time.Duration) (net.Conn, error) {
	return func(addr string, timeout time.Duration) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(life, timeout)
		defer cancel()
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
}

// DialTimeout implements memberlist.Transport.
func (t *netTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.dial(addr, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *netTransport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.dial(addr.Addr, timeout)
}
