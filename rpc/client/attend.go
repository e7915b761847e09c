package client

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// Attend keeps a stream open from an agent to one replica, so that the replica
// notices at once when this process dies; to the others it gives no sign. It
// returns when the stream has ended: that ctx did, that the client was closed, or
// why another replica should be attended, which the next call does. begun is told
// which replica it is, and that from now on its death would be noticed.
func (c *Client) Attend(ctx context.Context, name registry.NodeName, boot registry.BootID, begun func(registry.ReplicaName)) error {
	life, end, err := c.transport.Begin(ctx)
	if err != nil {
		return errClosed
	}
	defer end()
	m := method{kind: read, verb: "attend as node", name: string(name)}
	request := &rotav1.AttendRequest{Name: string(name), BootId: string(boot)}
	if err := encodable(m, request); err != nil {
		return err
	}
	a := &attendance{}
	defer a.close()
	err = c.do(life, c.deadline(), m, func(ctx context.Context, from *server) error {
		a.close()
		return a.open(ctx, life, from, connect.NewRequest(request))
	})
	if err != nil {
		return err
	}
	begun(registry.ReplicaName(a.in.Msg().GetServedBy()))
	for a.in.Receive() { // A later release may have something to say.
		continue
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.moveOn(slices.Index(c.servers, a.from))
	return registry.Errorf(registry.Unavailable, "%v: %s ended the stream: %v; another replica is to be attended", m, a.from.address, a.in.Err())
}

// attendance is the stream of one replica.
type attendance struct {
	from   *server
	in     *connect.ServerStreamForClient[rotav1.AttendResponse]
	cancel context.CancelFunc
}

// close ends it. It may not have begun.
func (a *attendance) close() {
	if a.cancel == nil {
		return
	}
	a.cancel()
	if a.in != nil {
		_ = a.in.Close() // the exchange is given up
	}
	*a = attendance{}
}

// open asks one replica and waits until it has begun. ctx bounds that, and life
// the stream.
func (a *attendance) open(ctx, life context.Context, from *server, request *connect.Request[rotav1.AttendRequest]) (err error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(life, cancel)
	a.from, a.cancel = from, func() {
		stop()
		cancel()
	}
	release := context.AfterFunc(ctx, cancel)
	defer release()
	if a.in, err = from.nodes.Attend(own, request); err != nil {
		return err
	}
	if a.in.Receive() {
		if release() {
			return nil
		}
		return ctx.Err()
	}
	if err = a.in.Err(); err == nil {
		err = errEnded
	}
	return err
}
