// Package replicas is how one replica calls another: the client side of
// ReplicaService, by the other's API address, on the connections of a
// transport.Transport, which sends each request at most once.
//
// It makes each call once and decides nothing: whom to ask, and whether to ask
// again, fsm/replica knows, which uses it through an interface of its own. What
// it owes its caller is the truth about failures, because a command that was
// forwarded must not be forwarded again if it may have been taken:
//
//   - what the other replica answered keeps its code
//   - Unavailable: no connection could be made, so nothing was sent, or the
//     stream was refused unprocessed
//   - OutcomeUnknown: Forward broke off, or its deadline passed, after the
//     command may have been sent; or something answered that is not rota's
//     server, as its errors have no ErrorDetail: a proxy may have passed the
//     command on, whatever it says
//   - of the other calls, which change nothing, those end Unavailable, or
//     Deadline when the deadline passed
//
// Retries in here lost: only who knows the leader and the command's kind can
// tell whether, and where, to send it again.
package replicas

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/transport"
	"github.com/rota-registry/rota/rpc/wire"
)

// Options say how calls are made; the zero value is right for production.
type Options struct {
	// Deadline bounds each call whose context has none. 0 is 5 s.
	Deadline time.Duration
	// Dial makes connections; nil is TCP. A replica that does not even refuse
	// is given up after a second. It returns soon after its context has ended.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// PingAfter is how long a connection may be silent before it must answer a
	// ping within PingTimeout. 0 is 1 s and 3 s.
	PingAfter, PingTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Deadline == 0 {
		o.Deadline = time.Duration(registry.DeadlineDefault) * time.Millisecond
	}
	if o.PingAfter == 0 {
		o.PingAfter = time.Second
	}
	if o.PingTimeout == 0 {
		o.PingTimeout = 3 * time.Second
	}
	return o
}

// Client calls other replicas. Its methods may be used at once; Close ends them.
type Client struct {
	deadline  time.Duration
	transport *transport.Transport

	mu struct {
		sync.Mutex
		// stubs are by API address. There are as many as addresses were
		// called, up to stubsMax, when they are built anew.
		stubs map[string]rotav1connect.ReplicaServiceClient
	}
}

const (
	// stubsMax leaves room for replicas that move.
	stubsMax = 8 * registry.ReplicasMax
	// answerMax has room for the result of the largest batch: 16,384 answers
	// of a topic and a name.
	answerMax = 16 << 20
)

// New makes a client, without connecting to anyone.
func New(options Options) *Client {
	options = options.withDefaults()
	c := &Client{deadline: options.Deadline, transport: transport.New(transport.Options{
		Dial: options.Dial, PingAfter: options.PingAfter, PingTimeout: options.PingTimeout,
	})}
	c.mu.stubs = make(map[string]rotav1connect.ReplicaServiceClient)
	return c
}

// Close breaks off the calls under way and closes all connections. It may be
// called again.
func (c *Client) Close() { c.transport.Close() }

func (c *Client) stub(api string) rotav1connect.ReplicaServiceClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	stub, ok := c.mu.stubs[api]
	if !ok {
		if len(c.mu.stubs) >= stubsMax {
			clear(c.mu.stubs)
		}
		stub = rotav1connect.NewReplicaServiceClient(c.transport, "http://"+api,
			connect.WithReadMaxBytes(answerMax),
			// Between neighbours compression costs more than it saves.
			connect.WithAcceptCompression("gzip", nil, nil),
		)
		c.mu.stubs[api] = stub
	}
	return stub
}

// Hello greets a replica and gives its greeting.
func (c *Client) Hello(ctx context.Context, api string, g registry.Greeting) (registry.Greeting, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.Hello, &rotav1.HelloRequest{Greeting: wire.ToGreeting(g)})
	if err != nil {
		return registry.Greeting{}, readFailed(api, err)
	}
	return wire.FromGreeting(response.GetGreeting())
}

// CurrentTerm asks for a replica's Raft term. One that is not called name
// refuses.
func (c *Client) CurrentTerm(ctx context.Context, api string, name registry.ReplicaName) (registry.Term, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.CurrentTerm, &rotav1.CurrentTermRequest{Name: string(name)})
	if err != nil {
		return 0, readFailed(api, err)
	}
	return registry.Term(response.GetTerm()), nil
}

// ReadIndex asks the leader for an index that is safe to read at.
func (c *Client) ReadIndex(ctx context.Context, api string) (registry.Index, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.ReadIndex, &rotav1.ReadIndexRequest{})
	if err != nil {
		return 0, readFailed(api, err)
	}
	return registry.Index(response.GetIndex()), nil
}

// SeesNodes asks a replica whether its gossip shows lives of nodes, or has it
// probe each. The answer has one sight for each life.
func (c *Client) SeesNodes(ctx context.Context, api string, lives []registry.Life, probe bool) ([]registry.Sight, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.SeesNodes, &rotav1.SeesNodesRequest{Lives: wire.ToLives(lives), Probe: probe})
	if err != nil {
		return nil, readFailed(api, err)
	}
	sights := wire.FromSights(response.GetSights())
	if len(sights) != len(lives) {
		return nil, registry.Errorf(registry.Internal, "replica at %s was asked about %d lives and answered about %d: all replicas should be of one version", api, len(lives), len(sights))
	}
	return sights, nil
}

// NodesBroke tells the leader whose connections to this replica have broken. It
// changes nothing that could be unknown: a hint that is lost was one.
func (c *Client) NodesBroke(ctx context.Context, api string, lives []registry.Life) error {
	_, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.NodesBroke, &rotav1.NodesBrokeRequest{Lives: wire.ToLives(lives)})
	if err != nil {
		return readFailed(api, err)
	}
	return nil
}

// Liveness asks the leader what it does not do for liveness, and to thaw first;
// the report is of before that. To thaw twice is to thaw once.
func (c *Client) Liveness(ctx context.Context, api string, thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.Liveness, &rotav1.LivenessRequest{Thaw: thaw, Type: string(t)})
	if err != nil {
		return registry.LivenessReport{}, readFailed(api, err)
	}
	return wire.FromLiveness(response.GetLiveness()), nil
}

// Forward has the leader commit a command, and gives the result and its place
// in the log. Command and result are in the encoding of package fsm.
func (c *Client) Forward(ctx context.Context, api string, command []byte) ([]byte, registry.Position, error) {
	response, err := call(ctx, c, api, rotav1connect.ReplicaServiceClient.Forward, &rotav1.ForwardRequest{Command: command})
	if err != nil {
		return nil, registry.Position{}, forwardFailed(api, err)
	}
	return response.GetResult(), registry.Position{Index: registry.Index(response.GetIndex()), Term: registry.Term(response.GetTerm())}, nil
}

// call makes one call, bounded in time and by the client's life.
func call[Req, Res any](
	ctx context.Context, c *Client, api string,
	method func(rotav1connect.ReplicaServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	message *Req,
) (*Res, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	ctx, end, err := c.transport.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("this replica is stopping: %w", err)
	}
	defer end()
	var response *connect.Response[Res]
	err = transport.Attempt(ctx, func(ctx context.Context) (err error) {
		response, err = method(c.stub(api), ctx, connect.NewRequest(message))
		return err
	})
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// readFailed codes the error of a call that changes nothing: it has failed, and
// there is no outcome that could be unknown.
func readFailed(api string, err error) error {
	if coded, ok := wire.FromError(err); ok && coded.Code != registry.OutcomeUnknown {
		return coded
	}
	if connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		return registry.Errorf(registry.Deadline, "replica at %s did not answer in time: %v", api, err)
	}
	return registry.Errorf(registry.Unavailable, "replica at %s did not answer: %v", api, err)
}

// forwardFailed codes the error of a call that changes the state. Only rota's
// own server, and who knows that nothing was processed, may say that nothing
// was done.
func forwardFailed(api string, err error) error {
	if coded, ok := wire.FromError(err); ok && wire.HasDetail(err) {
		return coded
	}
	if transport.NotDone(err) {
		return registry.Errorf(registry.Unavailable, "replica at %s has not taken the command: %v", api, err)
	}
	return registry.Errorf(registry.OutcomeUnknown, "replica at %s broke off after a command may have reached it: %v", api, err)
}
