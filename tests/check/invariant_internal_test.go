package check

import (
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
)

func member(name registry.NodeName, eligible bool) registry.MemberInfo {
	alias := string(name) + ".0"
	return registry.MemberInfo{Name: name, Alias: alias, SiteID: naiveHash([]byte(alias)), Alive: eligible, Eligible: eligible}
}

// TestWhole claims that a pool is found that counts wrongly, has a stranger or a
// node of another type, has somebody twice, or too many, and that a good one is
// not.
func TestWhole(t *testing.T) {
	one := uint32(1)
	nodes := map[registry.NodeName]registry.NodeInfo{
		"w1": {Node: registry.Node{Name: "w1", Type: registry.Worker, State: registry.Alive}},
		"w2": {Node: registry.Node{Name: "w2", Type: registry.Worker, State: registry.Failed}},
		"p1": {Node: registry.Node{Name: "p1", Type: registry.Proxy, State: registry.Alive}},
	}
	spec := registry.Spec{Name: "worker", NodeType: registry.Worker}
	good := registry.PoolInfo{Spec: spec, Members: []registry.MemberInfo{member("w1", true), member("w2", false)}, AliveCount: 1, EligibleCount: 1}
	if faults := whole(good, nodes); len(faults) != 0 {
		t.Errorf("a good pool: %v", faults)
	}
	for want, wrong := range map[string]func(*registry.PoolInfo){
		"not in the layout": func(p *registry.PoolInfo) { p.Members[1] = member("w3", false) },
		"is a proxy": func(p *registry.PoolInfo) {
			p.Members = append(p.Members, member("p1", true))
			p.AliveCount, p.EligibleCount = 2, 2
		},
		"twice": func(p *registry.PoolInfo) {
			p.Members = append(p.Members, member("w1", true))
			p.AliveCount, p.EligibleCount = 2, 2
		},
		"one site id": func(p *registry.PoolInfo) { p.Members[1].SiteID = p.Members[0].SiteID },
		"is shown":    func(p *registry.PoolInfo) { p.Members[1].Alive = true; p.AliveCount = 2 },
		"it counts":   func(p *registry.PoolInfo) { p.EligibleCount = 2 },
		"may have 1":  func(p *registry.PoolInfo) { p.Spec.MaxNodes = &one },
	} {
		bad := good
		bad.Members = append([]registry.MemberInfo(nil), good.Members...)
		wrong(&bad)
		if faults := whole(bad, nodes); !strings.Contains(strings.Join(faults, "; "), want) {
			t.Errorf("want %q, found %v", want, faults)
		}
	}
}

// TestShared claims that a node of an exclusive pool that is in another one, too,
// is found.
func TestShared(t *testing.T) {
	of := func(exclusive bool, names ...registry.NodeName) registry.PoolInfo {
		p := registry.PoolInfo{Spec: registry.Spec{Exclusive: exclusive}}
		for _, n := range names {
			p.Members = append(p.Members, member(n, true))
		}
		return p
	}
	if faults := shared(map[registry.PoolName]registry.PoolInfo{"a": of(true, "w1"), "b": of(false, "w2"), "c": of(false, "w2")}); len(faults) != 0 {
		t.Errorf("a good layout: %v", faults)
	}
	if faults := shared(map[registry.PoolName]registry.PoolInfo{"a": of(true, "w1"), "b": of(false, "w1")}); len(faults) != 1 {
		t.Errorf("a node in two pools: %v", faults)
	}
}

// TestMovedKeys claims that a death moves the dead one's keys without complaint,
// and that keys of the living which move are found.
func TestMovedKeys(t *testing.T) {
	before := registry.PoolInfo{Members: []registry.MemberInfo{member("w1", true), member("w2", true), member("w3", true)}}
	after := registry.PoolInfo{Members: []registry.MemberInfo{member("w1", true), member("w2", false), member("w3", true)}}
	if fault := movedKeys(before, after); fault != "" {
		t.Error(fault)
	}
	// w1 and w3 change places in hrw, and keep the ids that they are shown with.
	after.Members[0].Alias, after.Members[2].Alias = after.Members[2].Alias, after.Members[0].Alias
	if fault := movedKeys(before, after); fault == "" {
		t.Error("keys of the living moved, and nobody said so")
	}
}

// TestSums claims that a part of the unknown calls explains exactly what some of
// them add up to.
func TestSums(t *testing.T) {
	parts := []int{3, 3, 5}
	for whole, want := range map[int]bool{0: true, 3: true, 5: true, 6: true, 8: true, 11: true, 1: false, 4: false, 7: false, 12: false} {
		if got := sums(parts, whole); got != want {
			t.Errorf("%v to %d: %t, want %t", parts, whole, got, want)
		}
	}
}
