package registry

import (
	"cmp"
	"slices"
)

// seating moves as few members as it can while nodes come and go: the stable
// assignment of one node type's pools.
//
// Between its steps holds: a node is in at most one exclusive pool, and then
// in no other; a capped pool is short only if every node that is in no
// exclusive pool is in it; an exclusive pool is short only if there is no such
// node. In the middle of a step a list may have one hole.
type seating struct {
	pools []*pool // in the order of the assignment
	// lists are shared with the pools until they change: in the largest state
	// most pools of a type do not.
	lists [][]member
	// nodes are all that were there before or are after, in Zeek's order; a
	// node's number is its index.
	nodes  []*listed
	number map[NodeName]int
	// free holds for those that are there now and in no exclusive pool, and
	// capped counts the capped pools that a node is in, both once countAll was
	// called: a join does not ask for them.
	free   []bool
	capped []int
}

// place is an index of one pool's list.
type place struct{ pool, at int }

// assignStable lets the nodes that are only in before be forgotten, one by
// one, and then those that are only in after join, one by one.
func (d *draft) assignStable(t NodeType, before, after []*listed) {
	g := newSeating(d.poolsOf(t), before, after)
	was, is := g.among(before), g.among(after)
	counted := false
	for n := range g.nodes {
		if !was[n] || is[n] {
			continue
		}
		if !counted {
			g.countAll()
			counted = true
		}
		g.forget(n)
	}
	for n := range g.nodes {
		if is[n] && !was[n] {
			g.join(n)
		}
	}
	for i, p := range g.pools {
		d.reseat(p, g.lists[i])
	}
}

// among says, by number, who is in the list.
func (g *seating) among(list []*listed) []bool {
	in := make([]bool, len(g.nodes))
	for _, n := range list {
		in[g.number[n.Name]] = true
	}
	return in
}

func newSeating(pools []*pool, before, after []*listed) *seating {
	g := &seating{pools: pools, lists: make([][]member, len(pools))}
	// Stable, so that of two records of one node the later one stays.
	g.nodes = slices.SortedStableFunc(slices.Values(slices.Concat(after, before)), zeekOrder)
	g.nodes = slices.CompactFunc(g.nodes, sameNode)
	g.number = make(map[NodeName]int, len(g.nodes))
	g.capped = make([]int, len(g.nodes))
	for i, n := range g.nodes {
		g.number[n.Name] = i
	}
	g.free = g.among(before)
	for i, p := range pools {
		g.lists[i] = slices.Clip(p.members)
	}
	return g
}

// countAll notes for every node in which pools it is.
func (g *seating) countAll() {
	for _, p := range g.pools {
		for at := range p.members {
			g.count(p, g.number[p.members[at].name], 1)
		}
	}
}

// zeekOrder is by name, and managers behind loggers. (Both are in one list
// only for a manager that logs.)
func zeekOrder(a, b *listed) int {
	if (a.Type == Manager) != (b.Type == Manager) {
		if a.Type == Manager {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.Name, b.Name)
}

// count notes that a node is in one more pool, or with -1 in one fewer.
func (g *seating) count(p *pool, n, by int) {
	switch {
	case p.spec.Exclusive:
		g.free[n] = by < 0
	case p.spec.MaxNodes != nil:
		g.capped[n] += by
	}
}

// forget takes the node out and gives its places away.
func (g *seating) forget(n int) {
	vacant := g.vacate(n)
	g.free[n] = false
	g.fill(vacant)
}

// vacate takes the node out of its pools and gives its places in the capped
// and exclusive ones, in pool order; those of unlimited pools close.
func (g *seating) vacate(n int) []place {
	var vacant []place
	for i, p := range g.pools {
		at := findMember(g.lists[i], g.nodes[n].Name)
		if at < 0 {
			continue
		}
		g.count(p, n, -1)
		if p.spec.MaxNodes == nil {
			g.lists[i] = slices.Concat(g.lists[i][:at], g.lists[i][at+1:])
			continue
		}
		g.lists[i] = slices.Clone(g.lists[i])
		g.lists[i][at] = member{}
		vacant = append(vacant, place{i, at})
	}
	return vacant
}

// fill gives vacant places to free nodes. A node that is in an exclusive pool
// is in no other, so either there is one place, of an exclusive pool, and who
// takes it leaves places in capped ones, or all places are of capped pools.
func (g *seating) fill(vacant []place) {
	for len(vacant) > 0 {
		hole := vacant[0]
		vacant = vacant[1:]
		p := g.pools[hole.pool]
		n := g.successor(hole.pool)
		if n < 0 {
			g.lists[hole.pool] = slices.Delete(g.lists[hole.pool], hole.at, hole.at+1)
			continue
		}
		if p.spec.Exclusive {
			vacant = append(vacant, g.vacate(n)...)
		}
		g.lists[hole.pool][hole.at] = g.member(hole.pool, n)
		g.count(p, n, 1)
	}
}

// successor picks, of the free nodes that are not in the pool, the one in the
// fewest capped pools; ties go to the first in Zeek's order; -1 if there is
// none.
func (g *seating) successor(pool int) int {
	in := make([]bool, len(g.nodes))
	for _, m := range g.lists[pool] {
		if n, ok := g.number[m.name]; ok { // A hole has no name.
			in[n] = true
		}
	}
	best := -1
	for n := range g.nodes {
		if g.free[n] && !in[n] && (best < 0 || g.capped[n] < g.capped[best]) {
			best = n
		}
	}
	return best
}

// join seats a new node: in the first exclusive pool that is short, or else in
// every capped pool that is short and in every unlimited one.
func (g *seating) join(n int) {
	g.free[n] = true
	for i, p := range g.pools {
		if p.spec.Exclusive && uint64(len(g.lists[i])) < uint64(*p.spec.MaxNodes) {
			g.seatAt(i, len(g.lists[i]), n)
			return
		}
	}
	for i, p := range g.pools {
		switch {
		case p.spec.Exclusive:
		case p.spec.MaxNodes == nil:
			g.seatAt(i, g.between(i, n), n)
		case uint64(len(g.lists[i])) < uint64(*p.spec.MaxNodes):
			g.seatAt(i, len(g.lists[i]), n)
		}
	}
}

func (g *seating) seatAt(pool, at, n int) {
	g.lists[pool] = slices.Insert(g.lists[pool], at, g.member(pool, n))
	g.count(g.pools[pool], n, 1)
}

// between finds a new node's index in an unlimited pool, whose list may start
// anywhere in Zeek's order: behind the largest member before the node, else
// before the smallest of all.
func (g *seating) between(pool, n int) int {
	below, smallest := -1, -1
	at := 0
	for i, m := range g.lists[pool] {
		k := g.number[m.name]
		if k < n && k > below {
			below, at = k, i+1
		}
		if below < 0 && (smallest < 0 || k < smallest) {
			smallest, at = k, i
		}
	}
	return at
}

// member makes a node a member of the pool, whose present members keep their
// site ids.
func (g *seating) member(pool, n int) member {
	return newMember(g.pools[pool].spec.Hash, g.nodes[n], func(site uint32) bool {
		return slices.ContainsFunc(g.lists[pool], func(m member) bool { return m.name != "" && m.site == site })
	})
}
