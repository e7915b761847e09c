package simnet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// windowBytes is what a stream holds on its way in one direction, before a
	// writer has to wait for the reader.
	windowBytes = 256 << 10
	// takesNothingMax is when a stream breaks that takes nothing.
	takesNothingMax = 15 * time.Minute
)

// pair is a stream: its two ends, of which near is the one that called.
type pair struct {
	net       *Network
	near, far *conn
}

func newPair(n *Network, r route, from, to *net.TCPAddr) *pair {
	p := &pair{net: n}
	there, back := &half{route: r}, &half{route: r.back()}
	p.near = &conn{pair: p, local: from, remote: to, in: back, out: there}
	p.far = &conn{pair: p, local: to, remote: from, in: there, out: back}
	return p
}

// reset breaks both ends.
func (p *pair) reset() {
	p.near.out.breakOff()
	p.near.in.breakOff()
}

// segment is what one Write sent, or the end of the stream.
type segment struct {
	bytes []byte
	end   bool
	at    time.Time // when it arrives
	held  bool      // by a cut: it has no time of arrival yet
}

// half is one direction of a stream.
type half struct {
	route

	mu       sync.Mutex
	segments []segment
	bytes    int
	last     time.Time // of arrival: nothing overtakes what was sent before
	cut      bool
	broken   bool
	// ended and deaf: its writer, or its reader, has closed its end.
	ended, deaf               bool
	readDeadline, writeByTime time.Time
	changed                   chan struct{} // closed at any change; nil while nobody waits
}

func (h *half) wakeLocked() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

func (h *half) breakOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
	h.wakeLocked()
}

// setCut holds back what has not arrived, or lets it go; it gives how many
// messages it held.
func (h *half) setCut(cut bool, delay time.Duration) (held int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.cut
	h.cut = cut
	if was == cut {
		return 0
	}
	now := time.Now()
	for i := range h.segments {
		switch s := &h.segments[i]; {
		case cut && s.at.After(now):
			s.held = true
			held++
		case !cut && s.held:
			s.held, s.at = false, h.arrivalLocked(now.Add(delay))
		}
	}
	if !cut && h.deaf && len(h.segments) > 0 {
		h.broken = true // what comes to an end that is closed is answered with a reset
	}
	h.wakeLocked()
	return held
}

// arrivalLocked keeps the order in which messages were sent.
func (h *half) arrivalLocked(at time.Time) time.Time {
	if at.Before(h.last) {
		at = h.last
	}
	h.last = at
	return at
}

// waitLocked waits for a change, or until one of the times, zero is none; it
// gives the lock away meanwhile.
func (h *half) waitLocked(until ...time.Time) {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	changed := h.changed
	var first time.Time
	for _, u := range until {
		if !u.IsZero() && (first.IsZero() || u.Before(first)) {
			first = u
		}
	}
	h.mu.Unlock()
	defer h.mu.Lock()
	if first.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(first))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

// send puts a message on its way, or waits for room.
func (h *half) send(n *Network, b []byte) error {
	at, _ := n.departs(h.route)
	h.mu.Lock()
	defer h.mu.Unlock()
	giveUp := time.Now().Add(takesNothingMax)
	for {
		now := time.Now()
		switch {
		case h.ended:
			return net.ErrClosed
		case h.broken:
			return syscall.ECONNRESET
		case !h.writeByTime.IsZero() && !now.Before(h.writeByTime):
			return os.ErrDeadlineExceeded
		case h.deaf && !h.cut:
			h.broken = true
			h.wakeLocked()
			return syscall.EPIPE
		case !now.Before(giveUp):
			h.broken = true
			h.wakeLocked()
			return syscall.ETIMEDOUT
		case h.bytes == 0 || h.bytes+len(b) <= windowBytes:
			h.putLocked(segment{bytes: bytes.Clone(b), at: at})
			return nil
		}
		h.waitLocked(h.writeByTime, giveUp)
	}
}

func (h *half) putLocked(s segment) {
	if s.held = h.cut; !s.held {
		if now := time.Now(); s.at.Before(now) {
			s.at = now
		}
		s.at = h.arrivalLocked(s.at)
	}
	h.segments = append(h.segments, s)
	h.bytes += len(s.bytes)
	h.wakeLocked()
}

// receive waits for bytes.
func (h *half) receive(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case h.deaf:
			return 0, net.ErrClosed
		case h.broken:
			return 0, syscall.ECONNRESET
		case !h.readDeadline.IsZero() && !now.Before(h.readDeadline):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		var next time.Time
		if len(h.segments) > 0 && !h.segments[0].held {
			s := &h.segments[0]
			if next = s.at; !now.Before(next) {
				return h.takeLocked(s, b)
			}
		}
		h.waitLocked(h.readDeadline, next)
	}
}

func (h *half) takeLocked(s *segment, b []byte) (int, error) {
	if s.end {
		return 0, io.EOF // and stays there for the next read
	}
	n := copy(b, s.bytes)
	s.bytes = s.bytes[n:]
	h.bytes -= n
	if len(s.bytes) == 0 {
		h.segments[0] = segment{}
		h.segments = h.segments[1:]
	}
	h.wakeLocked()
	return n, nil
}

// conn is one end of a stream.
type conn struct {
	pair          *pair
	local, remote *net.TCPAddr
	in, out       *half
	closed        sync.Once
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.receive(b)
	if err != nil && err != io.EOF {
		err = fault("read", c.remote.String(), err)
	}
	return n, err
}

// Write implements net.Conn: all or nothing.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.out.send(c.pair.net, b); err != nil {
		return 0, fault("write", c.remote.String(), err)
	}
	return len(b), nil
}

// Close ends this end. What was written still arrives, and then the end; a peer
// that writes on is told by a reset.
func (c *conn) Close() error {
	err := fault("close", c.remote.String(), net.ErrClosed)
	c.closed.Do(func() {
		err = nil
		at, _ := c.pair.net.departs(c.out.route)
		c.out.mu.Lock()
		c.out.ended = true
		c.out.putLocked(segment{end: true, at: at})
		c.out.mu.Unlock()
		c.in.mu.Lock()
		c.in.deaf = true
		c.in.wakeLocked()
		both := c.in.ended
		c.in.mu.Unlock()
		if both {
			c.pair.net.forget(c.pair)
		}
	})
	return err
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.deaf {
		return fault("set", c.remote.String(), net.ErrClosed)
	}
	c.in.readDeadline = t
	c.in.wakeLocked()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.ended {
		return fault("set", c.remote.String(), net.ErrClosed)
	}
	c.out.writeByTime = t
	c.out.wakeLocked()
	return nil
}
