package registry

import (
	"slices"

	"github.com/rota-registry/rota/registry/hrw"
)

// managerLogs is the effective manager_is_logger.
func (v *View) managerLogs() bool {
	if v.settings.ManagerIsLogger != ManagerIsLoggerAuto {
		return v.settings.ManagerIsLogger == ManagerIsLoggerTrue
	}
	return !slices.ContainsFunc(v.nodes, func(n *listed) bool { return n.Type == Logger })
}

// candidates lists the nodes that pools of a type draw from, in Zeek's order:
// by name, and behind the loggers the first manager, if it logs.
func (v *View) candidates(t NodeType) []*listed {
	list := v.nodesOf(t)
	if t == Logger && v.managerLogs() {
		if i := slices.IndexFunc(v.nodes, func(n *listed) bool { return n.Type == Manager }); i >= 0 {
			list = append(list, v.nodes[i])
		}
	}
	return list
}

func (v *View) nodesOf(t NodeType) []*listed {
	var list []*listed
	for _, n := range v.nodes {
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

func sameNode(a, b *listed) bool { return a.Name == b.Name }

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
	if len(members) == len(p.members) && (sameSlice(members, p.members) || slices.Equal(p.members, members)) {
		return
	}
	i, _ := d.findPool(p.spec.Name)
	d.putPool(i, p.seat(members, d.eligibility(p, members)))
}

// eligibility says which of a pool's new members are eligible: those who kept
// their place from either end as before, which is most of them when somebody
// came or went, and the others as their records say.
func (d *draft) eligibility(p *pool, members []member) []bool {
	list := make([]bool, len(members))
	head, tail := 0, 0
	for most := min(len(members), len(p.members)); head < most && members[head].name == p.members[head].name; head++ {
		list[head] = p.eligible[head]
	}
	for most := min(len(members), len(p.members)) - head; tail < most; tail++ {
		to, from := len(members)-1-tail, len(p.members)-1-tail
		if members[to].name != p.members[from].name {
			break
		}
		list[to] = p.eligible[from]
	}
	for at := head; at < len(members)-tail; at++ {
		list[at] = d.node(members[at].name).Eligible()
	}
	return list
}

// zeekLists is Zeek's function for one node type: pools in the order of the
// assignment, nodes in Zeek's order, and back come the nodes of each pool.
// First the exclusive pools take from the front; then the others draw
// circularly from what is left, each starting where the one before stopped.
func zeekLists(pools []*pool, nodes []*listed) [][]*listed {
	lists := make([][]*listed, len(pools))
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
func numbered(h hrw.Hash, nodes []*listed) []member {
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
func newMember(h hrw.Hash, n *listed, used func(uint32) bool) member {
	for c := uint32(0); ; c++ {
		alias := hrw.Alias(string(n.Name), c)
		if site := hrw.SiteID(h, alias); !used(site) {
			return member{name: n.Name, alias: alias, topic: n.topic, site: site}
		}
	}
}

// PlanRebalance says what RebalancePools would do.
func (v *View) PlanRebalance() []Move {
	d := v.rebalanced()
	d.listMoves()
	return d.moves
}

// rebalanced drafts the view that Zeek's function would give.
func (v *View) rebalanced() draft {
	d := draft{View: *v, was: v, whole: v.poolTypes()}
	d.assign(nodesDiff{})
	return d
}
