package registry

import "slices"

// PoolEvent is what a watcher of a pool is told: the whole pool, a change of
// it, or neither, which says that it is as it was. What Pool and Change point
// to may be shared with other watchers, and nobody changes it.
type PoolEvent struct {
	Pool *PoolInfo
	// Reset says that changes were lost between what the watcher has and Pool.
	Reset  bool
	Change *PoolChange
	// ReadInfo is where in the log the watcher stands with this event: it then
	// has all that has happened to the pool up to there.
	ReadInfo
}

// ChangesBetween gives what an entry of the log has changed in some pools, and
// which of them it removed, both in the order of pools; before and after are
// the views around the entry. A pool that is not in before is left out: nobody
// has a state of it that could change.
//
// Of views that are further apart it gives at most one change a pool, as if
// nothing had been between them.
func ChangesBetween(before, after *View, pools []PoolName) (changes []PoolChange, removed []PoolName) {
	b := between{before: before, after: after, moved: movedNodes(before, after)}
	for _, name := range pools {
		i, was := before.findPool(name)
		if !was {
			continue
		}
		j, is := after.findPool(name)
		if !is {
			removed = append(removed, name)
			continue
		}
		p, q := before.pools[i], after.pools[j]
		if p == q && !p.hasAny(b.moved) {
			continue
		}
		if change := b.change(p, q); change.From != change.Pool.Epoch || len(change.Edits) > 0 {
			changes = append(changes, change)
		}
	}
	return changes, removed
}

// between compares pools of two views. It gives what DiffPools gives of their
// PoolInfos, without making those: in the largest state one node's death
// changes a thousand pools, and one member of each.
type between struct {
	before, after *View
	moved         map[NodeName]bool // nodes that changed their state
	// resting nodes are alive and not eligible, after the change; nil until
	// they are asked for.
	resting map[NodeName]bool
}

// movedNodes are those of both views that changed their state. That a member is
// one of them need not show in the pool, which in memory is as it was when
// eligibility is: of one that drains and dies, or is failed and says goodbye.
func movedNodes(before, after *View) map[NodeName]bool {
	if len(before.nodes) == len(after.nodes) && sameSlice(before.nodes, after.nodes) {
		return nil
	}
	moved := make(map[NodeName]bool)
	for i, j := 0, 0; i < len(before.nodes) && j < len(after.nodes); {
		was, is := before.nodes[i], after.nodes[j]
		switch {
		case was == is || was.Name == is.Name:
			if was.State != is.State {
				moved[is.Name] = true
			}
			i, j = i+1, j+1
		case was.Name < is.Name:
			i++
		default:
			j++
		}
	}
	return moved
}

// hasAny reports whether some of the nodes are members.
func (p *pool) hasAny(nodes map[NodeName]bool) bool { return p.count(nodes, 1) > 0 }

// count tells how many of the nodes are members, at most some number.
func (p *pool) count(nodes map[NodeName]bool, most int) (n int) {
	if len(nodes) == 1 { // Then to find it is faster than to ask each member.
		for name := range nodes { // any order
			if p.find(name) >= 0 {
				n++
			}
		}
		return n
	}
	for i := 0; len(nodes) > 0 && i < len(p.members) && n < most; i++ {
		if nodes[p.members[i].name] {
			n++
		}
	}
	return n
}

func (b *between) change(p, q *pool) PoolChange {
	change := PoolChange{From: p.epoch, Pool: PoolInfo{
		Spec: q.spec.clone(), Topic: b.after.settings.Show(q.spec.Topic), Epoch: q.epoch, Reason: q.unsatisfied(),
	}}
	change.Pool.Satisfied = change.Pool.Reason == ""
	for _, eligible := range q.eligible {
		if eligible {
			change.Pool.EligibleCount++
		}
	}
	change.Pool.AliveCount = change.Pool.EligibleCount + q.count(b.rest(), len(q.members))
	change.Edits = lists{
		before: len(p.members), after: len(q.members),
		same: func(i, j int) bool {
			return p.eligible[i] == q.eligible[j] && (p.roster == q.roster && i == j || p.members[i] == q.members[j]) && !b.moved[q.members[j].name]
		},
		part: func(from, to int) []MemberInfo { return b.after.memberInfos(q, from, to) },
	}.edits()
	return change
}

// rest gives the nodes that are alive and not eligible.
func (b *between) rest() map[NodeName]bool {
	if b.resting == nil {
		b.resting = make(map[NodeName]bool)
		for _, n := range b.after.nodes {
			if n.State == Alive && !n.Eligible() {
				b.resting[n.Name] = true
			}
		}
	}
	return b.resting
}

// memberInfos gives some of a pool's members as users see them.
func (v *View) memberInfos(p *pool, from, to int) []MemberInfo {
	infos := make([]MemberInfo, to-from)
	for i := range infos {
		m := &p.members[from+i]
		state := v.node(m.name).State
		infos[i] = MemberInfo{
			Name: m.name, Alias: m.alias, SiteID: m.site, Topic: m.topic,
			Alive: state == Alive, Eligible: p.eligible[from+i], State: state,
		}
	}
	return infos
}

// AsOfEpoch reports whether all that users see of a pool is as its epoch's
// entry left it, so that whoever has that epoch of the pool has it whole. It
// need not be: the state of a member that is not eligible anyway may change
// within an epoch. It may say no of a pool that it is true of; of one that is
// not registered it does.
func (v *View) AsOfEpoch(name PoolName) bool {
	p, err := v.pool(name)
	return err == nil && !slices.ContainsFunc(p.members, func(m member) bool { return v.node(m.name).Since > Index(p.epoch) })
}

// Turnover tells what it costs to keep a view beside the one before it, with
// which it shares what did not change: as many members as fill that much
// memory, about. It is 0 when all pools and nodes are the same.
func Turnover(before, after *View) int {
	cost := 0
	if len(before.nodes) != len(after.nodes) || !sameSlice(before.nodes, after.nodes) {
		cost += 1 + len(after.nodes)/8 // a pointer each
	}
	if len(before.pools) == len(after.pools) && sameSlice(before.pools, after.pools) {
		return cost
	}
	cost += 1 + len(after.pools)/8
	for i, j := 0, 0; j < len(after.pools); {
		switch {
		case i == len(before.pools) || after.pools[j].spec.Name < before.pools[i].spec.Name:
			cost += len(after.pools[j].members)
			j++
		case before.pools[i].spec.Name < after.pools[j].spec.Name:
			i++
		default:
			cost += before.pools[i].turnover(after.pools[j])
			i, j = i+1, j+1
		}
	}
	return cost
}

func (p *pool) turnover(now *pool) int {
	switch {
	case p == now:
		return 0
	case p.roster == now.roster:
		return 1 + len(now.members)/64 // a flag each
	}
	return 1 + len(now.members)
}
