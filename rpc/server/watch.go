package server

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// watching tells watchers what the replica tells, in messages of the API.
type watching struct {
	calls
	encodings *encodings
}

func newWatching(c calls) *watching { return &watching{calls: c, encodings: newEncodings()} }

// Watch streams a pool. It has no deadline of its own: it ends when the client
// goes away, the replica stops, or the pool is removed.
func (s registryService) Watch(ctx context.Context, r *connect.Request[rotav1.WatchRequest], stream *connect.ServerStream[rotav1.WatchResponse]) error {
	return s.watching.tell(ctx, r.Msg, func(f *frame) error { return stream.Conn().Send(f) })
}

// tell sends event after event. It ends without an error when the watcher has
// gone: there is nobody to hear of one.
func (w *watching) tell(ctx context.Context, request *rotav1.WatchRequest, send func(*frame) error) error {
	pool := registry.PoolName(request.GetPool())
	if err := pool.Validate(); err != nil {
		return err
	}
	for event, err := range w.replica.Watch(ctx, pool, registry.Epoch(request.GetAfterEpoch())) {
		if err != nil {
			return endOf(ctx, err)
		}
		if send(w.frame(event)) != nil {
			return nil
		}
	}
	return nil
}

// endOf gives the error that a watcher hears of a watch that ended with err.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// frame makes a message of an event.
func (w *watching) frame(e registry.PoolEvent) *frame {
	f := &frame{kind: "alive", rest: wire.ToPoolEvent(registry.PoolEvent{Reset: e.Reset, ReadInfo: e.ReadInfo}, w.servedBy)}
	switch {
	case e.Pool != nil:
		f.kind, f.epoch, f.body = "pool", e.Pool.Epoch, w.encodings.pool(e.Pool)
	case e.Change != nil:
		f.kind, f.epoch, f.body = "change", e.Change.Pool.Epoch, w.encodings.change(e.Change)
	}
	return f
}
