package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToNode puts a node onto the wire. Clocks and the life before stay behind.
func ToNode(n registry.NodeInfo) *rotav1.Node {
	node := &rotav1.Node{
		Name: string(n.Name), Type: string(n.Type), Address: n.Address, BootId: string(n.Boot),
		State: n.State.String(), Draining: n.Draining, DrainReason: n.DrainReason,
		Eligible: n.Eligible(), Static: n.Static,
		SinceIndex: uint64(n.Since), SinceUnixMs: int64(n.SinceWall), Reason: n.Reason, By: n.By,
		Topic: n.Topic, NodeidTopic: n.NodeIDTopic, Pools: Strings(n.Pools),
	}
	if n.Boot != "" {
		node.NodeId = n.ID()
	}
	return node
}

// FromNode reads a node.
func FromNode(n *rotav1.Node) registry.NodeInfo {
	return registry.NodeInfo{
		Node: registry.Node{
			Name: registry.NodeName(n.GetName()), Type: registry.NodeType(n.GetType()), Address: n.GetAddress(),
			Boot: registry.BootID(n.GetBootId()), State: FromState(n.GetState()),
			Draining: n.GetDraining(), DrainReason: n.GetDrainReason(), Static: n.GetStatic(),
			Since: registry.Index(n.GetSinceIndex()), SinceWall: registry.Millis(n.GetSinceUnixMs()),
			Reason: n.GetReason(), By: n.GetBy(),
		},
		Topic: n.GetTopic(), NodeIDTopic: n.GetNodeidTopic(), Pools: Names[registry.PoolName](n.GetPools()),
	}
}

// FromState reads a node's state; 0 is one that this release does not know.
func FromState(s string) registry.NodeState {
	for _, state := range []registry.NodeState{registry.Failed, registry.Alive, registry.Left} {
		if state.String() == s {
			return state
		}
	}
	return 0
}
