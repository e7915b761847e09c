package server

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/wire"
)

// callInterceptor is around every handler: it bounds its time, turns its error
// into one of the wire, survives its panic, and tells who observes.
type callInterceptor struct {
	logger  hclog.Logger
	observe func(procedure, code string, took time.Duration)
}

func (i *callInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (response connect.AnyResponse, err error) {
		ctx, cancel := bounded(ctx)
		defer cancel()
		defer i.settle(request.Spec().Procedure, time.Now(), &err)
		return next(ctx, request)
	}
}

func (i *callInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) (err error) {
		defer i.settle(conn.Spec().Procedure, time.Now(), &err)
		return next(ctx, conn)
	}
}

func (i *callInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// bounded gives a request the default deadline if it came without, and cuts a
// longer one than is allowed.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	most := registry.DeadlineMax
	if _, ok := ctx.Deadline(); !ok {
		most = registry.DeadlineDefault
	}
	return context.WithTimeout(ctx, time.Duration(most)*time.Millisecond)
}

// settle is deferred. A panic becomes an internal error: one request's bug must
// not end the replica, whose state no handler can change.
func (i *callInterceptor) settle(procedure string, began time.Time, err *error) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		i.logger.Error("handler panicked", "procedure", procedure, "panic", p, "stack", string(debug.Stack()))
		*err = wire.ToError(registry.Errorf(registry.Internal, "%s failed by a bug of this replica, whose log says more", procedure))
		i.observe(procedure, registry.Internal.String(), time.Since(began))
		return
	}
	if *err == nil {
		i.observe(procedure, "ok", time.Since(began))
		return
	}
	if own, ok := errors.AsType[*connect.Error](*err); ok { // A stream's request could not be read.
		i.observe(procedure, wire.FromCode(own.Code()).String(), time.Since(began))
		return
	}
	wired := wire.ToError(*err)
	i.observe(procedure, wire.FromCode(wired.Code()).String(), time.Since(began))
	if wired.Code() == connect.CodeInternal {
		i.logger.Error("request failed", "procedure", procedure, "error", *err)
	}
	*err = wired
}

// calls is what the services have in common.
type calls struct {
	replica  Replica
	servedBy string
}

// place is the part that answers have in common.
type place struct {
	index, term uint64
	age         *uint64 // only for local reads
}

func at(p registry.Position) place { return place{index: uint64(p.Index), term: uint64(p.Term)} }

// read calls f with the view that the options ask for, and gives f's error.
func (c calls) read(ctx context.Context, options registry.ReadOptions, f func(*registry.View) error) (place, error) {
	view, info, err := c.replica.Read(ctx, options)
	if err != nil {
		return place{}, err
	}
	return answered(options, info), f(view)
}

// answered is the place of an answer to a read.
func answered(options registry.ReadOptions, info registry.ReadInfo) place {
	p := at(info.Position)
	p.age = wire.ToAge(options, info)
	return p
}

// propose commits a command. Whatever ends a proposal without a code has an
// unknown outcome: it may have been on its way.
func (c calls) propose(ctx context.Context, cmd registry.Command) (registry.Result, registry.Position, error) {
	if err := registry.Check(cmd); err != nil {
		return registry.Result{}, registry.Position{}, err
	}
	result, position, err := c.replica.Propose(ctx, cmd)
	return result, position, unlessKnown(err)
}

func unlessKnown(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		if _, coded := errors.AsType[*registry.Error](err); !coded {
			return registry.Errorf(registry.OutcomeUnknown, "the deadline passed before the command was answered: it may be done or not, look before you ask again")
		}
	}
	return err
}

// readBack reads what a write that was committed at a position has made. What
// is no longer there (another write may have come between) is left out of the
// answer; a read that fails leaves the caller with a write that was done.
func (c calls) readBack(ctx context.Context, committed registry.Position, f func(*registry.View) error) (place, error) {
	view, info, err := c.replica.Read(ctx, registry.ReadOptions{Consistency: registry.AtLeast, AtLeastIndex: committed.Index})
	if err != nil {
		return place{}, registry.Errorf(registry.OutcomeUnknown, "it was done, at index %d, but what it made could not be read: %v", committed.Index, err)
	}
	if err := f(view); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return place{}, err
	}
	return at(info.Position), nil
}

// byHeader is where a client says who asks.
const byHeader = "Rota-By"

// by says who asked, for people: what the client says of itself in the header
// Rota-By, if that is fit to be stored.
func by(header http.Header) string {
	name := header.Get(byHeader)
	if name == "" || registry.Check(registry.RebalancePools{By: name}) != nil {
		return "api"
	}
	return name
}

// later answers for what the API has and this release has not.
func later(method, instead string) error {
	return registry.Errorf(registry.Unimplemented, "%s is not in this release: %s", method, instead)
}

// reply wraps an answer for connect.
func reply[T any](message *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(message), nil
}
