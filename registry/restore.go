package registry

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/rota-registry/rota/registry/hrw"
)

// Restore makes a state of a snapshot. It believes nothing: what no State
// could have written is refused, with the part that is wrong, so that a
// damaged snapshot cannot become a damaged registry.
func Restore(snap Snapshot) (*State, error) {
	s := &State{
		View: View{
			cluster: snap.ClusterID, clock: snap.Clock, settings: snap.Settings.clone(),
			replicas: slices.Clone(snap.Replicas),
		},
		cursors: newCursorTable(), sessions: newSessionTable(),
	}
	if len(s.settings.NodeTypes) == 0 {
		s.settings.NodeTypes = nil
	}
	if err := firstError(s.restoreHead(), s.restoreNodes(snap.Nodes), s.restorePools(snap.Pools), s.restoreSessions(snap.Sessions)); err != nil {
		return nil, Errorf(Invalid, "snapshot: %v", err)
	}
	return s, nil
}

func (s *State) restoreHead() error {
	if s.clock < 0 {
		return Errorf(Invalid, "log clock %d is negative", s.clock)
	}
	if err := s.settings.Validate(); err != nil {
		return err
	}
	if !slices.IsSorted(s.settings.NodeTypes) {
		return Errorf(Invalid, "node_types are not sorted")
	}
	if s.cluster != "" {
		if err := s.cluster.Validate(); err != nil {
			return err
		}
	}
	if len(s.replicas) > ReplicasMax {
		return Errorf(Limit, "%d replicas, at most %d are allowed", len(s.replicas), ReplicasMax)
	}
	for i := range s.replicas {
		if err := s.replicas[i].validate(); err != nil {
			return err
		}
	}
	return ascending("replica", s.replicas, func(r Replica) ReplicaName { return r.Name })
}

// ascending refuses a list that is not sorted by its key, or has one twice.
func ascending[E any, K cmp.Ordered](what string, list []E, key func(E) K) error {
	for i := 1; i < len(list); i++ {
		if key(list[i-1]) >= key(list[i]) {
			return Errorf(Invalid, "%s %v stands behind %v: want them sorted, each once", what, key(list[i]), key(list[i-1]))
		}
	}
	return nil
}

func (s *State) restoreNodes(nodes []Node) error {
	if len(nodes) > NodesMax {
		return Errorf(Limit, "%d nodes, at most %d are allowed", len(nodes), NodesMax)
	}
	for i := range nodes {
		n := nodes[i]
		if err := n.validate(); err != nil {
			return err
		}
		if !s.settings.Allows(n.Type) {
			return Errorf(Invalid, "node %q is of type %s, which node_types lacks", n.Name, n.Type)
		}
		s.nodes = append(s.nodes, &listed{n, s.settings.nodeTopic(n.Name)})
	}
	return ascending("node", s.nodes, func(n *listed) NodeName { return n.Name })
}

// validate says what no record can be like.
func (n *Node) validate() error {
	if err := firstError(n.Name.Validate(), n.Type.Validate()); err != nil {
		return err
	}
	for _, b := range []BootID{n.Boot, n.Replaced} {
		if b != "" && b.Validate() != nil {
			return Errorf(Invalid, "node %q: %v", n.Name, b.Validate())
		}
	}
	if n.State < Failed || n.State > Left {
		return Errorf(Invalid, "node %q has the unknown state %d", n.Name, n.State)
	}
	if n.Boot == "" && (n.State != Failed || n.Replaced != "") || n.Boot != "" && n.Boot == n.Replaced {
		return Errorf(Invalid, "node %q: life %q, replaced %q and state %s do not go together", n.Name, n.Boot, n.Replaced, n.State)
	}
	if !n.Draining && n.DrainReason != "" {
		return Errorf(Invalid, "node %q has a reason to drain and does not", n.Name)
	}
	return firstError(validateAddress(n.Address), validateReason(n.DrainReason), validateReason(n.Reason), validateBy(n.By))
}

func (s *State) restorePools(pools []PoolSnapshot) error {
	if len(pools) > PoolsMax {
		return Errorf(Limit, "%d pools, at most %d are allowed", len(pools), PoolsMax)
	}
	for i := range pools {
		p, err := s.restorePool(&pools[i])
		if err != nil {
			return err
		}
		s.pools = append(s.pools, p)
	}
	if err := ascending("pool", s.pools, func(p *pool) PoolName { return p.spec.Name }); err != nil {
		return err
	}
	for _, name := range defaultPools() {
		if _, ok := s.findPool(name); !ok {
			return Errorf(Invalid, "default pool %q is missing", name)
		}
	}
	if err := s.bounds(); err != nil {
		return err
	}
	for i := range pools {
		if err := s.restoreCursors(&pools[i]); err != nil {
			return err
		}
	}
	return s.checkSeats()
}

func (s *State) restorePool(snap *PoolSnapshot) (*pool, error) {
	if snap.Spec.Name == "" || snap.Spec.Topic == "" {
		return nil, Errorf(Invalid, "pool %q with topic %q: both must be there", snap.Spec.Name, snap.Spec.Topic)
	}
	if err := snap.Spec.check(); err != nil {
		return nil, err
	}
	if !s.settings.Allows(snap.Spec.NodeType) {
		return nil, Errorf(Invalid, "pool %q is of type %s, which node_types lacks", snap.Spec.Name, snap.Spec.NodeType)
	}
	p := newPool(snap.Spec.clone())
	p.epoch = snap.Epoch
	if max := p.spec.MaxNodes; max != nil && uint64(len(snap.Members)) > uint64(*max) {
		return nil, Errorf(Invalid, "pool %q has %d members and max_nodes %d", p.spec.Name, len(snap.Members), *max)
	}
	members, eligible := make([]member, 0, len(snap.Members)), make([]bool, 0, len(snap.Members))
	sites := make(map[uint32]bool, len(snap.Members))
	for _, m := range snap.Members {
		n := s.node(m.Node)
		if n == nil {
			return nil, Errorf(Invalid, "pool %q has the member %q, which the layout lacks", p.spec.Name, m.Node)
		}
		restored, err := p.restoreMember(n, m)
		if err != nil {
			return nil, err
		}
		if sites[m.SiteID] {
			return nil, Errorf(Invalid, "pool %q has two members of site id %d", p.spec.Name, m.SiteID)
		}
		sites[m.SiteID] = true
		members, eligible = append(members, restored), append(eligible, n.Eligible())
	}
	return p.seat(members, eligible), nil
}

// restoreMember wants an alias that is the name, a dot and a number below the
// number of members that a pool can have, and the site id that follows.
func (p *pool) restoreMember(n *listed, m MemberSnapshot) (member, error) {
	c, err := strconv.ParseUint(strings.TrimPrefix(m.Alias, string(n.Name)+"."), 10, 32)
	alias := hrw.Alias(string(n.Name), uint32(c))
	if err == nil && c < MembersMax && alias == m.Alias && hrw.SiteID(p.spec.Hash, alias) == m.SiteID {
		return member{name: n.Name, alias: alias, topic: n.topic, site: m.SiteID}, nil
	}
	return member{}, Errorf(Invalid, "pool %q: alias %q and site id %d do not belong to member %q", p.spec.Name, clip(m.Alias), m.SiteID, m.Node)
}

func (s *State) restoreCursors(snap *PoolSnapshot) error {
	name := snap.Spec.Name
	if err := ascending("cursor", snap.Cursors, func(c CursorSnapshot) string { return c.Key }); err != nil {
		return err
	}
	if s.cursors.count+len(snap.Cursors) > CursorsMax {
		return Errorf(Limit, "pool %q has %d cursors, at most %d are allowed in all", name, len(snap.Cursors), CursorsMax)
	}
	for _, c := range snap.Cursors {
		if err := validateRRKey(c.Key); err != nil {
			return err
		}
		if c.Next < 0 || c.Next >= max(len(snap.Members), 1) {
			return Errorf(Invalid, "cursor %q of pool %q points at %d of %d members", c.Key, name, c.Next, len(snap.Members))
		}
		if c.Used < 0 || c.Used > s.clock {
			return Errorf(Invalid, "cursor %q of pool %q was used at %d, and the log clock is %d", c.Key, name, c.Used, s.clock)
		}
		s.cursors.set(name, c.Key, cursor{next: c.Next, used: c.Used})
	}
	return nil
}

// checkSeats refuses members that their pool cannot draw from, members that
// are there twice, and members of an exclusive pool that are in another one.
func (s *State) checkSeats() error {
	for _, t := range s.poolTypes() {
		drawn := make(map[NodeName]bool)
		for _, n := range s.candidates(t) {
			drawn[n.Name] = true
		}
		taken := make(map[NodeName]PoolName)
		for _, exclusive := range []bool{true, false} {
			for _, p := range s.poolsOf(t) {
				if p.spec.Exclusive != exclusive {
					continue
				}
				if err := p.checkSeats(drawn, taken); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *pool) checkSeats(drawn map[NodeName]bool, taken map[NodeName]PoolName) error {
	seen := make(map[NodeName]bool, len(p.members))
	for _, m := range p.members {
		other, isTaken := taken[m.name]
		switch {
		case !drawn[m.name]:
			return Errorf(Invalid, "pool %q of type %s cannot have the member %q", p.spec.Name, p.spec.NodeType, m.name)
		case seen[m.name]:
			return Errorf(Invalid, "pool %q has the member %q twice", p.spec.Name, m.name)
		case isTaken:
			return Errorf(Invalid, "pool %q has the member %q, which pool %q holds exclusively", p.spec.Name, m.name, other)
		}
		seen[m.name] = true
		if p.spec.Exclusive {
			taken[m.name] = p.spec.Name
		}
	}
	return nil
}
