package registry

import (
	"cmp"
	"slices"
)

// View is what the registry answers questions from: all of it but cursors and
// sessions, after one entry of the log. It never changes, so that any number of
// readers may ask it while the next entries are applied, and whoever copies it
// has a copy of the whole.
type View struct {
	cluster  ClusterID
	clock    Millis // the largest log clock seen
	settings Settings
	replicas []Replica // sorted by name
	nodes    []*listed // sorted by name
	pools    []*pool   // sorted by name; byTopic gives the order of the assignment
}

// listed is a node as the layout holds it.
type listed struct {
	Node
	topic string // as users see it; here, so that pools share it
}

// ClusterID is empty until the cluster is founded.
func (v *View) ClusterID() ClusterID { return v.cluster }

// Clock is the log clock: the largest that any entry carried.
func (v *View) Clock() Millis { return v.clock }

// Replicas lists the known replicas, sorted by name.
func (v *View) Replicas() []Replica { return slices.Clone(v.replicas) }

// Replica gives what is known of one replica.
func (v *View) Replica(name ReplicaName) (Replica, bool) {
	i, ok := v.findReplica(name)
	if !ok {
		return Replica{}, false
	}
	return v.replicas[i], true
}

// Settings gives a copy that the caller may keep.
func (v *View) Settings() Settings { return v.settings.clone() }

// Node gives one node's record and what follows from it.
func (v *View) Node(name NodeName) (NodeInfo, error) {
	n := v.node(name)
	if n == nil {
		return NodeInfo{}, v.noNode(name)
	}
	info := v.nodeInfo(n)
	for _, p := range v.pools {
		if p.find(name) >= 0 {
			info.Pools = append(info.Pools, p.spec.Name)
		}
	}
	return info, nil
}

// Layout gives all records, sorted by name, without what follows from them.
func (v *View) Layout() []Node {
	records := make([]Node, len(v.nodes))
	for i, n := range v.nodes {
		records[i] = n.Node
	}
	return records
}

// Nodes lists the layout, sorted by name.
func (v *View) Nodes() []NodeInfo {
	in := make(map[NodeName][]PoolName, len(v.nodes))
	for _, p := range v.pools {
		for i := range p.members {
			in[p.members[i].name] = append(in[p.members[i].name], p.spec.Name)
		}
	}
	infos := make([]NodeInfo, len(v.nodes))
	for i, n := range v.nodes {
		infos[i] = v.nodeInfo(n)
		infos[i].Pools = in[n.Name]
	}
	return infos
}

func (v *View) nodeInfo(n *listed) NodeInfo {
	info := NodeInfo{Node: n.Node, Topic: n.topic}
	if n.Boot != "" {
		info.NodeIDTopic = v.settings.Show(v.settings.NodeIDTopicPrefix + Topic(n.ID()) + "/")
	}
	return info
}

// node finds a record; nil if the layout lacks it.
func (v *View) node(name NodeName) *listed {
	if i, ok := v.findNode(name); ok {
		return v.nodes[i]
	}
	return nil
}

func (v *View) findNode(name NodeName) (int, bool) {
	return slices.BinarySearchFunc(v.nodes, name, func(n *listed, name NodeName) int { return cmp.Compare(n.Name, name) })
}

func (v *View) findPool(name PoolName) (int, bool) {
	return slices.BinarySearchFunc(v.pools, name, func(p *pool, name PoolName) int { return cmp.Compare(p.spec.Name, name) })
}

func (v *View) findReplica(name ReplicaName) (int, bool) {
	return slices.BinarySearchFunc(v.replicas, name, func(r Replica, name ReplicaName) int { return cmp.Compare(r.Name, name) })
}

func (v *View) noNode(name NodeName) error {
	return Errorf(NotFound, "node %q is not in the layout: see `rota node list`", clip(string(name)))
}
