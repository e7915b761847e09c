package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// replicaService implements rotav1connect.ReplicaServiceHandler, for other
// replicas.
type replicaService struct{ calls }

func (s replicaService) ReadIndex(ctx context.Context, _ *connect.Request[rotav1.ReadIndexRequest]) (*connect.Response[rotav1.ReadIndexResponse], error) {
	index, err := s.replica.ReadIndex(ctx)
	return reply(&rotav1.ReadIndexResponse{Index: uint64(index)}, err)
}

func (s replicaService) CurrentTerm(ctx context.Context, r *connect.Request[rotav1.CurrentTermRequest]) (*connect.Response[rotav1.CurrentTermResponse], error) {
	name := registry.ReplicaName(r.Msg.GetName())
	if err := name.Validate(); err != nil {
		return nil, err
	}
	term, err := s.replica.CurrentTerm(ctx, name)
	return reply(&rotav1.CurrentTermResponse{Term: uint64(term)}, err)
}

func (s replicaService) Forward(ctx context.Context, r *connect.Request[rotav1.ForwardRequest]) (*connect.Response[rotav1.ForwardResponse], error) {
	if len(r.Msg.GetCommand()) == 0 {
		return nil, registry.Errorf(registry.Invalid, "command is empty: a replica forwards what package fsm has encoded")
	}
	result, position, err := s.replica.Forward(ctx, r.Msg.GetCommand())
	done := at(position)
	return reply(&rotav1.ForwardResponse{Result: result, Index: done.index, Term: done.term}, unlessKnown(err))
}

func (s replicaService) Hello(ctx context.Context, r *connect.Request[rotav1.HelloRequest]) (*connect.Response[rotav1.HelloResponse], error) {
	from, err := wire.FromGreeting(r.Msg.GetGreeting())
	if err != nil {
		return nil, err
	}
	greeting, err := s.replica.Hello(ctx, from)
	return reply(&rotav1.HelloResponse{Greeting: wire.ToGreeting(greeting)}, err)
}

func (s replicaService) SeesNodes(ctx context.Context, r *connect.Request[rotav1.SeesNodesRequest]) (*connect.Response[rotav1.SeesNodesResponse], error) {
	most := registry.SuspectsMax
	if r.Msg.GetProbe() {
		most = registry.ProbesMax
	}
	lives, err := wire.FromLives(r.Msg.GetLives(), most)
	if err != nil {
		return nil, err
	}
	return reply(&rotav1.SeesNodesResponse{Sights: wire.ToSights(s.replica.SeesNodes(ctx, lives, r.Msg.GetProbe()))}, nil)
}

func (s replicaService) NodesBroke(ctx context.Context, r *connect.Request[rotav1.NodesBrokeRequest]) (*connect.Response[rotav1.NodesBrokeResponse], error) {
	lives, err := wire.FromLives(r.Msg.GetLives(), registry.BrokenMax)
	if err != nil {
		return nil, err
	}
	return reply(&rotav1.NodesBrokeResponse{}, s.replica.NodesBroke(ctx, lives))
}

func (s replicaService) Liveness(_ context.Context, r *connect.Request[rotav1.LivenessRequest]) (*connect.Response[rotav1.LivenessResponse], error) {
	t, err := maybeType(r.Msg.GetType())
	if err != nil {
		return nil, err
	}
	report, err := s.replica.OwnLiveness(r.Msg.GetThaw(), t)
	return reply(&rotav1.LivenessResponse{Liveness: wire.ToLiveness(report)}, err)
}
