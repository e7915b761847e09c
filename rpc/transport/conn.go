package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// dial makes a connection for net/http, whose ctx outlives the request. Its
// errors are NotSentErrors also to the request that waits: net/http asks for
// another connection only for one of which it has sent nothing, as it cannot
// read a body twice.
func (t *Transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !t.enter() {
		return nil, &NotSentError{net.ErrClosed}
	}
	defer t.mu.work.Done()
	ctx, cancel := context.WithTimeout(ctx, t.options.DialTimeout)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	conn, err := t.options.Dial(ctx, network, address)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &NotSentError{fmt.Errorf("dial %s: no connection in %v", address, t.options.DialTimeout)}
	}
	if err != nil {
		return nil, &NotSentError{err}
	}
	return t.track(conn)
}

// tracked is a connection that its Transport knows until it is closed.
type tracked struct {
	net.Conn
	transport *Transport
}

// Close implements net.Conn.
func (c *tracked) Close() error {
	c.transport.forget(c)
	return c.Conn.Close()
}

func (t *Transport) track(conn net.Conn) (net.Conn, error) {
	c := &tracked{Conn: conn, transport: t}
	t.mu.Lock()
	closed := t.mu.closed
	if !closed {
		t.mu.conns[c] = struct{}{}
	}
	t.mu.Unlock()
	if closed {
		_ = conn.Close() // nobody has used it
		return nil, &NotSentError{net.ErrClosed}
	}
	return c, nil
}

func (t *Transport) forget(c *tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.conns, c)
}

func (t *Transport) open() []*tracked {
	t.mu.Lock()
	defer t.mu.Unlock()
	conns := make([]*tracked, 0, len(t.mu.conns))
	for c := range t.mu.conns {
		conns = append(conns, c)
	}
	return conns
}
