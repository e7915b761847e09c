package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
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
	of := func(exclusive bool, names ...registry.NodeName) shown {
		p := shown{PoolInfo: registry.PoolInfo{Spec: registry.Spec{Exclusive: exclusive}}}
		for _, n := range names {
			p.Members = append(p.Members, member(n, true))
		}
		return p
	}
	if faults := shared(map[registry.PoolName]shown{"a": of(true, "w1"), "b": of(false, "w2"), "c": of(false, "w2")}); len(faults) != 0 {
		t.Errorf("a good layout: %v", faults)
	}
	if faults := shared(map[registry.PoolName]shown{"a": of(true, "w1"), "b": of(false, "w1")}); len(faults) != 1 {
		t.Errorf("a node in two pools: %v", faults)
	}
}

// workers is a pool of w1 to w3 at an epoch, of whom all but the dead are
// eligible, as a correct registry shows it, and the layout beside it.
func workers(epoch registry.Epoch, dead ...registry.NodeName) (shown, map[registry.NodeName]registry.NodeInfo) {
	p := shown{PoolInfo: registry.PoolInfo{Spec: registry.Spec{Name: "worker", NodeType: registry.Worker}, Epoch: epoch}}
	nodes := map[registry.NodeName]registry.NodeInfo{}
	for _, name := range []registry.NodeName{"w1", "w2", "w3"} {
		n := registry.Node{Name: name, Type: registry.Worker, State: registry.Alive}
		if slices.Contains(dead, name) {
			n.State = registry.Failed
		} else {
			p.AliveCount, p.EligibleCount = p.AliveCount+1, p.EligibleCount+1
		}
		p.Members = append(p.Members, member(name, n.State == registry.Alive))
		nodes[name] = registry.NodeInfo{Node: n}
	}
	for _, key := range sampleKeys {
		p.picks = append(p.picks, naiveHRW(p.Members, key.digest))
	}
	return p, nodes
}

// TestChangesOfPools claims that a death which moves the dead one's keys passes,
// and that what a wrong registry may make of one is found, whether its epoch says
// that something has changed or not: a dead one who is left eligible or keeps his
// keys, and keys of the living that move.
func TestChangesOfPools(t *testing.T) {
	alive, layout := workers(1)
	dead, buried := workers(2, "w2")
	ofW1 := slices.Index(alive.picks, "w1")
	ofW2 := slices.Index(alive.picks, "w2")
	for name, test := range map[string]struct {
		want  string
		wrong func(after *shown)
	}{
		"a death":                         {"", func(*shown) {}},
		"a member that is left alive":     {"is shown", func(p *shown) { *p = alive }},
		"a death without an epoch":        {"its epoch is still 1", func(p *shown) { p.Epoch = 1 }},
		"an epoch that goes back":         {"back to 0", func(p *shown) { p.Epoch = 0 }},
		"a key that stays with the dead":  {"who is not eligible", func(p *shown) { p.picks[ofW2] = "w2" }},
		"a key that nobody has":           {"who is not eligible", func(p *shown) { p.picks[ofW2] = "" }},
		"a key of the living that moves":  {"both stand as they stood", func(p *shown) { p.picks[ofW1] = "w3" }},
		"a key that is not of its winner": {"by the rule of", func(p *shown) { p.picks[ofW1] = "w3" }},
	} {
		t.Run(name, func(t *testing.T) {
			var p pools
			if faults := p.judge([]shown{alive}, layout); len(faults) != 0 {
				t.Fatalf("the pool before it: %v", faults)
			}
			after := dead
			after.picks = slices.Clone(dead.picks)
			test.wrong(&after)
			faults := p.judge([]shown{after}, buried)
			if test.want == "" && len(faults) != 0 || !strings.Contains(strings.Join(faults, "; "), test.want) {
				t.Errorf("want %q, found %v", test.want, faults)
			}
		})
	}
}

// The check asks the registry for its picks, and gets what the naive rule says.
func TestPicksAreTheRegistrysOwn(t *testing.T) {
	m := fsm.NewMachine(func(err error) { t.Fatal(err) })
	var p pools
	for i, c := range []registry.Command{
		registry.JoinNode{Name: "w1", Type: registry.Worker, Address: "10.0.0.1:1", Boot: "0000000000000001"},
		registry.JoinNode{Name: "w2", Type: registry.Worker, Address: "10.0.0.1:1", Boot: "0000000000000002"},
	} {
		data, err := fsm.EncodeEntry(fsm.Entry{Command: c})
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(&raft.Log{Index: uint64(i + 1), Term: 1, Data: data})
		view, _ := m.View()
		if faults := p.next(view); len(faults) != 0 {
			t.Errorf("after entry %d: %v", i+1, faults)
		}
	}
	picks := p.before["worker"].picks
	if !slices.Contains(picks, "w1") || !slices.Contains(picks, "w2") {
		t.Errorf("the registry picks %v: nobody was asked", picks)
	}
}

// TestShare claims that no part of a search has less time than those behind it,
// and what it leaves is theirs.
func TestShare(t *testing.T) {
	left := time.Minute
	for n := 60; n > 0; n-- {
		one := share(left, n)
		if one < time.Second {
			t.Errorf("with %d to go, the next has %v", n, one)
		}
		left -= one
	}
	if got := share(time.Minute, 1); got != time.Minute {
		t.Errorf("the last has %v of a minute", got)
	}
	if got := share(-time.Minute, 3); got <= 0 {
		t.Errorf("behind the end, the next has %v", got)
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
