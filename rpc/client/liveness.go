package client

import (
	"context"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// Liveness is which nodes the leader does not declare failed, or alive again,
// though its gossip would have it so.
type Liveness struct {
	registry.LivenessReport
	ServedBy registry.ReplicaName
}

// Thaw is what was frozen and is not any more, as it was before.
type Thaw struct {
	Thawed           []registry.FrozenType
	Leader, ServedBy registry.ReplicaName
}

// Liveness asks the leader what it holds back. It needs a leader, and no quorum.
func (c *Client) Liveness(ctx context.Context) (Liveness, error) {
	res, err := invoke(ctx, c, method{kind: read, verb: "show liveness"},
		func(s *server) unary[rotav1.ShowLivenessRequest, rotav1.ShowLivenessResponse] {
			return s.cluster.ShowLiveness
		}, &rotav1.ShowLivenessRequest{})
	if err != nil {
		return Liveness{}, err
	}
	return Liveness{LivenessReport: wire.FromLiveness(res.GetLiveness()), ServedBy: registry.ReplicaName(res.GetServedBy())}, nil
}

// ThawLiveness lets the nodes of a frozen type fail, or those of all types if t
// is empty. To thaw twice is to thaw once.
func (c *Client) ThawLiveness(ctx context.Context, t registry.NodeType) (Thaw, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "thaw liveness", name: string(t)},
		func(s *server) unary[rotav1.ThawLivenessRequest, rotav1.ThawLivenessResponse] {
			return s.cluster.ThawLiveness
		}, &rotav1.ThawLivenessRequest{Type: string(t)})
	if err != nil {
		return Thaw{}, err
	}
	return Thaw{
		Thawed: wire.FromFrozen(res.GetThawed()),
		Leader: registry.ReplicaName(res.GetLeader()), ServedBy: registry.ReplicaName(res.GetServedBy()),
	}, nil
}
