package registry

import "slices"

// record writes a node's record as this entry leaves it.
func (d *draft) record(n Node) {
	n.Since, n.SinceClock, n.SinceWall = d.at.Index, d.at.Clock, d.at.Wall
	d.putNode(n)
}

// admit refuses a node that the layout has no room for, in number or in type.
func (d *draft) admit(name NodeName, t NodeType) error {
	if !d.settings.Allows(t) {
		return Errorf(Invalid, "node %q is of type %s, which the node_types setting does not list", name, t)
	}
	if len(d.nodes) >= NodesMax {
		return Errorf(Limit, "node %q would be one more than the %d allowed: forget some first", name, NodesMax)
	}
	return nil
}

func typeConflict(n *Node, t NodeType) error {
	return Errorf(Conflict, "node %q is a %s in the layout, not a %s: forget it first, or take another name", n.Name, n.Type, t)
}

func (d *draft) joinNode(c JoinNode) (bool, error) {
	n := d.node(c.Name)
	if n == nil {
		if err := d.admit(c.Name, c.Type); err != nil {
			return false, err
		}
		d.welcome(Node{Name: c.Name, Type: c.Type, Boot: c.Boot, Address: c.Address}, c)
		return true, nil
	}
	if n.Type != c.Type {
		return false, typeConflict(&n.Node, c.Type)
	}
	if n.Boot == c.Boot {
		return d.joinAgain(&n.Node, c)
	}
	if err := mayReplace(&n.Node, c); err != nil {
		return false, err
	}
	joined := n.Node
	joined.Replaced, joined.Boot, joined.Address = n.Boot, c.Boot, c.Address
	d.welcome(joined, c)
	return true, nil
}

// joinAgain takes a life that the layout knows already.
func (d *draft) joinAgain(n *Node, c JoinNode) (bool, error) {
	switch {
	case n.State == Left:
		return false, Errorf(Conflict, "node %q has left as %s, which is final for that life: start it again, with a new boot id", n.Name, n.Boot)
	case n.State == Alive && n.Address == c.Address:
		return false, nil
	}
	again := *n
	again.Address = c.Address
	if n.State == Alive {
		again.By = c.By
		d.putNode(again)
		return true, nil
	}
	d.welcome(again, c)
	return true, nil
}

func (d *draft) welcome(n Node, c JoinNode) {
	n.State, n.Joined, n.Reason, n.By = Alive, d.at.Clock, "joined", c.By
	d.record(n)
}

// mayReplace holds when the newcomer knows whom it takes over from.
func mayReplace(n *Node, c JoinNode) error {
	if c.Boot == n.Replaced {
		return Errorf(Conflict, "node %q was taken over from life %s by %s at %s: this process was replaced and must end",
			n.Name, c.Boot, n.Boot, n.Address)
	}
	if c.Replaces != n.Boot {
		return Errorf(Conflict, "node %q is %s at %s as %s; a newcomer at %s wants its name as %s: stop one of them or give it another name",
			n.Name, n.State, n.Address, orNever(n.Boot), c.Address, c.Boot)
	}
	return nil
}

func orNever(b BootID) string {
	if b == "" {
		return "no life yet"
	}
	return string(b)
}

func (d *draft) leaveNode(c LeaveNode) (bool, error) {
	n := d.node(c.Name)
	if n == nil {
		return false, d.noNode(c.Name)
	}
	if n.Boot != c.Boot {
		return false, Errorf(Conflict, "node %q lives as %s now: the goodbye of %s does not count", n.Name, orNever(n.Boot), c.Boot)
	}
	if n.State == Left {
		return false, nil
	}
	gone := n.Node
	gone.State, gone.Reason, gone.By = Left, c.Reason, string(n.Name)
	d.record(gone)
	return true, nil
}

func (d *draft) addNode(c AddNode) (bool, error) {
	n := d.node(c.Name)
	if n == nil {
		if err := d.admit(c.Name, c.Type); err != nil {
			return false, err
		}
		d.record(Node{
			Name: c.Name, Type: c.Type, Address: c.Address,
			State: Failed, Static: true, Reason: NeverSeen, By: c.By,
		})
		return true, nil
	}
	if n.Type != c.Type {
		return false, typeConflict(&n.Node, c.Type)
	}
	static := n.Node
	static.Static = true
	if n.Boot == "" && c.Address != "" { // A life says itself where it is.
		static.Address = c.Address
	}
	if static == n.Node {
		return false, nil
	}
	d.putNode(static)
	return true, nil
}

func (d *draft) drainNode(c DrainNode) (bool, error) {
	n := d.node(c.Name)
	if n == nil {
		return false, d.noNode(c.Name)
	}
	marked := n.Node
	marked.Draining, marked.DrainReason = c.Draining, c.Reason
	if !c.Draining {
		marked.DrainReason = ""
	}
	if marked == n.Node {
		return false, nil
	}
	if marked.Draining == n.Draining {
		d.putNode(marked)
		return true, nil
	}
	marked.By = c.By
	d.record(marked)
	return true, nil
}

func (d *draft) forgetNode(c ForgetNode) (bool, error) {
	if !d.dropNode(c.Name) {
		return false, d.noNode(c.Name)
	}
	return true, nil
}

// dropNode removes a node's record, and reports whether there was one.
func (d *draft) dropNode(name NodeName) bool {
	i, known := d.findNode(name)
	if known {
		d.nodes = slices.Concat(d.nodes[:i], d.nodes[i+1:])
	}
	return known
}

// reportLiveness takes the changes whose precondition holds and counts the
// others.
func (d *draft) reportLiveness(c ReportLiveness) (changed bool, skipped int) {
	for i := range c.Changes {
		l := &c.Changes[i]
		n := d.node(l.Name)
		if n == nil || !l.holds(&n.Node) || l.State == Forgotten && !d.settings.outlived(&n.Node, d.at.Clock) {
			skipped++
			continue
		}
		changed = true
		if l.State == Forgotten {
			d.dropNode(l.Name)
			continue
		}
		d.record(l.applied(n.Node, c.By))
	}
	return changed, skipped
}

// holds reports whether the change still makes sense for the record.
func (l *Liveness) holds(n *Node) bool {
	if n.Since != l.Since {
		return false
	}
	switch l.State {
	case Failed:
		return n.State == Alive && n.Boot == l.Boot
	case Forgotten:
		return n.Boot == l.Boot
	}
	return l.Boot != n.Replaced && (l.Boot != n.Boot || n.State == Failed)
}

func (l *Liveness) applied(n Node, by ReplicaName) Node {
	if n.Boot != l.Boot {
		n.Replaced, n.Boot, n.Joined = n.Boot, l.Boot, 0
		if l.Address != "" {
			n.Address = l.Address
		}
	}
	n.State, n.Reason, n.By = l.State, l.Reason, string(by)
	return n
}
