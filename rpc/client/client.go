package client

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/transport"
)

// answerMax bounds what is read of one answer, in bytes: more than all pools
// with all memberships take.
const answerMax = 256 << 20

// Client asks the replicas of one cluster. It is safe for many goroutines,
// which share its connections.
type Client struct {
	options   Options
	servers   []*server
	transport *transport.Transport
	// at is the index of the server to ask first: the last one that answered.
	at atomic.Int64
	// lead is the index of the server that leads, whom turns are asked for first;
	// -1 while that is not known, or none of the servers.
	lead atomic.Int64
	// seen is the largest Index of any answer.
	seen atomic.Uint64

	turns *gatherer[allTurns, turnAsk]
	keys  *gatherer[question, keyAsk]

	clock coarseClock // of the watches
}

// server is one replica as a Client reaches it.
type server struct {
	address  string
	registry rotav1connect.RegistryServiceClient
	nodes    rotav1connect.NodeServiceClient
	cluster  rotav1connect.ClusterServiceClient
}

// Dial makes a Client of the replicas at the given API addresses (host:port).
// It connects to none: a call does, when it needs to. The error names every
// fault in servers, or every one in opts; its code is invalid.
func Dial(servers []string, opts Options) (*Client, error) {
	if err := validateServers(servers); err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	c := &Client{options: opts, transport: transport.New(transport.Options{
		Dial: opts.Dial, DialTimeout: min(dialTimeoutMax, opts.AttemptTimeout),
	})}
	c.clock.began = time.Now()
	c.lead.Store(-1)
	for _, address := range servers {
		c.servers = append(c.servers, newServer(address, c.transport))
	}
	c.turns = newGatherer[allTurns, turnAsk](counted, opts.Timeout, &rounds{client: c})
	c.keys = newGatherer[question, keyAsk](read, opts.Timeout, reads{c})
	return c, nil
}

// newServer speaks gRPC, which every proxy that knows HTTP/2 APIs passes on.
func newServer(address string, network *transport.Transport) *server {
	url := "http://" + address
	options := connect.WithClientOptions(connect.WithGRPC(), connect.WithReadMaxBytes(answerMax))
	return &server{
		address:  address,
		registry: rotav1connect.NewRegistryServiceClient(network, url, options),
		nodes:    rotav1connect.NewNodeServiceClient(network, url, options),
		cluster:  rotav1connect.NewClusterServiceClient(network, url, options),
	}
}

// Close ends the calls that are under way, which fail as if they had been
// cancelled, and all watches, waits for them, and closes all connections. It
// always returns nil, and may be called twice, but not by a watch's callback.
func (c *Client) Close() error {
	c.turns.close()
	c.keys.close()
	c.transport.Close()
	c.turns.wait()
	c.keys.wait()
	return nil
}

// errClosed is what a call of a closed Client gets.
var errClosed = registry.Errorf(registry.Unavailable, "client: it is closed: make a new one with Dial")

// first is the index of the server to ask first. Reads do not look for the
// leader, so that it need not answer all of them.
func (c *Client) first(k kind) int {
	if lead := int(c.lead.Load()); lead >= 0 && k != read {
		return lead
	}
	return int(c.at.Load())
}

// follow is told by an answer which address leads. One that the client was not
// given is left alone: what reaches the servers may be something else than they
// know of.
func (c *Client) follow(leader string) {
	at := int64(slices.IndexFunc(c.servers, func(s *server) bool { return s.address == leader }))
	if c.lead.Load() != at {
		c.lead.Store(at)
	}
}

// stay makes the calls to come ask the server at index at.
func (c *Client) stay(at int) {
	if c.at.Load() != int64(at) {
		c.at.Store(int64(at))
	}
}

// moveOn makes the calls to come ask the server after the one at index from,
// unless another call has moved on already; it gives the one to ask next.
func (c *Client) moveOn(from int) int {
	c.lead.CompareAndSwap(int64(from), -1)
	next := (from + 1) % len(c.servers)
	c.at.CompareAndSwap(int64(from), int64(next))
	return next
}

// note keeps the largest index seen.
func (c *Client) note(i registry.Index) {
	for {
		seen := c.seen.Load()
		if uint64(i) <= seen || c.seen.CompareAndSwap(seen, uint64(i)) {
			return
		}
	}
}

// deadline is that of a call that starts now.
func (c *Client) deadline() time.Time { return time.Now().Add(c.options.Timeout) }

// do makes one call: it lets try ask one server after the other, as decide
// says, until the deadline. The error is nil when try's last one was.
func (c *Client) do(parent context.Context, deadline time.Time, m method, try attempt) error {
	return told(parent, m, c.attempts(parent, deadline, m.kind, try))
}

// attempts is do for a call whose errors are not told yet.
func (c *Client) attempts(parent context.Context, deadline time.Time, k kind, try attempt) error {
	start := time.Now()
	ctx, end, err := c.transport.Begin(parent)
	if err != nil {
		return errClosed
	}
	defer end()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	deadline, _ = ctx.Deadline()
	first := c.first(k)
	run := &call{
		client: c, kind: k, try: try, first: first, at: first,
		start: start, deadline: deadline, total: deadline.Sub(start),
	}
	return run.run(ctx)
}

// told makes the error that a caller hears: it says which call it is of, and
// that the caller's own context had ended, if it had.
func told(ctx context.Context, m method, err error) error {
	if err == nil {
		return nil
	}
	if given, ok := errors.AsType[*givenUp](err); ok {
		err = given.of(m)
	}
	if cause := endOf(ctx); cause != nil {
		return &ended{error: err, cause: cause}
	}
	return err
}

// endOf is the error of a context that has ended, its own timer late or not.
func endOf(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}
