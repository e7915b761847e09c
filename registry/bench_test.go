package registry_test

import (
	"fmt"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// big restores the largest state: all nodes, all pools, almost all memberships.
func big(b *testing.B) *registry.State {
	b.Helper()
	snap := registry.NewState().Snapshot()
	for i := range registry.NodesMax - 1 {
		name := registry.NodeName(fmt.Sprintf("w-%04d", i))
		snap.Nodes = append(snap.Nodes, registry.Node{Name: name, Type: "worker", State: registry.Alive, Boot: boot("1")})
	}
	most := uint32(490)
	for i := range registry.PoolsMax - 3 {
		name := registry.PoolName(fmt.Sprintf("x%03d", i))
		p := registry.PoolSnapshot{Spec: registry.Spec{Name: name, Topic: registry.Topic(name), NodeType: "worker", MaxNodes: &most}}
		for j := range int(most) {
			node := fmt.Sprintf("w-%04d", (i*490+j)%(registry.NodesMax-1))
			alias := hrw.Alias(node, 0)
			p.Members = append(p.Members, registry.MemberSnapshot{Node: registry.NodeName(node), Alias: alias, SiteID: hrw.SiteID(0, alias)})
		}
		snap.Pools = append(snap.Pools, p)
	}
	s, err := registry.Restore(snap)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAtTheBounds measures one command or question in the largest state.
func BenchmarkAtTheBounds(b *testing.B) {
	s := big(b)
	at := registry.Stamp{}
	run := func(name string, cmds ...registry.Command) {
		next := 0
		b.Run(name, func(b *testing.B) {
			for range b.N {
				at.Index++
				cmd := cmds[next%len(cmds)]
				next++
				if _, err := s.Apply(at, cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("rr", registry.RoundRobin{Turns: []registry.Turn{{Pool: "x500", Key: "k", Count: 1}}})
	run("rr-1000", registry.RoundRobin{Turns: []registry.Turn{{Pool: "x500", Key: "k", Count: 1000}}})
	run("drain", registry.DrainNode{Name: "w-0100", Draining: true}, registry.DrainNode{Name: "w-0100"})
	run("join-forget", registry.AddNode{Name: "w-0100x", Type: "worker"}, registry.ForgetNode{Name: "w-0100x"})
	run("forget-join", registry.ForgetNode{Name: "w-0100"}, registry.AddNode{Name: "w-0100", Type: "worker"})
	run("rebalance", registry.RebalancePools{})
	b.Run("hrw", func(b *testing.B) {
		for range b.N {
			if _, err := s.HRW("x500", hrw.Count(7)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
