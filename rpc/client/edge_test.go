package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/transport/transporttest"
)

// edge is an in-memory network of servers, for use in a synctest bubble.
type edge struct {
	t  *testing.T
	mu sync.Mutex
	// hosts takes each connection to an address; no entry: refused.
	hosts map[string]func(net.Conn)
	conns []net.Conn
	dials []string
}

func newEdge(t *testing.T) *edge {
	e := &edge{t: t, hosts: make(map[string]func(net.Conn))}
	t.Cleanup(e.cut)
	return e
}

// dial is the client's Dialer.
func (e *edge) dial(ctx context.Context, _, address string) (net.Conn, error) {
	e.mu.Lock()
	e.dials = append(e.dials, address)
	host, known := e.hosts[address]
	e.mu.Unlock()
	if !known {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if host == nil { // a black hole
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	e.mu.Lock()
	e.conns = append(e.conns, far)
	e.mu.Unlock()
	host(far)
	return near, nil
}

// cut breaks every connection there is.
func (e *edge) cut() {
	e.mu.Lock()
	conns := e.conns
	e.conns = nil
	e.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// down makes an address refuse, and breaks all connections.
func (e *edge) down(address string) {
	e.mu.Lock()
	delete(e.hosts, address)
	e.mu.Unlock()
	e.cut()
}

// hole makes an address swallow attempts to connect.
func (e *edge) hole(address string) { e.hosts[address] = nil }

// hang makes an address take what is sent, as a stopped process does, and never
// answer.
func (e *edge) hang(address string) {
	e.hosts[address] = func(conn net.Conn) { go io.Copy(io.Discard, conn) }
}

// serve puts a fake replica at an address.
func (e *edge) serve(address string, r *replica) *replica {
	r.name = strings.TrimSuffix(address, ":1")
	e.hosts[address] = e.host(r.handler())
	return r
}

// host runs a server and gives what takes its connections.
func (e *edge) host(handler http.Handler) func(net.Conn) {
	listener := &listener{conns: make(chan net.Conn, 16), done: make(chan struct{})}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(listener)
	e.t.Cleanup(func() { server.Close() })
	return func(conn net.Conn) { listener.conns <- conn }
}

// up makes an address take connections.
func (e *edge) up(address string, host func(net.Conn)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hosts[address] = host
}

// client dials a, b, c … of the edge.
func (e *edge) client(opts client.Options, servers ...string) *client.Client {
	e.t.Helper()
	opts.Dial = e.dial
	c, err := client.Dial(servers, opts)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	return c
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

// replica is a fake one: it records each call, lets script answer it or not,
// and answers it from answers_test.go.
type replica struct {
	rotav1connect.UnimplementedRegistryServiceHandler
	rotav1connect.UnimplementedNodeServiceHandler
	rotav1connect.UnimplementedClusterServiceHandler
	name string
	// script runs after the call was recorded. An error is the answer; nil lets
	// the call go on.
	script func(ctx context.Context, method string) error
	// cluster, if set, answers round robins; lose is then asked what becomes of
	// each answer: an error is sent in its place.
	cluster *cluster
	lose    func(method string) error
	// refuses turns away what its cluster refuses now, as a replica does.
	refuses bool

	mu    sync.Mutex
	calls []recorded
}

// recorded is a call that has arrived.
type recorded struct {
	method  string // RrTopic
	by      string
	message any
	left    time.Duration // until the deadline that the client promised
}

func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	options := connect.WithInterceptors(connect.UnaryInterceptorFunc(r.record))
	mux.Handle(rotav1connect.NewRegistryServiceHandler(r, options))
	mux.Handle(rotav1connect.NewNodeServiceHandler(r, options))
	mux.Handle(rotav1connect.NewClusterServiceHandler(r, options))
	return mux
}

func (r *replica) record(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		procedure := req.Spec().Procedure
		call := recorded{method: procedure[strings.LastIndex(procedure, "/")+1:], by: req.Header().Get("Rota-By"), message: req.Any()}
		if deadline, ok := ctx.Deadline(); ok {
			call.left = time.Until(deadline)
		}
		r.mu.Lock()
		r.calls = append(r.calls, call)
		r.mu.Unlock()
		if r.script != nil {
			if err := r.script(ctx, call.method); err != nil {
				return nil, err
			}
		}
		return next(ctx, req)
	}
}

// got gives the methods that were called, in order.
func (r *replica) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var methods []string
	for _, c := range r.calls {
		methods = append(methods, c.method)
	}
	return methods
}

// answers counts the turns and keys that were asked for.
func (r *replica) answers() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		switch message := c.message.(type) {
		case *rotav1.RrBatchRequest:
			for _, turn := range message.GetTurns() {
				n += max(1, int(turn.GetCount()))
			}
		case *rotav1.HrwTopicRequest:
			n++
		case *rotav1.HrwTopicsRequest:
			n += len(keysOf(message))
		}
	}
	return n
}

// batches gives the round robins that were asked for.
func (r *replica) batches() (all []*rotav1.RrBatchRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if message, ok := c.message.(*rotav1.RrBatchRequest); ok {
			all = append(all, message)
		}
	}
	return all
}

// last gives the latest call.
func (r *replica) last() recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == 0 {
		return recorded{}
	}
	return r.calls[len(r.calls)-1]
}

func wantCalls(t *testing.T, r *replica, want ...string) {
	t.Helper()
	if got := r.got(); !slices.Equal(got, want) {
		t.Errorf("replica %s was asked %v, want %v", r.name, got, want)
	}
}

// says answers every call with err.
func says(err error) func(context.Context, string) error {
	return func(context.Context, string) error { return err }
}

// away puts a server at an address that turns all requests away.
func (e *edge) away(address string, answer transporttest.Answer) *transporttest.Server {
	s := transporttest.New(answer)
	e.hosts[address] = func(conn net.Conn) { go s.Serve(conn) }
	return s
}

var errPlain = errors.New("plain")
