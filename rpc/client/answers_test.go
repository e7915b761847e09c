package client_test

import (
	"context"

	"connectrpc.com/connect"

	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// What the fake replica answers. Every answer is at index 7 and term 2.

func respond[T any](msg *T) (*connect.Response[T], error) { return connect.NewResponse(msg), nil }

func ptr[T any](v T) *T { return &v }

func aPool() *rotav1.Pool {
	return &rotav1.Pool{
		Spec: &rotav1.PoolSpec{Name: "p", Topic: "t/p", NodeType: "worker", MaxNodes: ptr(uint32(2)), Hash: "zeek-6.2"},
		Members: []*rotav1.Member{
			{Name: "w-1", Alias: "w-1.0", SiteId: 11, Topic: "t/w-1/", Alive: true, Eligible: true, State: "alive"},
		},
		AliveCount: 1, EligibleCount: 1, Epoch: 5, Reason: "wants 2, has 1",
	}
}

func aNode() *rotav1.Node {
	return &rotav1.Node{Name: "w-1", Type: "worker", Address: "10.0.0.1:1", BootId: "00000000000000ab", State: "alive", Pools: []string{"p"}}
}

func someCursors() []*rotav1.Cursor { return []*rotav1.Cursor{{Key: "k", Next: 1, Node: "w-1"}} }

func (r *replica) HrwTopic(_ context.Context, req *connect.Request[rotav1.HrwTopicRequest]) (*connect.Response[rotav1.HrwTopicResponse], error) {
	if r.cluster != nil {
		return r.cluster.owner(r, req.Msg)
	}
	return respond(&rotav1.HrwTopicResponse{Topic: "t/w-1/", Node: "w-1", Epoch: 5, Index: 7, Term: 2, ServedBy: r.name, AgeMs: ptr(uint64(30))})
}

func (r *replica) HrwTopics(_ context.Context, req *connect.Request[rotav1.HrwTopicsRequest]) (*connect.Response[rotav1.HrwTopicsResponse], error) {
	if r.cluster != nil {
		return r.cluster.owners(r, req.Msg)
	}
	res := &rotav1.HrwTopicsResponse{Epoch: 5, Index: 7, Term: 2, ServedBy: r.name}
	if req.Msg.GetPool() == "none" {
		res.EmptyReason = "none_alive"
		return respond(res)
	}
	res.Chosen = []*rotav1.Chosen{{Topic: "t/w-1/", Node: "w-1"}, {Topic: "t/w-2/", Node: "w-2"}}
	for i := range keysOf(req.Msg) {
		res.Picks = append(res.Picks, uint32(i%2))
	}
	return respond(res)
}

func (r *replica) RankNodes(context.Context, *connect.Request[rotav1.RankNodesRequest]) (*connect.Response[rotav1.RankNodesResponse], error) {
	return respond(&rotav1.RankNodesResponse{
		Ranking: []*rotav1.RankNodesResponse_Entry{{Node: "w-1", Topic: "t/w-1/", SiteId: 11, Weight: 13, Eligible: true}},
		Digest:  17, Epoch: 5, Index: 7, Term: 2, ServedBy: r.name,
	})
}

func (r *replica) OpenSession(context.Context, *connect.Request[rotav1.OpenSessionRequest]) (*connect.Response[rotav1.OpenSessionResponse], error) {
	if r.cluster != nil {
		return r.cluster.open(r)
	}
	return respond(&rotav1.OpenSessionResponse{Session: "0123456789abcdef0123456789abcdef", Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) RrBatch(_ context.Context, req *connect.Request[rotav1.RrBatchRequest]) (*connect.Response[rotav1.RrBatchResponse], error) {
	if r.cluster != nil {
		return r.cluster.rr(r, req.Msg)
	}
	res := &rotav1.RrBatchResponse{Index: 7, Term: 2, ServedBy: r.name, Chosen: []*rotav1.Chosen{
		{Topic: "t/w-1/", Node: "w-1"}, {Topic: "t/w-2/", Node: "w-2"}, {Topic: "zeek/logs/Conn::LOG"},
	}}
	for _, turn := range req.Msg.GetTurns() {
		out := &rotav1.RrBatchResponse_Turn{Epoch: 5, Index: 7, Term: 2}
		switch {
		case turn.GetLogId() != "":
			out.Count, out.Lap, out.EmptyReason = 1, []uint32{2}, "no_members"
		case turn.GetPool() == "drained":
			out.EmptyReason = "draining"
		default:
			out.Count, out.Lap = turn.GetCount(), []uint32{0, 1}[:min(turn.GetCount(), 2)]
		}
		res.Turns = append(res.Turns, out)
	}
	return respond(res)
}

func (r *replica) GetPool(_ context.Context, req *connect.Request[rotav1.GetPoolRequest]) (*connect.Response[rotav1.GetPoolResponse], error) {
	pool := aPool()
	if req.Msg.GetWithCursors() {
		pool.Cursors = someCursors()
	}
	return respond(&rotav1.GetPoolResponse{Pool: pool, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) ListPools(context.Context, *connect.Request[rotav1.ListPoolsRequest]) (*connect.Response[rotav1.ListPoolsResponse], error) {
	return respond(&rotav1.ListPoolsResponse{Pools: []*rotav1.Pool{aPool()}, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) RegisterPool(context.Context, *connect.Request[rotav1.RegisterPoolRequest]) (*connect.Response[rotav1.RegisterPoolResponse], error) {
	return respond(&rotav1.RegisterPoolResponse{Pool: aPool(), Changed: true, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) UnregisterPool(context.Context, *connect.Request[rotav1.UnregisterPoolRequest]) (*connect.Response[rotav1.UnregisterPoolResponse], error) {
	return respond(&rotav1.UnregisterPoolResponse{Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) RebalancePools(context.Context, *connect.Request[rotav1.RebalancePoolsRequest]) (*connect.Response[rotav1.RebalancePoolsResponse], error) {
	return respond(&rotav1.RebalancePoolsResponse{
		Moves: []*rotav1.RebalancePoolsResponse_Move{{Pool: "p", Before: []string{"w-1"}, After: []string{"w-2"}}}, Index: 7, Term: 2, ServedBy: r.name,
	})
}

func (r *replica) ListCursors(context.Context, *connect.Request[rotav1.ListCursorsRequest]) (*connect.Response[rotav1.ListCursorsResponse], error) {
	return respond(&rotav1.ListCursorsResponse{Cursors: someCursors(), Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) SetCursor(context.Context, *connect.Request[rotav1.SetCursorRequest]) (*connect.Response[rotav1.SetCursorResponse], error) {
	return respond(&rotav1.SetCursorResponse{Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) DeleteCursor(context.Context, *connect.Request[rotav1.DeleteCursorRequest]) (*connect.Response[rotav1.DeleteCursorResponse], error) {
	return respond(&rotav1.DeleteCursorResponse{Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) GetSettings(context.Context, *connect.Request[rotav1.GetSettingsRequest]) (*connect.Response[rotav1.GetSettingsResponse], error) {
	return respond(&rotav1.GetSettingsResponse{Settings: &rotav1.Settings{Assignment: ptr("zeek")}, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) SetSettings(_ context.Context, req *connect.Request[rotav1.SetSettingsRequest]) (*connect.Response[rotav1.SetSettingsResponse], error) {
	return respond(&rotav1.SetSettingsResponse{Settings: req.Msg.GetSettings(), Changed: true, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) JoinNode(context.Context, *connect.Request[rotav1.JoinNodeRequest]) (*connect.Response[rotav1.JoinNodeResponse], error) {
	return respond(&rotav1.JoinNodeResponse{
		ClusterId: "c1", GossipSeeds: []string{"s:2"}, Servers: []string{"s:1"}, Node: aNode(), Index: 7, Term: 2, ServedBy: r.name,
	})
}

func (r *replica) LeaveNode(context.Context, *connect.Request[rotav1.LeaveNodeRequest]) (*connect.Response[rotav1.LeaveNodeResponse], error) {
	return respond(&rotav1.LeaveNodeResponse{Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) ListNodes(context.Context, *connect.Request[rotav1.ListNodesRequest]) (*connect.Response[rotav1.ListNodesResponse], error) {
	return respond(&rotav1.ListNodesResponse{Nodes: []*rotav1.Node{aNode()}, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) GetNode(context.Context, *connect.Request[rotav1.GetNodeRequest]) (*connect.Response[rotav1.GetNodeResponse], error) {
	return respond(&rotav1.GetNodeResponse{Node: aNode(), Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) AddNode(context.Context, *connect.Request[rotav1.AddNodeRequest]) (*connect.Response[rotav1.AddNodeResponse], error) {
	return respond(&rotav1.AddNodeResponse{Node: aNode(), Changed: true, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) DrainNode(context.Context, *connect.Request[rotav1.DrainNodeRequest]) (*connect.Response[rotav1.DrainNodeResponse], error) {
	return respond(&rotav1.DrainNodeResponse{Node: aNode(), Changed: true, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) UndrainNode(context.Context, *connect.Request[rotav1.UndrainNodeRequest]) (*connect.Response[rotav1.UndrainNodeResponse], error) {
	return respond(&rotav1.UndrainNodeResponse{Node: aNode(), Changed: true, Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) ForgetNode(context.Context, *connect.Request[rotav1.ForgetNodeRequest]) (*connect.Response[rotav1.ForgetNodeResponse], error) {
	return respond(&rotav1.ForgetNodeResponse{Index: 7, Term: 2, ServedBy: r.name})
}

func (r *replica) Status(context.Context, *connect.Request[rotav1.StatusRequest]) (*connect.Response[rotav1.StatusResponse], error) {
	return respond(&rotav1.StatusResponse{
		ClusterId: "c1", Leader: "r1", Term: 2, Index: 7, ServedBy: r.name, Warnings: []string{"careful"},
		Replicas:      []*rotav1.StatusResponse_Replica{{Name: "r1", ApiAddress: "a:1", State: "leader", Voter: true, AppliedIndex: 7, CommitIndex: 8, Version: "v1"}},
		Pools:         []*rotav1.StatusResponse_PoolSummary{{Name: "p", AliveCount: 1, EligibleCount: 2, MemberCount: 3, Reason: "wants 4, has 3"}},
		Nodes:         &rotav1.StatusResponse_NodeCounts{Alive: 1, Failed: 2, Draining: 3, Left: 4},
		DrainingNodes: []string{"d"}, FailedNodes: []string{"f"}, LeftNodes: []string{"l"},
	})
}
