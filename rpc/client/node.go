package client

import (
	"context"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// Life is one life of a node's process, as it introduces itself.
type Life struct {
	Name    registry.NodeName
	Type    registry.NodeType
	Address string // of its gossip, host:port
	// Boot is drawn at each start of the process; the order in which the log
	// has them orders the lives of one name.
	Boot registry.BootID
}

// Join is an agent's own call: when it returns, its node is alive. A conflict is
// another live process under its name. It may run twice: a boot id joins once.
func (c *Client) Join(ctx context.Context, life Life) (Admission, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "join of node", name: string(life.Name)},
		func(s *server) unary[rotav1.JoinNodeRequest, rotav1.JoinNodeResponse] { return s.nodes.JoinNode },
		&rotav1.JoinNodeRequest{
			Name: string(life.Name), Type: string(life.Type), Address: life.Address, BootId: string(life.Boot),
		})
	if err != nil {
		return Admission{}, err
	}
	return Admission{
		Admission: registry.Admission{
			ClusterID: registry.ClusterID(res.GetClusterId()), Seeds: res.GetGossipSeeds(), Servers: res.GetServers(),
		},
		Node: wire.FromNode(res.GetNode()), Served: served(res),
	}, nil
}

// Leave is an agent's goodbye. It is final for its boot id, and so may run
// twice.
func (c *Client) Leave(ctx context.Context, name registry.NodeName, boot registry.BootID, reason string) (Served, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "leave of node", name: string(name)},
		func(s *server) unary[rotav1.LeaveNodeRequest, rotav1.LeaveNodeResponse] { return s.nodes.LeaveNode },
		&rotav1.LeaveNodeRequest{Name: string(name), BootId: string(boot), Reason: reason})
	if err != nil {
		return Served{}, err
	}
	return served(res), nil
}

// Nodes lists the layout.
func (c *Client) Nodes(ctx context.Context, opts ...ReadOption) (NodeList, error) {
	fresh, index := c.reading(opts)
	res, err := invoke(ctx, c, method{kind: read, verb: "list nodes"},
		func(s *server) unary[rotav1.ListNodesRequest, rotav1.ListNodesResponse] { return s.nodes.ListNodes },
		&rotav1.ListNodesRequest{Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return NodeList{}, err
	}
	list := NodeList{Nodes: make([]registry.NodeInfo, len(res.GetNodes())), Served: served(res)}
	for i, n := range res.GetNodes() {
		list.Nodes[i] = wire.FromNode(n)
	}
	return list, nil
}

// Node gives one node of the layout.
func (c *Client) Node(ctx context.Context, name registry.NodeName, opts ...ReadOption) (NodeState, error) {
	fresh, index := c.reading(opts)
	res, err := invoke(ctx, c, method{kind: read, verb: "show node", name: string(name)},
		func(s *server) unary[rotav1.GetNodeRequest, rotav1.GetNodeResponse] { return s.nodes.GetNode },
		&rotav1.GetNodeRequest{Name: string(name), Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return NodeState{}, err
	}
	return NodeState{NodeInfo: wire.FromNode(res.GetNode()), Served: served(res)}, nil
}

// AddNode brings a static node into the layout, or makes a known one static; the
// address is for people and may be empty. A node that is there already stays as
// it is, so it may run twice.
func (c *Client) AddNode(ctx context.Context, name registry.NodeName, typ registry.NodeType, address string) (NodeChange, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "add node", name: string(name)},
		func(s *server) unary[rotav1.AddNodeRequest, rotav1.AddNodeResponse] { return s.nodes.AddNode },
		&rotav1.AddNodeRequest{Name: string(name), Type: string(typ), Address: address})
	if err != nil {
		return NodeChange{}, err
	}
	return changed(res), nil
}

// DrainNode takes a node out of all answers while it goes on living. It sets a
// mark to what it shall be, so it may run twice.
func (c *Client) DrainNode(ctx context.Context, name registry.NodeName, reason string) (NodeChange, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "drain node", name: string(name)},
		func(s *server) unary[rotav1.DrainNodeRequest, rotav1.DrainNodeResponse] { return s.nodes.DrainNode },
		&rotav1.DrainNodeRequest{Name: string(name), Reason: reason})
	if err != nil {
		return NodeChange{}, err
	}
	return changed(res), nil
}

// UndrainNode takes the mark of DrainNode back, and may run twice like it.
func (c *Client) UndrainNode(ctx context.Context, name registry.NodeName) (NodeChange, error) {
	res, err := invoke(ctx, c, method{kind: repeatable, verb: "undrain node", name: string(name)},
		func(s *server) unary[rotav1.UndrainNodeRequest, rotav1.UndrainNodeResponse] {
			return s.nodes.UndrainNode
		},
		&rotav1.UndrainNodeRequest{Name: string(name)})
	if err != nil {
		return NodeChange{}, err
	}
	return changed(res), nil
}

// ForgetNode removes a node from the layout and from its pools. It is not
// repeated when its outcome is unknown: the second time would say not_found of
// what the first one did, or remove a node that has joined again in between.
func (c *Client) ForgetNode(ctx context.Context, name registry.NodeName, reason string) (Served, error) {
	res, err := invoke(ctx, c, method{kind: once, verb: "forget node", name: string(name)},
		func(s *server) unary[rotav1.ForgetNodeRequest, rotav1.ForgetNodeResponse] { return s.nodes.ForgetNode },
		&rotav1.ForgetNodeRequest{Name: string(name), Reason: reason})
	if err != nil {
		return Served{}, err
	}
	return served(res), nil
}

// nodeChanged is the responses of the writes that give a node.
type nodeChanged interface {
	answer
	GetNode() *rotav1.Node
	GetChanged() bool
}

func changed(res nodeChanged) NodeChange {
	return NodeChange{NodeInfo: wire.FromNode(res.GetNode()), Changed: res.GetChanged(), Served: served(res)}
}
