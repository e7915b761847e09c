// Package transport carries rota's requests over HTTP/2 without TLS, on
// connections that are kept: those of rpc/client, and those of one replica to
// another in rpc/replicas. Both must be able to say of a request that failed
// whether it may have been done, and a [Transport] owes them what that takes:
//
//   - It sends each request at most once. What net/http would send again by
//     itself fails here instead.
//   - Its errors say when it is certain that nothing was done: [NotSentError],
//     [RefusedError]. Any other failure leaves that open.
//   - It knows every call, every dial and every connection. A connection that
//     is silent must answer a ping, so that a machine that hangs is noticed by
//     calls with a long deadline. Close breaks all off and leaves nothing
//     behind.
//
// It must never retry, follow a redirect or read an answer: whom to ask, and
// whether to ask again, its callers decide.
//
// What lost: http.Client with net/http's transport alone, which repeats a
// request that has a GetBody, as all of connect's do, without end when its
// stream is reset with PROTOCOL_ERROR (golang/go#47635), and has no Close;
// HTTP/1.1, whose requests cannot share a connection, and where a broken one
// cannot be told from a slow one.
package transport

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options say how connections are made and watched. Zero fields are defaults.
type Options struct {
	// Dial makes a connection; nil is TCP. It returns soon after its context
	// has ended: Close waits for it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout leaves a machine that does not even refuse. 0 is 1 s.
	DialTimeout time.Duration
	// PingAfter is how long a connection may be silent before it must answer a
	// ping within PingTimeout, or is closed with all that waits on it. 0 is
	// 2 s and 1 s.
	PingAfter, PingTimeout time.Duration
}

const (
	// writeTimeout closes a connection that takes no bytes.
	writeTimeout = 5 * time.Second
	// restMax closes a connection that nobody uses.
	restMax = 90 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = time.Second
	}
	if o.PingAfter == 0 {
		o.PingAfter = 2 * time.Second
	}
	if o.PingTimeout == 0 {
		o.PingTimeout = time.Second
	}
	return o
}

// Transport implements connect.HTTPClient. It is safe for many goroutines.
type Transport struct {
	options Options
	http    *http.Transport
	// life ends with Close, and all calls and dials with it.
	life context.Context
	end  context.CancelFunc

	mu struct {
		sync.Mutex
		closed bool
		conns  map[*tracked]struct{}
		work   sync.WaitGroup // calls and dials; added to under the lock, never after closed
	}
}

// New makes a Transport, without connecting to anyone.
func New(options Options) *Transport {
	t := &Transport{options: options.withDefaults()}
	t.life, t.end = context.WithCancel(context.Background())
	t.mu.conns = make(map[*tracked]struct{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	t.http = &http.Transport{
		DialContext: t.dial,
		Protocols:   protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  t.options.PingAfter,
			PingTimeout:      t.options.PingTimeout,
			WriteByteTimeout: writeTimeout,
		},
		DisableCompression: true,
		IdleConnTimeout:    restMax,
	}
	return t
}

// Begin begins a call, of one attempt or many, which Close waits for until end
// is called, once. The context ends with ctx, with end, or with Close. The
// error is net.ErrClosed, as a NotSentError.
func (t *Transport) Begin(ctx context.Context) (call context.Context, end func(), err error) {
	if !t.enter() {
		return nil, nil, &NotSentError{net.ErrClosed}
	}
	call, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.life, cancel)
	return call, func() {
		stop()
		cancel()
		t.mu.work.Done()
	}, nil
}

// enter counts work that Close waits for, and refuses it once that was called.
func (t *Transport) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return false
	}
	t.mu.work.Add(1)
	return true
}

// Close breaks off the calls and dials under way, waits for them, and closes
// all connections. It may be called again.
func (t *Transport) Close() {
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.end()
	t.mu.work.Wait()
	t.http.CloseIdleConnections()
	for _, conn := range t.open() {
		_ = conn.Close() // the connection is being given up
	}
}
