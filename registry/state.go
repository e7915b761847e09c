package registry

import (
	"cmp"
	"slices"
)

// State is the registry.
//
// Except for the cursors nothing in it is changed in place: a command writes
// new records and new slices into a copy (see draft), which replaces the state
// when nothing was refused. So what is refused has changed nothing, and before
// and after can be compared.
type State struct {
	cluster  ClusterID
	clock    Millis // the largest log clock seen
	settings Settings
	replicas []Replica // sorted by name
	nodes    []*Node   // sorted by name
	pools    []*pool   // sorted by name; byTopic gives the order of the assignment
	cursors  cursorTable
	sessions *sessionTable
}

// NewState returns the state before the first command: default settings and
// the three default pools.
func NewState() *State {
	s := &State{settings: DefaultSettings(), cursors: newCursorTable(), sessions: newSessionTable()}
	for _, name := range defaultPools() {
		spec := Spec{Name: name, NodeType: NodeType(name)}
		spec.Topic = s.settings.PoolTopicPrefix + Topic(name)
		s.pools = append(s.pools, &pool{spec: spec})
	}
	return s
}

// defaultPools are there from the first start, sorted by name. Each is named
// like the type of its nodes.
func defaultPools() []PoolName {
	return []PoolName{PoolName(Logger), PoolName(Proxy), PoolName(Worker)}
}

// ClusterID is empty until the cluster is founded.
func (s *State) ClusterID() ClusterID { return s.cluster }

// Clock is the log clock: the largest that any entry carried.
func (s *State) Clock() Millis { return s.clock }

// Replicas lists the known replicas, sorted by name.
func (s *State) Replicas() []Replica { return slices.Clone(s.replicas) }

// Replica gives what is known of one replica.
func (s *State) Replica(name ReplicaName) (Replica, bool) {
	i, ok := s.findReplica(name)
	if !ok {
		return Replica{}, false
	}
	return s.replicas[i], true
}

// Settings gives a copy that the caller may keep.
func (s *State) Settings() Settings { return s.settings.clone() }

// Node gives one node's record and what follows from it.
func (s *State) Node(name NodeName) (NodeInfo, error) {
	n := s.node(name)
	if n == nil {
		return NodeInfo{}, s.noNode(name)
	}
	info := s.nodeInfo(n)
	for _, p := range s.pools {
		if p.find(name) >= 0 {
			info.Pools = append(info.Pools, p.spec.Name)
		}
	}
	return info, nil
}

// Layout gives all records, sorted by name, without what follows from them.
func (s *State) Layout() []Node {
	records := make([]Node, len(s.nodes))
	for i, n := range s.nodes {
		records[i] = *n
	}
	return records
}

// Nodes lists the layout, sorted by name.
func (s *State) Nodes() []NodeInfo {
	in := make(map[NodeName][]PoolName, len(s.nodes))
	for _, p := range s.pools {
		for i := range p.members {
			in[p.members[i].name] = append(in[p.members[i].name], p.spec.Name)
		}
	}
	infos := make([]NodeInfo, len(s.nodes))
	for i, n := range s.nodes {
		infos[i] = s.nodeInfo(n)
		infos[i].Pools = in[n.Name]
	}
	return infos
}

func (s *State) nodeInfo(n *Node) NodeInfo {
	info := NodeInfo{Node: *n, Topic: s.settings.nodeTopic(n.Name)}
	if n.Boot != "" {
		info.NodeIDTopic = s.settings.Show(s.settings.NodeIDTopicPrefix + Topic(n.ID()) + "/")
	}
	return info
}

// node finds a record; nil if the layout lacks it.
func (s *State) node(name NodeName) *Node {
	if i, ok := s.findNode(name); ok {
		return s.nodes[i]
	}
	return nil
}

func (s *State) findNode(name NodeName) (int, bool) {
	return slices.BinarySearchFunc(s.nodes, name, func(n *Node, name NodeName) int { return cmp.Compare(n.Name, name) })
}

func (s *State) findPool(name PoolName) (int, bool) {
	return slices.BinarySearchFunc(s.pools, name, func(p *pool, name PoolName) int { return cmp.Compare(p.spec.Name, name) })
}

func (s *State) findReplica(name ReplicaName) (int, bool) {
	return slices.BinarySearchFunc(s.replicas, name, func(r Replica, name ReplicaName) int { return cmp.Compare(r.Name, name) })
}

func (s *State) noNode(name NodeName) error {
	return Errorf(NotFound, "node %q is not in the layout: see `rota node list`", clip(string(name)))
}
