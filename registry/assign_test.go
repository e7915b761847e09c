package registry_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

func poolTypes() []registry.NodeType {
	return []registry.NodeType{registry.Worker, registry.Logger, registry.Proxy}
}

// With assignment zeek the members are at every moment what Zeek's function
// gives for specs and layout, whatever happened before.
func TestZeekAssignmentIsZeeksFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignZeek)
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			cmd := w.drawCommand()
			w.apply(cmd)
			want := twinOf(w.state)
			for _, typ := range poolTypes() {
				want.zeek(typ)
			}
			w.same("members", want.lists(), twinOf(w.state).lists())
			if moves := w.state.PlanRebalance(); len(moves) != 0 {
				t.Fatalf("rebalance would move %v", moves)
			}
		}
	})
}

// With assignment stable, joins and forgets follow the stable rules, and
// whatever else changes the assignment is Zeek's function for its type alone.
func TestStableAssignmentFollowsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			before := twinOf(w.state)
			cmd := w.drawCommand()
			res, err := w.apply(cmd)
			after := twinOf(w.state)
			if err == nil && res.Changed {
				before = expected(before, after, cmd)
			}
			w.same("members", before.lists(), after.lists())
			checkSeats(w)
		}
	})
}

// expected gives the members that a command must leave: those before, brought
// to the specs and the layout after.
func expected(before, after *twin, cmd registry.Command) *twin {
	whole := make(map[registry.NodeType]bool)
	for _, typ := range poolTypes() {
		_, whole[typ] = cmd.(registry.RebalancePools)
	}
	if before.logs != after.logs {
		whole[registry.Logger] = true
	}
	want := &twin{nodes: after.nodes, logs: after.logs}
	for _, q := range after.pools {
		p := before.pool(q.spec.Name)
		if p == nil || !sameSpec(p.spec, q.spec) {
			whole[q.spec.NodeType] = true
		}
		want.pools = append(want.pools, &twinPool{spec: q.spec})
		if p != nil {
			want.pools[len(want.pools)-1].members = p.members
		}
	}
	for _, p := range before.pools {
		if q := after.pool(p.spec.Name); q == nil || !sameSpec(p.spec, q.spec) {
			whole[p.spec.NodeType] = true
		}
	}
	for _, typ := range poolTypes() {
		if whole[typ] {
			want.zeek(typ)
		} else {
			want.stable(typ, before.list(typ), after.list(typ))
		}
	}
	return want
}

func (w *twin) pool(name registry.PoolName) *twinPool {
	if i := slices.IndexFunc(w.pools, func(p *twinPool) bool { return p.spec.Name == name }); i >= 0 {
		return w.pools[i]
	}
	return nil
}

func sameSpec(a, b registry.Spec) bool {
	if (a.MaxNodes == nil) != (b.MaxNodes == nil) || a.MaxNodes != nil && *a.MaxNodes != *b.MaxNodes {
		return false
	}
	return a.Topic == b.Topic && a.NodeType == b.NodeType && a.Exclusive == b.Exclusive && a.Hash == b.Hash
}

// checkSeats holds for the whole state at every moment: no exclusive node is
// in two pools; an exclusive pool is short only if no node is free; a capped
// pool has as many as it may or as are free; an unlimited pool has all that are
// free; site ids follow from aliases and are unique in a pool.
func checkSeats(w *world) {
	w.Helper()
	all := twinOf(w.state)
	for _, typ := range poolTypes() {
		var free []registry.NodeName
		for _, name := range all.list(typ) {
			if all.free(name) {
				free = append(free, name)
			}
		}
		for _, p := range all.pools {
			if p.spec.NodeType == typ {
				checkSeatsOf(w, all, p, free)
			}
		}
	}
	for _, info := range w.state.Pools() {
		seen := make(map[uint32]bool)
		for _, m := range info.Members {
			if m.SiteID != siteID(info.Spec.Hash, m.Alias) || seen[m.SiteID] {
				w.Fatalf("pool %s: site id %d of %s is wrong or there twice", info.Spec.Name, m.SiteID, m.Alias)
			}
			seen[m.SiteID] = true
		}
	}
}

func checkSeatsOf(w *world, all *twin, p *twinPool, free []registry.NodeName) {
	w.Helper()
	switch {
	case !p.spec.Exclusive && len(p.members) != min(p.most(), len(free)):
		w.Fatalf("pool %s has %v of the free %v", p.spec.Name, p.members, free)
	case p.spec.Exclusive && (len(p.members) > p.most() || len(p.members) < p.most() && len(free) > 0):
		w.Fatalf("exclusive pool %s has %v, wants %d, and free are %v", p.spec.Name, p.members, p.most(), free)
	}
	for i, m := range p.members {
		if p.index(m.name) != i || !slices.Contains(all.list(p.spec.NodeType), m.name) {
			w.Fatalf("pool %s has %s twice, or may not have it", p.spec.Name, m.name)
		}
		for _, q := range all.pools {
			if p.spec.Exclusive && q != p && q.index(m.name) >= 0 {
				w.Fatalf("%s is in %s exclusively, and in %s", m.name, p.spec.Name, q.spec.Name)
			}
		}
	}
}

// A node that joins or is forgotten moves no other member of a capped or
// exclusive pool, the exclusive exception aside; who stays keeps its site id.
func TestStableMovesNoOtherMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		off := registry.ManagerIsLoggerFalse
		w.apply(registry.SetSettings{Change: registry.SettingsChange{ManagerIsLogger: &off}})
		for range rapid.IntRange(2, 5).Draw(t, "pools") {
			w.apply(registry.RegisterPool{Spec: drawSpec(t)})
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			before := w.view()
			w.apply(drawLayout(t))
			checkMoved(w, before, w.view())
		}
	})
}

// checkMoved allows each pool of the type one node in and one node out; only a
// node that became exclusive, or was forgotten, may be out.
func checkMoved(w *world, before, after map[registry.PoolName]registry.PoolInfo) {
	w.Helper()
	for name, was := range before {
		is := after[name]
		in, out := minus(memberNames(is), memberNames(was)), minus(memberNames(was), memberNames(is))
		if len(in) > 1 || len(out) > 1 {
			w.Fatalf("pool %s: %v came and %v went", name, in, out)
		}
		for _, gone := range out {
			n, err := w.state.Node(gone)
			if err == nil && (len(n.Pools) != 1 || !after[n.Pools[0]].Spec.Exclusive) {
				w.Fatalf("pool %s: %s went, is in the layout and not exclusive", name, gone)
			}
		}
		capped := was.Spec.MaxNodes != nil
		for i, m := range was.Members {
			j := slices.IndexFunc(is.Members, func(o registry.MemberInfo) bool { return o.Name == m.Name })
			if j >= 0 && (m.SiteID != is.Members[j].SiteID || capped && len(is.Members) >= len(was.Members) && i != j) {
				w.Fatalf("pool %s: %s moved from %d to %d, or its site id changed", name, m.Name, i, j)
			}
		}
	}
}

func minus(a, b []registry.NodeName) []registry.NodeName {
	return slices.DeleteFunc(slices.Clone(a), func(n registry.NodeName) bool { return slices.Contains(b, n) })
}
