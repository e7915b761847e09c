package check

import (
	"fmt"
	"slices"

	"github.com/rota-registry/rota/registry"
)

// pools remembers what the pools were before the entry under way.
type pools struct {
	before map[registry.PoolName]registry.PoolInfo
	gone   map[registry.PoolName]bool // unregistered, and not registered again yet
}

// next says what is wrong with the pools as they are now, and remembers them.
func (p *pools) next(v *registry.View) (faults []string) {
	if p.gone == nil {
		p.gone = map[registry.PoolName]bool{}
	}
	nodes := map[registry.NodeName]registry.NodeInfo{}
	for _, n := range v.Nodes() {
		nodes[n.Name] = n
	}
	now := map[registry.PoolName]registry.PoolInfo{}
	for _, pool := range v.Pools() {
		name := pool.Spec.Name
		now[name] = pool
		before, known := p.before[name]
		if known && before.Epoch == pool.Epoch {
			continue
		}
		for _, fault := range whole(pool, nodes) {
			faults = append(faults, fmt.Sprintf("pool %s: %s", name, fault))
		}
		if !known {
			continue
		}
		if pool.Epoch < before.Epoch {
			faults = append(faults, fmt.Sprintf("pool %s: its epoch went from %d back to %d", name, before.Epoch, pool.Epoch))
		}
		if fault := movedKeys(before, pool); fault != "" {
			faults = append(faults, fmt.Sprintf("pool %s: %s", name, fault))
		}
	}
	for name := range p.before {
		if _, still := now[name]; !still {
			p.gone[name] = true
		}
	}
	p.before = now
	return append(faults, shared(now)...)
}

// whole says what a pool cannot be.
func whole(p registry.PoolInfo, nodes map[registry.NodeName]registry.NodeInfo) (faults []string) {
	sites, alive, eligible := map[uint32]registry.NodeName{}, 0, 0
	seen := map[registry.NodeName]bool{}
	for _, m := range p.Members {
		n, known := nodes[m.Name]
		switch {
		case !known:
			faults = append(faults, fmt.Sprintf("member %s is not in the layout", m.Name))
		case seen[m.Name]:
			faults = append(faults, fmt.Sprintf("member %s is in it twice", m.Name))
		case n.Type != p.Spec.NodeType && (n.Type != registry.Manager || p.Spec.NodeType != registry.Logger):
			faults = append(faults, fmt.Sprintf("member %s is a %s", m.Name, n.Type))
		case m.Alive != (n.State == registry.Alive) || m.Eligible != (m.Alive && !n.Draining):
			faults = append(faults, fmt.Sprintf("member %s is shown alive %t, eligible %t; the node is %s, draining %t", m.Name, m.Alive, m.Eligible, n.State, n.Draining))
		}
		if other, taken := sites[m.SiteID]; taken {
			faults = append(faults, fmt.Sprintf("members %s and %s have one site id", m.Name, other))
		}
		seen[m.Name], sites[m.SiteID] = true, m.Name
		if m.Alive {
			alive++
		}
		if m.Eligible {
			eligible++
		}
	}
	if alive != p.AliveCount || eligible != p.EligibleCount {
		faults = append(faults, fmt.Sprintf("it counts %d alive and %d eligible, its members are %d and %d", p.AliveCount, p.EligibleCount, alive, eligible))
	}
	if p.Spec.MaxNodes != nil && len(p.Members) > int(*p.Spec.MaxNodes) {
		faults = append(faults, fmt.Sprintf("it has %d members, and may have %d", len(p.Members), *p.Spec.MaxNodes))
	}
	return faults
}

// shared finds members of exclusive pools that are in another pool, too.
func shared(all map[registry.PoolName]registry.PoolInfo) (faults []string) {
	var names []registry.PoolName
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	owner := map[registry.NodeName]registry.PoolName{}
	for _, name := range names {
		if !all[name].Spec.Exclusive {
			continue
		}
		for _, m := range all[name].Members {
			owner[m.Name] = name
		}
	}
	for _, name := range names {
		for _, m := range all[name].Members {
			if by, taken := owner[m.Name]; taken && by != name {
				faults = append(faults, fmt.Sprintf("node %s is exclusively in pool %s, and in pool %s, too", m.Name, by, name))
			}
		}
	}
	return faults
}

// sampleKeys is how many keys are looked at for each change of a pool.
const sampleKeys = 64

// movedKeys finds a key that went from one node to another although neither of
// them came or went.
func movedKeys(before, after registry.PoolInfo) string {
	if before.Spec.Hash != after.Spec.Hash {
		return ""
	}
	was, is := standing(before), standing(after)
	for i := range sampleKeys {
		digest := naiveHash(fmt.Appendf(nil, "key-%d", i))
		from, to := naiveHRW(before.Members, digest), naiveHRW(after.Members, digest)
		if from != to && was[from] == is[from] && was[to] == is[to] {
			return fmt.Sprintf("key-%d moved from %q to %q, and both stand as they stood", i, from, to)
		}
	}
	return ""
}

// standing is a node's place in hrw: its site id if it is eligible.
func standing(p registry.PoolInfo) map[registry.NodeName]string {
	s := map[registry.NodeName]string{}
	for _, m := range p.Members {
		if m.Eligible {
			s[m.Name] = fmt.Sprint(m.SiteID)
		}
	}
	return s
}
