package fsm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// crowdOf gives a machine of n nodes that live, in one pool and in several more.
func crowdOf(t *testing.T, n int) *fsm.Machine {
	t.Helper()
	m := newMachine(t)
	var cmds []registry.Command
	for i := range n {
		cmds = append(cmds, registry.JoinNode{Name: crowdName(i), Type: registry.Worker, Boot: boot("1"), Address: "h:1"})
	}
	for i := range 20 {
		cmds = append(cmds, registry.RegisterPool{Spec: registry.Spec{Name: registry.PoolName(fmt.Sprintf("p-%d", i)), NodeType: registry.Worker}})
	}
	for _, out := range apply(t, m, cmds...) {
		if out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	return m
}

func crowdName(i int) registry.NodeName { return registry.NodeName(fmt.Sprintf("w-%04d", i)) }

// turned is the report that some nodes are now alive or failed, as the leader of
// this machine's state would make it.
func turned(m *fsm.Machine, to registry.NodeState, which func(i int) bool) registry.ReportLiveness {
	view, _ := m.View()
	cmd := registry.ReportLiveness{By: "r1"}
	for i, n := range view.Layout() {
		if n.State != to && which(i) {
			cmd.Changes = append(cmd.Changes, registry.Liveness{Name: n.Name, Boot: n.Boot, State: to, Since: n.Since, Reason: "said by the test"})
		}
	}
	return cmd
}

// owners gives who has each of many keys.
func owners(t *testing.T, m *fsm.Machine) (of []registry.NodeName) {
	t.Helper()
	view, _ := m.View()
	for key := range 2000 {
		choice, err := view.HRW("worker", hrw.Count(uint64(key)))
		if err != nil {
			t.Fatal(err)
		}
		of = append(of, choice.Node)
	}
	return of
}

// TestAThousandNodesFlapAndMostDie: each of a thousand nodes fails and comes back
// again and again, and then 60 % die at once, in one entry. The keys of who lives
// stay where they are, a dead one's go to who lives, round robins go round among
// those, and who comes back has his own keys again. A machine that is restored from
// a snapshot in between holds the same bytes.
func TestAThousandNodesFlapAndMostDie(t *testing.T) {
	const nodes = 1000
	m, rnd := crowdOf(t, nodes), rand.New(rand.NewPCG(1, 2))
	before := owners(t, m)
	flap := func(machines ...*fsm.Machine) {
		for range 40 {
			some := func(int) bool { return rnd.IntN(3) == 0 }
			for _, cmd := range []registry.Command{turned(m, registry.Failed, some), turned(m, registry.Alive, some)} {
				for _, each := range machines {
					if out := apply(t, each, cmd)[0]; out.Err != nil || out.Result.Skipped != 0 {
						t.Fatalf("%+v", out)
					}
				}
			}
		}
	}
	flap(m)
	twin := restored(t, bytesOf(t, m))
	flap(m, twin)
	same(t, "after a thousand flapped", bytesOf(t, m), bytesOf(t, twin))

	apply(t, m, turned(m, registry.Alive, func(int) bool { return true }))
	dead := func(i int) bool { return i%5 < 3 }
	if out := apply(t, m, turned(m, registry.Failed, dead))[0]; !out.Result.Changed || out.Result.Skipped != 0 {
		t.Fatalf("the deaths: %+v", out)
	}
	view, _ := m.View()
	pool, err := view.Pool("worker")
	if err != nil || pool.AliveCount != nodes*2/5 {
		t.Fatalf("%d are alive, %v; want %d", pool.AliveCount, err, nodes*2/5)
	}
	lives := map[registry.NodeName]bool{}
	for _, n := range pool.Members {
		lives[n.Name] = n.Alive
	}
	for key, now := range owners(t, m) {
		if was := before[key]; !lives[now] || lives[was] && now != was {
			t.Fatalf("key %d went from %s to %s; they live: %t, %t", key, was, now, lives[was], lives[now])
		}
	}
	seen := map[registry.NodeName]int{}
	turns := apply(t, m, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: 2 * pool.AliveCount}}})[0].Result.Turns[0]
	for i := range turns.Count() {
		seen[turns.At(i).Node]++
	}
	for name, n := range seen {
		if !lives[name] || n != 2 {
			t.Errorf("in two rounds it was the turn of %s %d times; it lives: %t", name, n, lives[name])
		}
	}
	if len(seen) != pool.AliveCount {
		t.Errorf("it was the turn of %d, and %d live", len(seen), pool.AliveCount)
	}
	apply(t, m, turned(m, registry.Alive, func(int) bool { return true }))
	for key, now := range owners(t, m) {
		if now != before[key] {
			t.Fatalf("all are back, and key %d is %s's, not %s's", key, now, before[key])
		}
	}
}
