package simnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	backlogMax = 256
	// synAgain is when a call that was lost, or found a full backlog, is made
	// again.
	synAgain = time.Second
)

// listener takes the streams that come to one address.
type listener struct {
	net   *Network
	plane Plane
	addr  *net.TCPAddr
	calls chan net.Conn
	done  chan struct{}
	close sync.Once
}

// Listen takes an address of the host for streams of one plane; an empty or
// wrong host in it is the host's own.
func (h *Host) Listen(plane Plane, bind string) (net.Listener, error) { return h.listen(plane, bind) }

func (h *Host) listen(plane Plane, bind string) (*listener, error) {
	at, err := h.at("listen", bind)
	if err != nil {
		return nil, err
	}
	l := &listener{net: h.net, plane: plane, addr: at, calls: make(chan net.Conn, backlogMax), done: make(chan struct{})}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.mu.listeners[at.String()] != nil {
		return nil, fault("listen", at.String(), syscall.EADDRINUSE)
	}
	h.net.mu.listeners[at.String()] = l
	h.net.settleLocked()
	return l, nil
}

// at is the address of a host:port on this host; port 0 is one that nobody has.
func (h *Host) at(op, bind string) (*net.TCPAddr, error) {
	_, digits, err := net.SplitHostPort(bind)
	if err != nil {
		return nil, fault(op, bind, err)
	}
	port, err := net.LookupPort("tcp", digits)
	if err != nil {
		return nil, fault(op, bind, err)
	}
	if port == 0 {
		h.net.mu.Lock()
		h.net.mu.port++
		port = h.net.mu.port
		h.net.mu.Unlock()
	}
	return address(h.ip, port), nil
}

// Accept takes the next stream.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.done:
		return nil, fault("accept", l.addr.String(), net.ErrClosed)
	}
}

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return l.addr }

// Close ends it, and resets the streams that nobody has taken.
func (l *listener) Close() error {
	err := fault("close", l.addr.String(), net.ErrClosed)
	l.close.Do(func() {
		err = nil
		l.net.mu.Lock()
		delete(l.net.mu.listeners, l.addr.String())
		l.net.settleLocked()
		l.net.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.calls:
				c.(*conn).pair.reset()
			default:
				return
			}
		}
	})
	return err
}

// Dial opens a stream to another host. Where the way there or the way back is
// cut it waits, until ctx ends.
func (h *Host) Dial(ctx context.Context, plane Plane, to string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, fault("dial", to, err)
	}
	r := route{plane: plane, from: h.ip, to: at.Addr().String()}
	for {
		if err := h.net.roundTrip(ctx, r); err != nil {
			return nil, fault("dial", to, err)
		}
		c, wait, err := h.net.connect(r, to)
		if c != nil || err != nil {
			return c, err
		}
		again := time.NewTimer(synAgain)
		select {
		case <-wait:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fault("dial", to, ended(ctx))
		}
		again.Stop()
	}
}

// roundTrip waits for as long as a message takes there and another one back.
func (n *Network) roundTrip(ctx context.Context, r route) error {
	n.mu.Lock()
	t := time.NewTimer(n.delayLocked(r) + n.delayLocked(r.back()))
	n.mu.Unlock()
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// connect makes a stream now; without one and without an error the answer is
// silence, until the channel is closed at the least.
func (n *Network) connect(r route, to string) (net.Conn, <-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.mu.listeners[to]
	switch {
	case n.mu.down[r.from] != up:
		return nil, nil, fault("dial", to, syscall.ENETDOWN)
	case n.cutLocked(r) || n.cutLocked(r.back()):
		return nil, n.changeLocked(), nil
	case l == nil || l.plane != r.plane || n.mu.down[r.to] == crashed:
		n.mu.counts.Refused++
		return nil, nil, fault("dial", to, syscall.ECONNREFUSED)
	case len(l.calls) == cap(l.calls):
		return nil, n.changeLocked(), nil
	}
	n.mu.port = 32768 + (n.mu.port-32768+1)%32000
	p := newPair(n, r, address(r.from, n.mu.port), l.addr)
	n.mu.conns[p] = struct{}{}
	n.mu.counts.Streams++
	l.calls <- p.far
	return p.near, nil, nil
}

// ended is what a call says whose context has ended: a deadline is a time-out of
// the network's, as a kernel would say it.
func ended(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return os.ErrDeadlineExceeded
	}
	return ctx.Err()
}

// fault is an error as package net gives it.
func fault(op, at string, err error) error {
	return &net.OpError{Op: op, Net: "sim", Addr: named(at), Err: err}
}

type named string

func (named) Network() string  { return "sim" }
func (a named) String() string { return string(a) }
