package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// clusterService implements rotav1connect.ClusterServiceHandler.
type clusterService struct{ calls }

// Status is answered whatever the state of the cluster: what this replica
// cannot read it says in a warning.
func (s clusterService) Status(ctx context.Context, _ *connect.Request[rotav1.StatusRequest]) (*connect.Response[rotav1.StatusResponse], error) {
	cluster := s.replica.Status(ctx)
	response := &rotav1.StatusResponse{
		ClusterId: string(s.replica.Self().ClusterID), Leader: string(cluster.Leader), Term: uint64(cluster.Term),
		Nodes: &rotav1.StatusResponse_NodeCounts{}, Warnings: cluster.Warnings, ServedBy: s.servedBy,
	}
	for _, g := range cluster.Replicas {
		response.Replicas = append(response.Replicas, &rotav1.StatusResponse_Replica{
			Name: string(g.Name), ApiAddress: g.API, State: g.Role, Voter: g.Voter,
			AppliedIndex: uint64(g.Applied), CommitIndex: uint64(g.Committed), Version: g.Version,
		})
	}
	seen, err := s.read(ctx, registry.ReadOptions{Consistency: registry.Local}, func(view *registry.View) error {
		summarize(view, response)
		return nil
	})
	response.Index = seen.index
	if err != nil {
		response.Warnings = append(response.Warnings, fmt.Sprintf("pools and nodes are not shown: replica %s could not read them: %v", s.servedBy, err))
	}
	return reply(response, nil)
}

func summarize(view *registry.View, response *rotav1.StatusResponse) {
	for _, pool := range view.Pools() {
		response.Pools = append(response.Pools, &rotav1.StatusResponse_PoolSummary{
			Name: string(pool.Spec.Name), AliveCount: uint32(pool.AliveCount), EligibleCount: uint32(pool.EligibleCount),
			MemberCount: uint32(len(pool.Members)), Satisfied: pool.Satisfied, Reason: pool.Reason,
		})
	}
	for _, node := range view.Nodes() {
		count(&node.Node, response)
	}
	response.Warnings = append(response.Warnings, view.Warnings()...)
}

func count(node *registry.Node, response *rotav1.StatusResponse) {
	name := string(node.Name)
	switch node.State {
	case registry.Alive:
		response.Nodes.Alive++
	case registry.Failed:
		response.Nodes.Failed++
		response.FailedNodes = append(response.FailedNodes, name)
	case registry.Left:
		response.Nodes.Left++
		response.LeftNodes = append(response.LeftNodes, name)
	}
	if node.Draining {
		response.Nodes.Draining++
		response.DrainingNodes = append(response.DrainingNodes, name)
	}
}

// AddReplica answers unimplemented, and so do the methods after it.
func (s clusterService) AddReplica(context.Context, *connect.Request[rotav1.AddReplicaRequest]) (*connect.Response[rotav1.AddReplicaResponse], error) {
	return nil, later("AddReplica", "list every replica in --replicas when the cluster is founded")
}

func (s clusterService) RemoveReplica(context.Context, *connect.Request[rotav1.RemoveReplicaRequest]) (*connect.Response[rotav1.RemoveReplicaResponse], error) {
	return nil, later("RemoveReplica", "the replicas of a cluster are those that it was founded with")
}

func (s clusterService) TransferLeadership(context.Context, *connect.Request[rotav1.TransferLeadershipRequest]) (*connect.Response[rotav1.TransferLeadershipResponse], error) {
	return nil, later("TransferLeadership", "a leader that is stopped with SIGTERM hands over by itself")
}

func (s clusterService) SafeToStop(context.Context, *connect.Request[rotav1.SafeToStopRequest]) (*connect.Response[rotav1.SafeToStopResponse], error) {
	return nil, later("SafeToStop", "ask Status whether a majority of the others is there")
}

func (s clusterService) SaveSnapshot(context.Context, *connect.Request[rotav1.SaveSnapshotRequest]) (*connect.Response[rotav1.SaveSnapshotResponse], error) {
	return nil, later("SaveSnapshot", "stop a replica and copy its data directory")
}

func (s clusterService) RestoreSnapshot(context.Context, *connect.Request[rotav1.RestoreSnapshotRequest]) (*connect.Response[rotav1.RestoreSnapshotResponse], error) {
	return nil, later("RestoreSnapshot", "start a replica on its data directory")
}
