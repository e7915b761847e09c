package registry

import (
	"slices"

	"github.com/rota-registry/rota/registry/hrw"
)

// managerLogs is the effective manager_is_logger.
func (s *State) managerLogs() bool {
	if s.settings.ManagerIsLogger != ManagerIsLoggerAuto {
		return s.settings.ManagerIsLogger == ManagerIsLoggerTrue
	}
	return !slices.ContainsFunc(s.nodes, func(n *Node) bool { return n.Type == Logger })
}

// candidates lists the nodes that pools of a type draw from, in Zeek's order:
// by name, and behind the loggers the first manager, if it logs.
func (s *State) candidates(t NodeType) []*Node {
	list := s.nodesOf(t)
	if t == Logger && s.managerLogs() {
		if i := slices.IndexFunc(s.nodes, func(n *Node) bool { return n.Type == Manager }); i >= 0 {
			list = append(list, s.nodes[i])
		}
	}
	return list
}

func (s *State) nodesOf(t NodeType) []*Node {
	var list []*Node
	for _, n := range s.nodes {
		if n.Type == t {
			list = append(list, n)
		}
	}
	return list
}

// assign gives the pools of every type that the command concerns their
// members: by Zeek's whole function where d.whole says so, and otherwise by
// the stable rules for who joined and who was forgotten.
func (d *draft) assign(diff nodesDiff) {
	whole := slices.Clone(d.whole)
	if d.managerLogs() != d.was.managerLogs() {
		whole = append(whole, Logger)
	}
	for _, t := range concerned(whole, diff) {
		if slices.Contains(whole, t) {
			d.assignWhole(t)
			continue
		}
		before, after := d.was.candidates(t), d.candidates(t)
		switch {
		case slices.EqualFunc(before, after, sameNode):
		case d.settings.Assignment == AssignZeek:
			d.assignWhole(t)
		default:
			d.assignStable(t, before, after)
		}
	}
}

func sameNode(a, b *Node) bool { return a.Name == b.Name }

// concerned lists, sorted, the types whose candidates or rules may differ. A
// manager may be one of the loggers.
func concerned(whole []NodeType, diff nodesDiff) []NodeType {
	types := slices.Clone(whole)
	for _, n := range slices.Concat(diff.added, diff.removed) {
		types = append(types, n.Type)
		if n.Type == Manager {
			types = append(types, Logger)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (d *draft) assignWhole(t NodeType) {
	pools := d.poolsOf(t)
	lists := zeekLists(pools, d.candidates(t))
	for i, p := range pools {
		d.reseat(p, numbered(p.spec.Hash, lists[i]))
	}
}

// reseat gives a pool its members, unless it has them.
func (d *draft) reseat(p *pool, members []member) {
	shared := len(members) > 0 && len(members) == len(p.members) && &members[0] == &p.members[0]
	if shared || slices.Equal(p.members, members) {
		return
	}
	i, _ := d.findPool(p.spec.Name)
	d.putPool(i, p.seat(members))
}

// zeekLists is Zeek's function for one node type: pools in the order of the
// assignment, nodes in Zeek's order, and back come the nodes of each pool.
// First the exclusive pools take from the front; then the others draw
// circularly from what is left, each starting where the one before stopped.
func zeekLists(pools []*pool, nodes []*Node) [][]*Node {
	lists := make([][]*Node, len(pools))
	for i, p := range pools {
		if p.spec.Exclusive {
			n := p.spec.wanted(len(nodes))
			lists[i], nodes = nodes[:n], nodes[n:]
		}
	}
	start := 0
	for i, p := range pools {
		if p.spec.Exclusive || len(nodes) == 0 {
			continue
		}
		n := p.spec.wanted(len(nodes))
		ring := slices.Concat(nodes[start:], nodes[:start])
		lists[i] = ring[:n]
		start = (start + n) % len(nodes)
	}
	return lists
}

// wanted is how many of the nodes that there are the pool takes.
func (s *Spec) wanted(there int) int {
	if s.MaxNodes == nil {
		return there
	}
	return min(int(*s.MaxNodes), there)
}

// numbered makes members of nodes, with aliases and site ids from scratch.
func numbered(h hrw.Hash, nodes []*Node) []member {
	members := make([]member, 0, len(nodes))
	sites := make(map[uint32]bool, len(nodes))
	for _, n := range nodes {
		m := newMember(h, n, func(site uint32) bool { return sites[site] })
		sites[m.site] = true
		members = append(members, m)
	}
	return members
}

// newMember takes the first alias whose site id is free.
func newMember(h hrw.Hash, n *Node, used func(uint32) bool) member {
	for c := uint32(0); ; c++ {
		alias := hrw.Alias(string(n.Name), c)
		if site := hrw.SiteID(h, alias); !used(site) {
			return member{name: n.Name, alias: alias, site: site, eligible: n.Eligible()}
		}
	}
}

// PlanRebalance says what RebalancePools would do.
func (s *State) PlanRebalance() []Move {
	d := s.rebalanced()
	d.listMoves()
	return d.moves
}

// rebalanced drafts the state that Zeek's function would give.
func (s *State) rebalanced() draft {
	d := draft{State: *s, was: s, whole: s.poolTypes()}
	d.assign(nodesDiff{})
	return d
}
