package registry

import "slices"

func (d *draft) registerPool(c RegisterPool) (bool, error) {
	spec := d.Resolve(c.Spec)
	if err := d.admitSpec(spec); err != nil {
		return false, err
	}
	i, known := d.findPool(spec.Name)
	if known && d.settings.Show(spec.Topic) == d.settings.Show(d.pools[i].spec.Topic) {
		spec.Topic = d.pools[i].spec.Topic // Whoever sends back what was shown means what is stored.
	}
	if known && d.pools[i].spec.equal(spec) {
		return false, nil
	}
	if known && !c.Replace {
		return false, Errorf(Conflict, "pool %q is registered with another spec: see `rota pool show %s`, and register it with replace to change it",
			spec.Name, spec.Name)
	}
	if !known && len(d.pools) >= PoolsMax {
		return false, Errorf(Limit, "pool %q would be one more than the %d allowed: remove one first", spec.Name, PoolsMax)
	}
	d.whole = append(d.whole, spec.NodeType)
	if known {
		d.whole = append(d.whole, d.pools[i].spec.NodeType)
		changed := *d.pools[i]
		changed.spec = spec
		d.putPool(i, &changed)
	} else {
		d.pools = slices.Concat(d.pools[:i], []*pool{newPool(spec)}, d.pools[i:])
	}
	if c.RequireNodes {
		return true, d.requireNodes(spec)
	}
	return true, nil
}

// admitSpec checks what only a resolved spec and the settings can tell.
func (d *draft) admitSpec(spec Spec) error {
	if err := firstError(spec.Name.Validate(), validateTopic("pool topic", spec.Topic)); err != nil {
		return err
	}
	if !d.settings.Allows(spec.NodeType) {
		return Errorf(Invalid, "pool %q: invalid pool node type: %s is not listed by the node_types setting", spec.Name, spec.NodeType)
	}
	return nil
}

// requireNodes refuses exclusive pools that the layout cannot fill, as Zeek
// does at its start.
func (d *draft) requireNodes(spec Spec) error {
	need := 0
	for _, p := range d.pools {
		if p.spec.NodeType == spec.NodeType && p.spec.Exclusive {
			need += int(*p.spec.MaxNodes)
		}
	}
	have := len(d.candidates(spec.NodeType))
	if have < need {
		return Errorf(Conflict, "pool %q: not enough %s nodes: need %d for the exclusive pools, have %d; add nodes first, or do not require them",
			spec.Name, spec.NodeType, need, have)
	}
	return nil
}

func (d *draft) unregisterPool(c UnregisterPool) (bool, error) {
	i, known := d.findPool(c.Name)
	if !known {
		_, err := d.pool(c.Name)
		return false, err
	}
	d.whole = append(d.whole, d.pools[i].spec.NodeType)
	d.pools = slices.Concat(d.pools[:i], d.pools[i+1:])
	return true, nil
}

// rebalance reports whether Zeek's function gives anything new; aliases count.
func (d *draft) rebalance() bool {
	d.whole = d.poolTypes()
	return !slices.EqualFunc(d.pools, d.was.rebalanced().pools, (*pool).sameAs)
}

// poolTypes lists the node types that have pools, sorted.
func (v *View) poolTypes() []NodeType {
	var types []NodeType
	for _, p := range v.pools {
		types = append(types, p.spec.NodeType)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (d *draft) setSettings(c SetSettings) (bool, error) {
	changed := d.settings.with(c.Change)
	if changed.equal(d.settings) {
		return false, nil
	}
	for _, n := range d.nodes {
		if !changed.Allows(n.Type) {
			return false, Errorf(Conflict, "node_types lacks %s, the type of node %q: forget it first, or list its type", n.Type, n.Name)
		}
	}
	for _, p := range d.pools {
		if !changed.Allows(p.spec.NodeType) {
			return false, Errorf(Conflict, "node_types lacks %s, the type of pool %q: remove or replace it first, or list its type",
				p.spec.NodeType, p.spec.Name)
		}
	}
	if changed.Assignment == AssignZeek && d.settings.Assignment != AssignZeek {
		d.whole = d.poolTypes()
	}
	d.settings = changed
	return true, nil
}
