package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// registryService implements rotav1connect.RegistryServiceHandler, here and in
// topics.go, turns.go, settings.go and watch.go.
type registryService struct {
	calls
	watching *watching
}

func (s registryService) RegisterPool(ctx context.Context, r *connect.Request[rotav1.RegisterPoolRequest]) (*connect.Response[rotav1.RegisterPoolResponse], error) {
	spec, err := wire.FromSpec(r.Msg.GetSpec())
	if err != nil {
		return nil, err
	}
	result, position, err := s.propose(ctx, registry.RegisterPool{
		Spec: spec, Replace: r.Msg.GetReplace(), RequireNodes: r.Msg.GetRequireNodes(), By: by(r.Header()),
	})
	if err != nil {
		return nil, err
	}
	response := &rotav1.RegisterPoolResponse{Changed: result.Changed, ServedBy: s.servedBy}
	made, err := s.readBack(ctx, position, func(view *registry.View) error {
		pool, err := view.Pool(view.Resolve(spec).Name)
		if err == nil {
			response.Pool = wire.ToPool(pool)
		}
		return err
	})
	response.Index, response.Term = made.index, made.term
	return reply(response, err)
}

func (s registryService) UnregisterPool(ctx context.Context, r *connect.Request[rotav1.UnregisterPoolRequest]) (*connect.Response[rotav1.UnregisterPoolResponse], error) {
	_, position, err := s.propose(ctx, registry.UnregisterPool{Name: registry.PoolName(r.Msg.GetName()), By: by(r.Header())})
	done := at(position)
	return reply(&rotav1.UnregisterPoolResponse{Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}

func (s registryService) GetPool(ctx context.Context, r *connect.Request[rotav1.GetPoolRequest]) (*connect.Response[rotav1.GetPoolResponse], error) {
	name := registry.PoolName(r.Msg.GetName())
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err == nil {
		err = name.Validate()
	}
	if err != nil {
		return nil, err
	}
	var cursors []registry.Cursor
	var view *registry.View
	var info registry.ReadInfo
	if r.Msg.GetWithCursors() {
		cursors, view, info, err = s.replica.Cursors(ctx, options, name)
	} else {
		view, info, err = s.replica.Read(ctx, options)
	}
	if err != nil {
		return nil, err
	}
	pool, err := view.Pool(name)
	if err != nil {
		return nil, err
	}
	seen := answered(options, info)
	response := &rotav1.GetPoolResponse{Pool: wire.ToPool(pool), Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age}
	response.Pool.Cursors = wire.ToCursors(cursors)
	return reply(response, nil)
}

func (s registryService) ListPools(ctx context.Context, r *connect.Request[rotav1.ListPoolsRequest]) (*connect.Response[rotav1.ListPoolsResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	var pools []registry.PoolInfo
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		pools = view.Pools()
		return nil
	})
	response := &rotav1.ListPoolsResponse{Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age}
	for _, pool := range pools {
		response.Pools = append(response.Pools, wire.ToPool(pool))
	}
	return reply(response, err)
}

func (s registryService) RebalancePools(ctx context.Context, r *connect.Request[rotav1.RebalancePoolsRequest]) (*connect.Response[rotav1.RebalancePoolsResponse], error) {
	var moves []registry.Move
	var seen place
	var err error
	if r.Msg.GetDryRun() {
		seen, err = s.read(ctx, registry.ReadOptions{}, func(view *registry.View) error {
			moves = view.PlanRebalance()
			return nil
		})
	} else {
		var result registry.Result
		var position registry.Position
		result, position, err = s.propose(ctx, registry.RebalancePools{By: by(r.Header())})
		moves, seen = result.Moves, at(position)
	}
	return reply(&rotav1.RebalancePoolsResponse{
		Moves: wire.ToMoves(moves), Index: seen.index, Term: seen.term, ServedBy: s.servedBy,
	}, err)
}
