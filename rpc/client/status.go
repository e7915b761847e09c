package client

import (
	"context"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// Status is what one replica knows of the whole cluster.
type Status struct {
	ClusterID registry.ClusterID
	// Leader is empty when there is none.
	Leader registry.ReplicaName
	Term   registry.Term
	// Replicas are sorted by name; those that did not answer are unreachable.
	Replicas []ReplicaStatus
	// Pools are sorted by name.
	Pools []PoolSummary
	// Nodes counts the layout's nodes.
	Nodes NodeCounts
	// The nodes that are not as they should be.
	DrainingNodes, FailedNodes, LeftNodes []registry.NodeName
	Warnings                              []string
	// Index is that of ServedBy's state.
	Index    registry.Index
	ServedBy registry.ReplicaName
}

// ReplicaStatus is one replica of a Status.
type ReplicaStatus struct {
	Name registry.ReplicaName
	API  string // address, host:port
	// State is leader, follower, candidate, waiting or unreachable.
	State              string
	Voter              bool
	Applied, Committed registry.Index
	Version            string
}

// PoolSummary is one pool of a Status.
type PoolSummary struct {
	Name                                   registry.PoolName
	AliveCount, EligibleCount, MemberCount int
	Satisfied                              bool
	Reason                                 string // why it is not
}

// NodeCounts are the numbers of nodes by state; Draining are those of all
// states with the mark.
type NodeCounts struct{ Alive, Failed, Draining, Left int }

// Status asks one replica for the state of all. Any one answers, with or
// without a leader.
func (c *Client) Status(ctx context.Context) (Status, error) {
	res, err := invoke(ctx, c, method{kind: read, verb: "status"},
		func(s *server) unary[rotav1.StatusRequest, rotav1.StatusResponse] { return s.cluster.Status },
		&rotav1.StatusRequest{})
	if err != nil {
		return Status{}, err
	}
	n := res.GetNodes()
	return Status{
		ClusterID: registry.ClusterID(res.GetClusterId()), Leader: registry.ReplicaName(res.GetLeader()),
		Term: registry.Term(res.GetTerm()), Replicas: replicas(res), Pools: summaries(res),
		Nodes: NodeCounts{
			Alive: int(n.GetAlive()), Failed: int(n.GetFailed()), Draining: int(n.GetDraining()), Left: int(n.GetLeft()),
		},
		DrainingNodes: wire.Names[registry.NodeName](res.GetDrainingNodes()),
		FailedNodes:   wire.Names[registry.NodeName](res.GetFailedNodes()),
		LeftNodes:     wire.Names[registry.NodeName](res.GetLeftNodes()),
		Warnings:      res.GetWarnings(),
		Index:         registry.Index(res.GetIndex()), ServedBy: registry.ReplicaName(res.GetServedBy()),
	}, nil
}

func replicas(res *rotav1.StatusResponse) []ReplicaStatus {
	out := make([]ReplicaStatus, len(res.GetReplicas()))
	for i, r := range res.GetReplicas() {
		out[i] = ReplicaStatus{
			Name: registry.ReplicaName(r.GetName()), API: r.GetApiAddress(), State: r.GetState(), Voter: r.GetVoter(),
			Applied: registry.Index(r.GetAppliedIndex()), Committed: registry.Index(r.GetCommitIndex()), Version: r.GetVersion(),
		}
	}
	return out
}

func summaries(res *rotav1.StatusResponse) []PoolSummary {
	out := make([]PoolSummary, len(res.GetPools()))
	for i, p := range res.GetPools() {
		out[i] = PoolSummary{
			Name: registry.PoolName(p.GetName()), AliveCount: int(p.GetAliveCount()), EligibleCount: int(p.GetEligibleCount()),
			MemberCount: int(p.GetMemberCount()), Satisfied: p.GetSatisfied(), Reason: p.GetReason(),
		}
	}
	return out
}
