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

// BenchmarkApplyBatch measures what one turn costs in a combined batch of 1,024
// turns: of one cursor, of as many cursors, and as requests of a session.
func BenchmarkApplyBatch(b *testing.B) {
	const turns = 1024
	for _, c := range []struct {
		name string
		turn func(i int) registry.Turn
	}{
		{"one-cursor", func(int) registry.Turn { return registry.Turn{Pool: "worker", Key: "k", Count: 1} }},
		{"cursors", func(i int) registry.Turn {
			return registry.Turn{Pool: "worker", Key: fmt.Sprintf("key-%d", i), Count: 1}
		}},
		{"requests", func(i int) registry.Turn {
			return registry.Turn{Pool: "worker", Key: "k", Count: 1, Request: registry.RequestID{Session: numbered(i % 16)}}
		}},
		{"counts", func(int) registry.Turn { return registry.Turn{Pool: "worker", Key: "k", Count: 16} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := registry.NewState()
			at := registry.Stamp{}
			for i := range 10 {
				at.Index++
				join := registry.JoinNode{Name: registry.NodeName(fmt.Sprintf("w-%d", i)), Type: "worker", Address: "h:1", Boot: boot("1")}
				if _, err := s.Apply(at, join); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 16 {
				if _, err := s.Apply(at, registry.OpenSession{ID: numbered(i)}); err != nil {
					b.Fatal(err)
				}
			}
			batch := registry.RoundRobin{Turns: make([]registry.Turn, turns)}
			for i := range turns {
				batch.Turns[i] = c.turn(i)
			}
			b.ReportAllocs()
			advances := 0
			for range b.N {
				at.Index++
				for i := range batch.Turns {
					if id := &batch.Turns[i].Request; id.Session != "" {
						id.Serial = uint64(at.Index)*turns/16 + uint64(i/16)
						id.FirstUnacked = id.Serial - uint64(i/16)
					}
				}
				res, err := s.Apply(at, batch)
				if err != nil || res.Turns[turns-1].Err != nil {
					b.Fatal(err, res.Turns[turns-1].Err)
				}
				for i := range res.Turns {
					advances += res.Turns[i].Count()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(advances), "ns/advance")
		})
	}
}

// BenchmarkAssign measures a node that comes, among 5,000 in 100 pools.
func BenchmarkAssign(b *testing.B) {
	for _, assignment := range []registry.Assignment{registry.AssignStable, registry.AssignZeek} {
		b.Run(assignment.String(), func(b *testing.B) {
			s := registry.NewState()
			at := registry.Stamp{}
			do := func(cmd registry.Command) {
				at.Index++
				if _, err := s.Apply(at, cmd); err != nil {
					b.Fatal(err)
				}
			}
			for i := range registry.NodesMax - 1 {
				do(registry.AddNode{Name: registry.NodeName(fmt.Sprintf("w-%04d", i)), Type: "worker"})
			}
			for i := range 97 {
				do(registry.RegisterPool{Spec: registry.Spec{Name: registry.PoolName(fmt.Sprintf("p-%02d", i)), NodeType: "worker"}})
			}
			do(registry.SetSettings{Change: registry.SettingsChange{Assignment: &assignment}})
			for b.Loop() {
				do(registry.AddNode{Name: "w-2500x", Type: "worker"})
				b.StopTimer()
				do(registry.ForgetNode{Name: "w-2500x"})
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFreeze measures how long Apply waits for a snapshot of the largest
// state, with all cursors and all sessions, and what the first turns after it
// cost.
func BenchmarkFreeze(b *testing.B) {
	s := big(b)
	at := registry.Stamp{Index: 1}
	do := func(b *testing.B, cmd registry.Command) {
		at.Index++
		if _, err := s.Apply(at, cmd); err != nil {
			b.Fatal(err)
		}
	}
	const batch = 1_000
	turns := func(from int) registry.RoundRobin {
		var rr registry.RoundRobin
		for i := from; i < from+batch; i++ {
			pool := registry.PoolName(fmt.Sprintf("x%03d", i%997))
			id := registry.RequestID{Session: numbered(i), Serial: uint64(at.Index), FirstUnacked: uint64(at.Index)}
			rr.Turns = append(rr.Turns, registry.Turn{Pool: pool, Key: fmt.Sprintf("key-%d", i/997), Count: 1, Request: id})
		}
		return rr
	}
	for i := range registry.SessionsMax {
		do(b, registry.OpenSession{ID: numbered(i)})
	}
	for from := 0; from < registry.CursorsMax; from += batch {
		do(b, turns(from))
	}
	b.Run("freeze", func(b *testing.B) {
		for range b.N {
			s.Freeze()
		}
	})
	b.Run("batch-after-freeze", func(b *testing.B) {
		for i := range b.N {
			b.StopTimer()
			s.Freeze()
			rr := turns(i * batch % registry.CursorsMax)
			b.StartTimer()
			do(b, rr)
		}
	})
}
