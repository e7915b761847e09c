package server_test

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/server"
)

// pipes is a listener in memory, whose connections can go dark.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// dial gives a connection to the listener, and what makes it half-open: the host
// of the client is gone, and nobody says so.
func (p *pipes) dial() *halfOpen {
	near, far := net.Pipe()
	c := &halfOpen{Conn: near, ended: make(chan time.Time, 1)}
	p.accepted <- &noted{far, sync.OnceFunc(func() { c.ended <- time.Now() })}
	return c
}

// noted says when the server closes it.
type noted struct {
	net.Conn
	note func()
}

func (n *noted) Close() error {
	n.note()
	return n.Conn.Close()
}

type halfOpen struct {
	net.Conn
	dark  atomic.Bool
	ended chan time.Time
}

func (c *halfOpen) Write(b []byte) (int, error) {
	if c.dark.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read loses what comes in the dark: it is for a host that is not there.
func (c *halfOpen) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.dark.Load() {
		_, err = io.Copy(io.Discard, c.Conn)
		return 0, cmp.Or(err, io.EOF)
	}
	return n, err
}

// A client whose host is gone without a word keeps no connection: one of HTTP/2 has
// to answer a ping, and one of HTTP/1 has to ask within two minutes.
func TestHalfOpenConnectionsAreClosed(t *testing.T) {
	for protocol, most := range map[string]time.Duration{"connect": time.Minute, "json": 3 * time.Minute} {
		t.Run(protocol, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // golang/go#78156, of which gossip's bubble tells
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, server.Options{Replica: newMemory()})
				p := newPipes()
				served := make(chan error, 1)
				go func() { served <- s.Serve(p) }()
				conn := p.dial()
				transport := &http.Transport{
					Protocols:   new(http.Protocols),
					DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
				}
				transport.Protocols.SetHTTP1(protocol == "json")
				transport.Protocols.SetUnencryptedHTTP2(protocol != "json")
				a := rotav1connect.NewNodeServiceClient(&http.Client{Transport: transport}, "http://replica", protocols()[protocol]...)
				if _, err := a.ListNodes(t.Context(), connect.NewRequest(&rotav1.ListNodesRequest{})); err != nil {
					t.Fatal(err)
				}
				conn.dark.Store(true)
				began := time.Now()
				select {
				case at := <-conn.ended:
					t.Logf("closed after %s", at.Sub(began))
				case <-time.After(most):
					t.Errorf("the connection is there after %s", most)
				}
				transport.CloseIdleConnections()
				_ = conn.Close()
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
