package registry_test

import (
	"cmp"
	"math"
	"slices"

	"github.com/rota-registry/rota/registry"
)

// twin is the assignment once more, written from the rules with no thought of
// speed and no line of the original's: every step looks at everything.
type twin struct {
	pools []*twinPool // by topic, then name
	nodes []registry.NodeInfo
	logs  bool // the effective manager_is_logger
}

type twinPool struct {
	spec    registry.Spec
	members []twinMember
}

type twinMember struct {
	name registry.NodeName
	c    int // of the alias
}

// twinOf takes specs and layout of a state, and members too.
func twinOf(s *registry.State) *twin {
	w := &twin{nodes: s.Nodes()}
	for _, info := range s.Pools() {
		p := &twinPool{spec: info.Spec}
		for _, m := range info.Members {
			for c := 0; ; c++ {
				if aliasOf(m.Name, c) == m.Alias {
					p.members = append(p.members, twinMember{m.Name, c})
					break
				}
			}
		}
		w.pools = append(w.pools, p)
	}
	slices.SortFunc(w.pools, func(a, b *twinPool) int {
		return cmp.Or(cmp.Compare(a.spec.Topic, b.spec.Topic), cmp.Compare(a.spec.Name, b.spec.Name))
	})
	w.logs = s.Settings().ManagerIsLogger == registry.ManagerIsLoggerTrue
	if s.Settings().ManagerIsLogger == registry.ManagerIsLoggerAuto {
		w.logs = !slices.ContainsFunc(w.nodes, func(n registry.NodeInfo) bool { return n.Type == registry.Logger })
	}
	return w
}

// list gives the names that pools of a type draw from, in Zeek's order.
func (w *twin) list(t registry.NodeType) []registry.NodeName {
	var names, managers []registry.NodeName
	for _, n := range w.nodes {
		if n.Type == t {
			names = append(names, n.Name)
		}
		if n.Type == registry.Manager {
			managers = append(managers, n.Name)
		}
	}
	slices.Sort(names)
	slices.Sort(managers)
	if t == registry.Logger && w.logs && len(managers) > 0 {
		names = append(names, managers[0])
	}
	return names
}

func (p *twinPool) most() int {
	if p.spec.MaxNodes == nil {
		return math.MaxInt
	}
	return int(*p.spec.MaxNodes)
}

func (p *twinPool) capped() bool { return p.spec.MaxNodes != nil && !p.spec.Exclusive }

func (p *twinPool) index(name registry.NodeName) int {
	return slices.IndexFunc(p.members, func(m twinMember) bool { return m.name == name })
}

// add inserts a node with the first alias whose site id no member has.
func (p *twinPool) add(at int, name registry.NodeName) {
	for c := 0; ; c++ {
		if !slices.ContainsFunc(p.members, func(m twinMember) bool {
			return siteID(p.spec.Hash, aliasOf(m.name, m.c)) == siteID(p.spec.Hash, aliasOf(name, c))
		}) {
			p.members = slices.Insert(p.members, at, twinMember{name, c})
			return
		}
	}
}

// zeek is Zeek's function for one type.
func (w *twin) zeek(t registry.NodeType) {
	left := w.list(t)
	for _, p := range w.pools {
		if p.spec.NodeType == t {
			p.members = nil
		}
		for p.spec.NodeType == t && p.spec.Exclusive && len(p.members) < p.most() && len(left) > 0 {
			p.add(len(p.members), left[0])
			left = left[1:]
		}
	}
	next := 0
	for _, p := range w.pools {
		for p.spec.NodeType == t && !p.spec.Exclusive && len(p.members) < min(p.most(), len(left)) {
			p.add(len(p.members), left[next%len(left)])
			next++
		}
	}
}

// free reports whether the node is in no exclusive pool.
func (w *twin) free(name registry.NodeName) bool {
	for _, p := range w.pools {
		if p.spec.Exclusive && p.index(name) >= 0 {
			return false
		}
	}
	return true
}

func (w *twin) cappedPoolsOf(name registry.NodeName) int {
	n := 0
	for _, p := range w.pools {
		if p.capped() && p.index(name) >= 0 {
			n++
		}
	}
	return n
}

// heir finds who gets a place of the pool, of those that are there.
func (w *twin) heir(p *twinPool, there []registry.NodeName) (registry.NodeName, bool) {
	var best registry.NodeName
	for _, name := range there {
		if w.free(name) && p.index(name) < 0 && (best == "" || w.cappedPoolsOf(name) < w.cappedPoolsOf(best)) {
			best = name
		}
	}
	return best, best != ""
}

// leave takes a node out of its pools and fills its places: exclusive pools
// first, and in pool order.
func (w *twin) leave(name registry.NodeName, there []registry.NodeName) {
	holes := make(map[*twinPool]int)
	for _, p := range w.pools {
		if at := p.index(name); at >= 0 {
			p.members = slices.Delete(p.members, at, at+1)
			holes[p] = at
		}
	}
	for _, exclusive := range []bool{true, false} {
		for _, p := range w.pools {
			at, hole := holes[p]
			if !hole || p.spec.Exclusive != exclusive || p.spec.MaxNodes == nil {
				continue
			}
			heir, ok := w.heir(p, there)
			if !ok {
				continue
			}
			p.add(at, heir)
			if exclusive { // It is in this one only when its other places are filled.
				w.leaveOthers(p, heir, there)
			}
		}
	}
}

// leaveOthers takes a node out of all pools but one, and then fills its places.
func (w *twin) leaveOthers(keep *twinPool, name registry.NodeName, there []registry.NodeName) {
	holes := make(map[*twinPool]int)
	for _, p := range w.pools {
		if at := p.index(name); at >= 0 && p != keep {
			p.members = slices.Delete(p.members, at, at+1)
			holes[p] = at
		}
	}
	for _, p := range w.pools {
		at, hole := holes[p]
		if !hole || !p.capped() {
			continue
		}
		if heir, ok := w.heir(p, there); ok {
			p.add(at, heir)
		}
	}
}

// enter seats a new node of the type whose list, with it, is given.
func (w *twin) enter(t registry.NodeType, name registry.NodeName, order []registry.NodeName) {
	for _, p := range w.pools {
		if p.spec.NodeType == t && p.spec.Exclusive && len(p.members) < p.most() {
			p.add(len(p.members), name)
			return
		}
	}
	for _, p := range w.pools {
		if p.spec.NodeType != t || p.spec.Exclusive || len(p.members) >= p.most() {
			continue
		}
		if p.capped() {
			p.add(len(p.members), name)
			continue
		}
		p.add(p.between(name, order), name)
	}
}

func (p *twinPool) between(name registry.NodeName, order []registry.NodeName) int {
	rank := slices.Index(order, name)
	for r := rank - 1; r >= 0; r-- {
		if at := p.index(order[r]); at >= 0 {
			return at + 1
		}
	}
	for r := rank + 1; r < len(order); r++ {
		if at := p.index(order[r]); at >= 0 {
			return at
		}
	}
	return 0
}

// stable lets who was in the list and is no more leave, one by one, and then
// who is new enter.
func (w *twin) stable(t registry.NodeType, was, is []registry.NodeName) {
	there := slices.Clone(was)
	for _, name := range was {
		if !slices.Contains(is, name) {
			there = slices.DeleteFunc(there, func(n registry.NodeName) bool { return n == name })
			w.leave(name, there)
		}
	}
	for _, name := range is {
		if !slices.Contains(was, name) {
			w.enter(t, name, is)
		}
	}
}

// lists gives each pool's aliases, in order.
func (w *twin) lists() map[registry.PoolName][]string {
	lists := make(map[registry.PoolName][]string)
	for _, p := range w.pools {
		lists[p.spec.Name] = []string{}
		for _, m := range p.members {
			lists[p.spec.Name] = append(lists[p.spec.Name], aliasOf(m.name, m.c))
		}
	}
	return lists
}
