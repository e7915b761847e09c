package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// nodeService implements rotav1connect.NodeServiceHandler.
type nodeService struct{ calls }

func (s nodeService) JoinNode(ctx context.Context, r *connect.Request[rotav1.JoinNodeRequest]) (*connect.Response[rotav1.JoinNodeResponse], error) {
	join := registry.JoinNode{
		Name: registry.NodeName(r.Msg.GetName()), Type: registry.NodeType(r.Msg.GetType()),
		Address: r.Msg.GetAddress(), Boot: registry.BootID(r.Msg.GetBootId()), By: by(r.Header()),
	}
	if err := registry.Check(join); err != nil {
		return nil, err
	}
	admission, position, err := s.replica.Join(ctx, join)
	if err != nil {
		return nil, unlessKnown(err)
	}
	node, made, err := s.madeNode(ctx, position, join.Name)
	return reply(&rotav1.JoinNodeResponse{
		ClusterId: string(admission.ClusterID), GossipSeeds: admission.Seeds, Servers: admission.Servers,
		Node: node, Index: made.index, Term: made.term, ServedBy: s.servedBy,
	}, err)
}

// madeNode reads a node back after a write.
func (s nodeService) madeNode(ctx context.Context, committed registry.Position, name registry.NodeName) (*rotav1.Node, place, error) {
	var node *rotav1.Node
	made, err := s.readBack(ctx, committed, func(view *registry.View) error {
		info, err := view.Node(name)
		if err == nil {
			node = wire.ToNode(info)
		}
		return err
	})
	return node, made, err
}

func (s nodeService) LeaveNode(ctx context.Context, r *connect.Request[rotav1.LeaveNodeRequest]) (*connect.Response[rotav1.LeaveNodeResponse], error) {
	_, position, err := s.propose(ctx, registry.LeaveNode{
		Name: registry.NodeName(r.Msg.GetName()), Boot: registry.BootID(r.Msg.GetBootId()), Reason: r.Msg.GetReason(),
	})
	done := at(position)
	return reply(&rotav1.LeaveNodeResponse{Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}

func (s nodeService) ListNodes(ctx context.Context, r *connect.Request[rotav1.ListNodesRequest]) (*connect.Response[rotav1.ListNodesResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	var nodes []registry.NodeInfo
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		nodes = view.Nodes()
		return nil
	})
	response := &rotav1.ListNodesResponse{Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age}
	for _, node := range nodes {
		response.Nodes = append(response.Nodes, wire.ToNode(node))
	}
	return reply(response, err)
}

func (s nodeService) GetNode(ctx context.Context, r *connect.Request[rotav1.GetNodeRequest]) (*connect.Response[rotav1.GetNodeResponse], error) {
	name := registry.NodeName(r.Msg.GetName())
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err == nil {
		err = name.Validate()
	}
	if err != nil {
		return nil, err
	}
	response := &rotav1.GetNodeResponse{ServedBy: s.servedBy}
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		info, err := view.Node(name)
		if err == nil {
			response.Node = wire.ToNode(info)
		}
		return err
	})
	response.Index, response.Term, response.AgeMs = seen.index, seen.term, seen.age
	return reply(response, err)
}

func (s nodeService) AddNode(ctx context.Context, r *connect.Request[rotav1.AddNodeRequest]) (*connect.Response[rotav1.AddNodeResponse], error) {
	node, changed, made, err := s.change(ctx, registry.NodeName(r.Msg.GetName()), registry.AddNode{
		Name: registry.NodeName(r.Msg.GetName()), Type: registry.NodeType(r.Msg.GetType()),
		Address: r.Msg.GetAddress(), By: by(r.Header()),
	})
	return reply(&rotav1.AddNodeResponse{Node: node, Changed: changed, Index: made.index, Term: made.term, ServedBy: s.servedBy}, err)
}

func (s nodeService) DrainNode(ctx context.Context, r *connect.Request[rotav1.DrainNodeRequest]) (*connect.Response[rotav1.DrainNodeResponse], error) {
	node, changed, made, err := s.change(ctx, registry.NodeName(r.Msg.GetName()), registry.DrainNode{
		Name: registry.NodeName(r.Msg.GetName()), Draining: true, Reason: r.Msg.GetReason(), By: by(r.Header()),
	})
	return reply(&rotav1.DrainNodeResponse{Node: node, Changed: changed, Index: made.index, Term: made.term, ServedBy: s.servedBy}, err)
}

func (s nodeService) UndrainNode(ctx context.Context, r *connect.Request[rotav1.UndrainNodeRequest]) (*connect.Response[rotav1.UndrainNodeResponse], error) {
	node, changed, made, err := s.change(ctx, registry.NodeName(r.Msg.GetName()), registry.DrainNode{
		Name: registry.NodeName(r.Msg.GetName()), By: by(r.Header()),
	})
	return reply(&rotav1.UndrainNodeResponse{Node: node, Changed: changed, Index: made.index, Term: made.term, ServedBy: s.servedBy}, err)
}

// change commits a command about one node and reads the node back.
func (s nodeService) change(ctx context.Context, name registry.NodeName, cmd registry.Command) (*rotav1.Node, bool, place, error) {
	result, position, err := s.propose(ctx, cmd)
	if err != nil {
		return nil, false, place{}, err
	}
	node, made, err := s.madeNode(ctx, position, name)
	return node, result.Changed, made, err
}

func (s nodeService) ForgetNode(ctx context.Context, r *connect.Request[rotav1.ForgetNodeRequest]) (*connect.Response[rotav1.ForgetNodeResponse], error) {
	_, position, err := s.propose(ctx, registry.ForgetNode{
		Name: registry.NodeName(r.Msg.GetName()), Reason: r.Msg.GetReason(), By: by(r.Header()),
	})
	done := at(position)
	return reply(&rotav1.ForgetNodeResponse{Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}

// ImportLayout answers unimplemented.
func (s nodeService) ImportLayout(context.Context, *connect.Request[rotav1.ImportLayoutRequest]) (*connect.Response[rotav1.ImportLayoutResponse], error) {
	return nil, later("ImportLayout", "add each node with AddNode")
}

// ExportLayout answers unimplemented.
func (s nodeService) ExportLayout(context.Context, *connect.Request[rotav1.ExportLayoutRequest]) (*connect.Response[rotav1.ExportLayoutResponse], error) {
	return nil, later("ExportLayout", "read the layout with ListNodes")
}
