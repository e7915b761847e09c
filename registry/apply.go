package registry

import (
	"cmp"
	"slices"
)

// Apply changes the state by one committed command. A command that is refused
// changes nothing but the log clock.
func (s *State) Apply(at Stamp, cmd Command) (Result, error) {
	s.clock = max(s.clock, at.Clock)
	if err := Check(cmd); err != nil {
		return Result{}, err
	}
	switch c := cmd.(type) {
	case TermStart:
		return Result{}, nil
	case RoundRobin:
		return s.roundRobin(at, c), nil
	case SetCursor:
		return s.setCursor(c)
	case DeleteCursor:
		return s.deleteCursor(c)
	case ForgetCursors:
		return s.forgetCursors(), nil
	case OpenSession:
		return s.openSession(c), nil
	}
	at.Clock = s.clock
	d := draft{View: s.View, was: &s.View, at: at}
	res, err := d.apply(cmd)
	if err != nil || !res.Changed {
		return Result{Skipped: res.Skipped}, err
	}
	s.cursors.follow(&s.View, &d.View)
	s.View = d.View
	return res, nil
}

// draft is the view as a command would leave it. It shares with the view
// before everything that the command leaves alone.
type draft struct {
	View
	was *View
	at  Stamp
	// whole are the node types whose pools get Zeek's whole function.
	whole []NodeType
	moves []Move
}

func (d *draft) apply(cmd Command) (Result, error) {
	changed, skipped, err := d.change(cmd)
	if err == nil && changed {
		err = d.settle()
	}
	if err != nil {
		return Result{}, err
	}
	return Result{Changed: changed, Moves: d.moves, Skipped: skipped}, nil
}

// change does what the command says; settle then draws the consequences.
func (d *draft) change(cmd Command) (changed bool, skipped int, err error) {
	switch c := cmd.(type) {
	case FoundCluster:
		changed, err = d.foundCluster(c)
	case SetReplica:
		changed, err = d.setReplica(c)
	case RegisterPool:
		changed, err = d.registerPool(c)
	case UnregisterPool:
		changed, err = d.unregisterPool(c)
	case RebalancePools:
		changed = d.rebalance()
	case SetSettings:
		changed, err = d.setSettings(c)
	case JoinNode:
		changed, err = d.joinNode(c)
	case LeaveNode:
		changed, err = d.leaveNode(c)
	case AddNode:
		changed, err = d.addNode(c)
	case DrainNode:
		changed, err = d.drainNode(c)
	case ForgetNode:
		changed, err = d.forgetNode(c)
	case ReportLiveness:
		changed, skipped = d.reportLiveness(c)
	default:
		err = Errorf(Internal, "command %T passed Check and has no meaning: this is a bug", cmd)
	}
	return changed, skipped, err
}

// settle makes the pools follow the layout, the specs and the settings:
// members, eligibility, bounds, and last the epochs.
func (d *draft) settle() error {
	if !d.settings.sameNodeTopics(&d.was.settings) {
		d.retopic()
	}
	diff := diffNodes(d.was.nodes, d.nodes)
	d.assign(diff)
	d.refresh(diff.flipped)
	if err := d.bounds(); err != nil {
		return err
	}
	d.stampEpochs()
	d.listMoves()
	return nil
}

// nodesDiff is how one layout differs from another.
type nodesDiff struct {
	added, removed []*listed // sorted by name
	flipped        map[NodeName]bool
}

// diffNodes compares records by identity, for they are never changed in place.
func diffNodes(was, now []*listed) nodesDiff {
	diff := nodesDiff{flipped: make(map[NodeName]bool)}
	for i, j := 0, 0; i < len(was) || j < len(now); {
		switch {
		case i < len(was) && j < len(now) && was[i].Name == now[j].Name:
			if was[i].Eligible() != now[j].Eligible() {
				diff.flipped[now[j].Name] = now[j].Eligible()
			}
			i, j = i+1, j+1
		case j == len(now) || i < len(was) && was[i].Name < now[j].Name:
			diff.removed = append(diff.removed, was[i])
			i++
		default:
			diff.added = append(diff.added, now[j])
			j++
		}
	}
	return diff
}

// refresh takes over the eligibility of nodes in which it changed.
func (d *draft) refresh(flipped map[NodeName]bool) {
	if len(flipped) == 0 {
		return
	}
	only := NodeName("")        // The one, if there is one only: to find it is faster than to ask each member.
	for name := range flipped { // any order
		only = name
	}
	for i, p := range d.pools {
		eligible := p.eligible
		if len(flipped) > 1 {
			for at := range p.members {
				if now, ok := flipped[p.members[at].name]; ok {
					eligible = withEligible(p.eligible, eligible, at, now)
				}
			}
		} else if at := p.find(only); at >= 0 {
			eligible = withEligible(p.eligible, eligible, at, flipped[only])
		}
		if !sameSlice(eligible, p.eligible) {
			changed := *p
			changed.eligible = eligible
			d.putPool(i, &changed)
		}
	}
}

// withEligible notes at one index of list, which is a copy of what was, or that
// itself as long as they are the same.
func withEligible(was, list []bool, at int, now bool) []bool {
	if list[at] == now {
		return list
	}
	if sameSlice(list, was) {
		list = slices.Clone(list)
	}
	list[at] = now
	return list
}

// sameSlice reports whether two slices of one length are one in memory.
func sameSlice[T any](a, b []T) bool { return len(a) == 0 || &a[0] == &b[0] }

// retopic gives all nodes and members the topics that the settings now say.
func (d *draft) retopic() {
	nodes := make([]*listed, len(d.nodes))
	topics := make(map[NodeName]string, len(d.nodes))
	for i, n := range d.nodes {
		nodes[i] = &listed{n.Node, d.settings.nodeTopic(n.Name)}
		topics[n.Name] = nodes[i].topic
	}
	d.nodes = nodes
	for i, p := range d.pools {
		members := slices.Clone(p.members)
		for at := range members {
			members[at].topic = topics[members[at].name]
		}
		d.putPool(i, p.seat(members, p.eligible))
	}
}

// putPool replaces the pool at an index of d.pools; the slice that the state
// before holds stays as it is.
func (d *draft) putPool(i int, p *pool) {
	d.ownPools()
	d.pools[i] = p
}

func (d *draft) ownPools() {
	if len(d.pools) > 0 && len(d.was.pools) > 0 && &d.pools[0] == &d.was.pools[0] {
		d.pools = slices.Clone(d.pools)
	}
}

// putNode replaces the record of its name, or adds it.
func (d *draft) putNode(n Node) {
	d.ownNodes()
	if i, ok := d.findNode(n.Name); ok {
		d.nodes[i] = &listed{n, d.nodes[i].topic}
	} else {
		d.nodes = slices.Insert(d.nodes, i, &listed{n, d.settings.nodeTopic(n.Name)})
	}
}

func (d *draft) ownNodes() {
	if len(d.nodes) > 0 && len(d.was.nodes) > 0 && &d.nodes[0] == &d.was.nodes[0] {
		d.nodes = slices.Clone(d.nodes)
	}
}

// bounds refuses what would be more than all pools together may hold.
func (v *View) bounds() error {
	sum := 0
	for _, p := range v.pools {
		sum += len(p.members)
		if len(p.members) > MembersMax {
			return Errorf(Limit, "pool %q would have %d members, at most %d are allowed: set max_nodes", p.spec.Name, len(p.members), MembersMax)
		}
	}
	if sum > MembershipsMax {
		return Errorf(Limit, "pools would have %d members in all, at most %d are allowed: give pools a max_nodes, or remove some", sum, MembershipsMax)
	}
	return nil
}

// stampEpochs gives the entry's index to every pool that users see changed.
func (d *draft) stampEpochs() {
	for i, p := range d.pools {
		q, err := d.was.pool(p.spec.Name)
		if err == nil && p.sameAs(q) && d.settings.Show(p.spec.Topic) == d.was.settings.Show(q.spec.Topic) {
			continue
		}
		changed := *p
		changed.epoch = Epoch(d.at.Index)
		d.putPool(i, &changed)
	}
}

// sameAs compares all but the epoch.
func (p *pool) sameAs(q *pool) bool {
	if p == q {
		return true
	}
	sameRoster := p.roster == q.roster || slices.Equal(p.members, q.members)
	return sameRoster && p.spec.equal(q.spec) && slices.Equal(p.eligible, q.eligible)
}

// listMoves says, in the order of the assignment, whose members changed.
func (d *draft) listMoves() {
	for _, p := range slices.SortedFunc(slices.Values(d.pools), byTopic) {
		var before []member
		if q, err := d.was.pool(p.spec.Name); err == nil {
			if q.roster == p.roster {
				continue
			}
			before = q.members
		}
		if !sameNames(before, p.members) {
			d.moves = append(d.moves, moveOf(p.spec.Name, before, p.members))
		}
	}
}

func moveOf(name PoolName, before, after []member) Move {
	return Move{Pool: name, Before: namesOf(before), After: namesOf(after)}
}

func namesOf(members []member) []NodeName {
	names := make([]NodeName, len(members))
	for i := range members {
		names[i] = members[i].name
	}
	return names
}

func sameNames(a, b []member) bool {
	return slices.EqualFunc(a, b, func(a, b member) bool { return a.name == b.name })
}

func (d *draft) foundCluster(c FoundCluster) (bool, error) {
	if d.cluster == c.ClusterID {
		return false, nil
	}
	if d.cluster != "" {
		return false, Errorf(Conflict, "cluster %s is founded already: it does not become %s", d.cluster, c.ClusterID)
	}
	d.cluster = c.ClusterID
	d.replicas = slices.SortedFunc(slices.Values(c.Replicas), func(a, b Replica) int { return cmp.Compare(a.Name, b.Name) })
	return true, nil
}

func (d *draft) setReplica(c SetReplica) (bool, error) {
	i, known := d.findReplica(c.Replica.Name)
	if !known && len(d.replicas) >= ReplicasMax {
		return false, Errorf(Limit, "replica %q would be one more than the %d allowed: remove one first", c.Replica.Name, ReplicasMax)
	}
	if known && d.replicas[i] == c.Replica {
		return false, nil
	}
	if known && d.replicas[i].StoreID != c.Replica.StoreID {
		return false, Errorf(Conflict, "replica %q has store %s, not %s: its data directory was lost or swapped; %s",
			c.Replica.Name, d.replicas[i].StoreID, c.Replica.StoreID, LostDataAdvice)
	}
	d.replicas = slices.Clone(d.replicas)
	if known {
		d.replicas[i] = c.Replica
	} else {
		d.replicas = slices.Insert(d.replicas, i, c.Replica)
	}
	return true, nil
}
