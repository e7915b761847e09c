package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// pools remembers what the pools were before the entry under way.
type pools struct {
	before map[registry.PoolName]shown
	gone   map[registry.PoolName]bool // unregistered, and not registered again yet
}

// shown is a pool, and the node that the registry picks in it for each of the
// sample keys.
type shown struct {
	registry.PoolInfo
	picks []registry.NodeName
}

// next says what is wrong with the pools as they are now, and remembers them.
func (p *pools) next(v *registry.View) (faults []string) {
	nodes := map[registry.NodeName]registry.NodeInfo{}
	for _, n := range v.Nodes() {
		nodes[n.Name] = n
	}
	var list []shown
	for _, pool := range v.Pools() {
		now := shown{PoolInfo: pool}
		for _, key := range sampleKeys {
			choice, err := v.HRW(pool.Spec.Name, key.key)
			if err != nil {
				return append(faults, fmt.Sprintf("pool %s: no pick for %s: %v", pool.Spec.Name, key.text, err))
			}
			now.picks = append(now.picks, choice.Node)
		}
		list = append(list, now)
	}
	return p.judge(list, nodes)
}

// judge looks at all pools, also at those that say that they have not changed: a
// pool that keeps its epoch though it has lost a member is what nobody would see.
func (p *pools) judge(list []shown, nodes map[registry.NodeName]registry.NodeInfo) (faults []string) {
	if p.gone == nil {
		p.gone = map[registry.PoolName]bool{}
	}
	now := map[registry.PoolName]shown{}
	for _, pool := range list {
		name := pool.Spec.Name
		now[name] = pool
		found := append(whole(pool.PoolInfo, nodes), wrongPicks(pool)...)
		if before, known := p.before[name]; known {
			found = append(found, changed(before, pool)...)
		}
		for _, fault := range found {
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

// changed says how a pool cannot have come from what it was.
func changed(before, after shown) (faults []string) {
	if after.Epoch < before.Epoch {
		faults = append(faults, fmt.Sprintf("its epoch went from %d back to %d", before.Epoch, after.Epoch))
	}
	if after.Epoch == before.Epoch && !maps.Equal(standing(before.PoolInfo), standing(after.PoolInfo)) {
		faults = append(faults, fmt.Sprintf("other members are eligible, and its epoch is still %d", after.Epoch))
	}
	if fault := movedKeys(before, after); fault != "" {
		faults = append(faults, fault)
	}
	return faults
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
func shared(all map[registry.PoolName]shown) (faults []string) {
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

// sampleKeys are looked at in each pool after each change.
var sampleKeys = makeSampleKeys(64)

type sampleKey struct {
	text   string
	key    hrw.Key
	digest uint32
}

func makeSampleKeys(n int) (keys []sampleKey) {
	for i := range n {
		text := fmt.Sprintf("key-%d", i)
		keys = append(keys, sampleKey{text, hrw.String(text), naiveHash([]byte(text))})
	}
	return keys
}

// wrongPicks finds a key for which the registry picks another node than the naive
// rule, or, of a hash that this package has not written anew, one that may not be
// picked.
func wrongPicks(p shown) (faults []string) {
	stands := standing(p.PoolInfo)
	for i, key := range sampleKeys {
		pick := p.picks[i]
		_, may := stands[pick]
		switch {
		case !may && (pick != "" || len(stands) > 0):
			return []string{fmt.Sprintf("%s is of %q, who is not eligible", key.text, pick)}
		case p.Spec.Hash.String() != naiveHashName:
		case pick != naiveHRW(p.Members, key.digest):
			return []string{fmt.Sprintf("%s is of %q, and by the rule of %q", key.text, pick, naiveHRW(p.Members, key.digest))}
		}
	}
	return nil
}

// movedKeys finds a key that the registry took from one node and gave to another
// although neither of them came or went: a death moves the dead one's keys, and no
// others. That those move is what wrongPicks looks at.
func movedKeys(before, after shown) string {
	if before.Spec.Hash != after.Spec.Hash {
		return ""
	}
	was, is := standing(before.PoolInfo), standing(after.PoolInfo)
	for i, key := range sampleKeys {
		from, to := before.picks[i], after.picks[i]
		if from != to && was[from] == is[from] && was[to] == is[to] {
			return fmt.Sprintf("%s moved from %q to %q, and both stand as they stood", key.text, from, to)
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
