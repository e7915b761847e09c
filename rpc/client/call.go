package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/transport"
	"github.com/rota-registry/rota/rpc/wire"
)

// method is what a call needs to know of the method that it calls.
type method struct {
	kind kind
	// verb and name begin the call's own errors: `rr of pool` and `workers`.
	verb, name string
}

func (m method) String() string {
	if m.name == "" {
		return m.verb
	}
	return fmt.Sprintf("%s %q", m.verb, wire.Clip(m.name))
}

// attempt asks one server, once.
type attempt func(ctx context.Context, s *server) error

// unary is a method of a generated client.
type unary[Req, Res any] func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error)

// positioned is what every answer but a few carries.
type positioned interface{ GetIndex() uint64 }

// invoke calls the method that pick takes from a server, and gives its answer.
func invoke[Req, Res any](ctx context.Context, c *Client, m method, pick func(*server) unary[Req, Res], msg *Req) (*Res, error) {
	var answer *Res
	if err := encodable(m, msg); err != nil {
		return nil, err
	}
	err := c.do(ctx, c.deadline(), m, func(ctx context.Context, s *server) error {
		res, err := pick(s)(ctx, request(c, msg))
		if err != nil {
			return err
		}
		answer = res.Msg
		return nil
	})
	if err != nil {
		return nil, err
	}
	if p, ok := any(answer).(positioned); ok {
		c.note(registry.Index(p.GetIndex()))
	}
	return answer, nil
}

// encodable refuses text that is not UTF-8, which connect would find out about
// only after it has sent the request's headers.
func encodable(m method, msg any) error {
	p, ok := msg.(proto.Message)
	if !ok {
		return registry.Errorf(registry.Internal, "%v: %T is no message", m, msg)
	}
	if _, err := proto.Marshal(p); err != nil {
		return registry.Errorf(registry.Invalid, "%v: the request cannot be encoded: %v", m, err)
	}
	return nil
}

// request says who asks.
func request[Req any](c *Client, msg *Req) *connect.Request[Req] {
	req := connect.NewRequest(msg)
	if c.options.By != "" {
		req.Header().Set(byHeader, c.options.By)
	}
	return req
}

// byHeader tells a server who asks.
const byHeader = "Rota-By"

// call is one call under way.
type call struct {
	client          *Client
	kind            kind
	try             attempt
	first, at       int // indices of the server asked first, and to ask now
	start, deadline time.Time
	total           time.Duration

	tally tally
	tried []string // addresses, each once, in the order they were asked
	last  string   // address of the server asked last
	err   error    // what it brought
}

// run asks until decide says that it is enough. If that is before there is an
// answer, the error is a givenUp.
func (c *call) run(ctx context.Context) error {
	if endOf(ctx) != nil {
		return notAsked()
	}
	for {
		last := c.ask(ctx)
		c.tally = c.tally.add(last)
		todo := decide(c.situation(ctx, last))
		if last == answered || last == sessionless {
			if c.at != c.first {
				c.client.stay(c.at)
			}
		} else {
			c.at = c.client.moveOn(c.at)
		}
		if todo.verb == deliver || todo.verb == renew {
			return c.err // renewing is the caller's to do
		}
		if todo.verb == again && !pause(ctx, todo.wait) {
			todo = decide(c.situation(ctx, last)) // fails: the time is over
		}
		if todo.verb == fail {
			return c.failure(todo.code)
		}
	}
}

func (c *call) situation(ctx context.Context, last outcome) situation {
	return situation{
		kind: c.kind, last: last, tally: c.tally, servers: len(c.client.servers),
		total: c.total, left: time.Until(c.deadline),
		stopped: errors.Is(ctx.Err(), context.Canceled), jitter: rand.Float64(),
	}
}

// pause waits; it reports false if ctx ended meanwhile.
func pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask makes one attempt. What cannot be repeated is waited for until the call's
// deadline: to leave earlier would only make its outcome unknown earlier.
func (c *call) ask(ctx context.Context) outcome {
	span := time.Until(c.deadline)
	if c.kind != once {
		span = min(span, c.client.options.AttemptTimeout)
	}
	s := c.client.servers[c.at]
	if !slices.Contains(c.tried, s.address) {
		c.tried = append(c.tried, s.address)
	}
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	err := transport.Attempt(ctx, func(ctx context.Context) error {
		return c.try(promise{Context: ctx, deadline: promised(span)}, s)
	})
	over := ctx.Err() != nil
	last, err := classify(err, s.address, over)
	if last != unopened || c.err == nil {
		c.last, c.err = s.address, err // says more than that the time was over
	}
	return last
}

// promise tells the server an earlier deadline than the one that this side
// keeps, so that a replica that cannot do it in time can still say so: its
// "nothing was done" is worth more than a silence.
type promise struct {
	context.Context
	deadline time.Time
}

// Deadline implements context.Context; Done is that of the later deadline.
func (p promise) Deadline() (time.Time, bool) { return p.deadline, true }

// promised leaves a tenth of the time for the answer's way, at most 100 ms.
func promised(span time.Duration) time.Time {
	return time.Now().Add(span - min(span/10, 100*time.Millisecond))
}
