package server

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// ShowLiveness has the leader asked, whoever that is.
func (s clusterService) ShowLiveness(ctx context.Context, _ *connect.Request[rotav1.ShowLivenessRequest]) (*connect.Response[rotav1.ShowLivenessResponse], error) {
	report, err := s.replica.Liveness(ctx, false, "")
	return reply(&rotav1.ShowLivenessResponse{Liveness: wire.ToLiveness(report), ServedBy: s.servedBy}, err)
}

// ThawLiveness tells what it thaws, which is done within the leader's next look at
// its gossip.
func (s clusterService) ThawLiveness(ctx context.Context, r *connect.Request[rotav1.ThawLivenessRequest]) (*connect.Response[rotav1.ThawLivenessResponse], error) {
	t, err := maybeType(r.Msg.GetType())
	if err != nil {
		return nil, err
	}
	report, err := s.replica.Liveness(ctx, true, t)
	response := &rotav1.ThawLivenessResponse{Leader: string(report.Leader), ServedBy: s.servedBy}
	for _, f := range wire.ToFrozen(report.Frozen) {
		if t == "" || f.GetType() == string(t) {
			response.Thawed = append(response.Thawed, f)
		}
	}
	return reply(response, err)
}

// maybeType reads a node type that may be left out.
func maybeType(name string) (registry.NodeType, error) {
	if name == "" {
		return "", nil
	}
	t := registry.NodeType(name)
	return t, t.Validate()
}

// Attend holds an agent's connection, whose end is a hint that the node has died.
// It has no deadline of its own.
func (s nodeService) Attend(ctx context.Context, r *connect.Request[rotav1.AttendRequest], stream *connect.ServerStream[rotav1.AttendResponse]) error {
	return s.attend(ctx, r.Msg, stream.Send)
}

func (s nodeService) attend(ctx context.Context, request *rotav1.AttendRequest, send func(*rotav1.AttendResponse) error) error {
	life, err := wire.FromLife(request.GetName(), request.GetBootId())
	if err != nil {
		return err
	}
	if send(&rotav1.AttendResponse{ServedBy: s.servedBy}) == nil {
		<-ctx.Done()
	}
	// It was the agent's side that ended it, not a shutdown or a deadline.
	if cause := context.Cause(ctx); cause == nil || errors.Is(cause, context.Canceled) {
		s.replica.ConnectionBroke(life)
		return nil
	}
	return endOf(ctx, ctx.Err())
}
