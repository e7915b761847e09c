package gossip_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// watchers are three replicas, of which the first leads: it does what a leader's
// reconciler does, with the others' views for their answers, which it has askWay
// after it asked. Nodes take the hosts after theirs.
type watchers struct {
	t        *testing.T
	net      *network
	replicas []*gossip.Gossip
	nodes    []*gossip.Gossip
	state    *registry.State
	index    registry.Index
	began    time.Time
	memory   registry.Memory
	said     []registry.Said
	broken   []registry.Life // connections, since the last look
	failed   []registry.NodeName
}

const (
	watching = 3
	askWay   = 50 * time.Millisecond
)

func watch(t *testing.T, nodes int) *watchers {
	t.Helper()
	w := &watchers{t: t, net: newNetwork(), state: registry.NewState()}
	w.replicas = startAll(t, w.net, watching, nil)
	for i := range nodes {
		c := config(w.net, watching+1+i, watching)
		c.Name, c.Role, c.API = fmt.Sprintf("w%d", i), gossip.Node, ""
		w.nodes = append(w.nodes, start(t, c))
		w.apply(registry.JoinNode{Name: registry.NodeName(c.Name), Type: registry.Worker, Address: addrOf(watching + 1 + i), Boot: registry.BootID(c.Boot), By: "test"})
	}
	within(t, 20*time.Second, func() bool { return seeAll(w.replicas, watching+nodes) }, "the replicas see all")
	w.began = time.Now()
	return w
}

func (w *watchers) apply(cmd registry.Command) {
	w.t.Helper()
	w.index++
	if _, err := w.state.Apply(registry.Stamp{Index: w.index, Term: 1, Clock: registry.Millis(w.index)}, cmd); err != nil {
		w.t.Fatal(err)
	}
}

// view gives the nodes that a replica's gossip shows.
func view(g *gossip.Gossip) (out []registry.Seen) {
	for _, m := range g.Members() {
		if m.Role == gossip.Node {
			out = append(out, registry.Seen{Name: registry.NodeName(m.Name), Boot: registry.BootID(m.Boot), Addr: m.Addr})
		}
	}
	return out
}

// look is one pass of the leader's. It gives how long it may rest.
func (w *watchers) look() time.Duration {
	in := registry.ReconcileInput{
		State: &w.state.View, View: view(w.replicas[0]), Now: registry.Millis(time.Since(w.began).Milliseconds()),
		Suspicion: registry.Millis(gossip.LAN.Suspicion(watching + len(w.nodes)).Milliseconds()),
		Rumor:     registry.Millis(gossip.LAN.Rumor(watching + len(w.nodes)).Milliseconds()),
		Replicas:  watching, Memory: w.memory, Said: w.said, Broken: w.broken, By: "r1",
	}
	d := registry.Decide(in)
	w.memory, w.said, w.broken = d.Memory, nil, nil
	if len(d.Command.Changes) > 0 {
		for _, c := range d.Command.Changes {
			if c.State == registry.Failed {
				w.failed = append(w.failed, c.Name)
			}
		}
		w.apply(d.Command)
		return time.Millisecond
	}
	if len(d.Suspects) > 0 {
		time.Sleep(askWay)
		w.said = make([]registry.Said, len(d.Suspects))
		var wg sync.WaitGroup
		for i, x := range d.Suspects {
			wg.Go(func() { w.said[i] = w.ask(x) })
		}
		wg.Wait()
		return 0
	}
	if d.Wake > 0 {
		return max(time.Duration(d.Wake-in.Now)*time.Millisecond, time.Millisecond)
	}
	return 10 * time.Second
}

// ask has all replicas say what they see, or probe, all at once.
func (w *watchers) ask(x registry.Suspect) registry.Said {
	said := registry.Said{Life: x.Life, Probed: x.Probe}
	sights := make([]registry.Sight, len(w.replicas))
	var wg sync.WaitGroup
	for i, g := range w.replicas {
		wg.Go(func() { sights[i] = w.sight(g, x) })
	}
	wg.Wait()
	for i, sight := range sights {
		switch sight {
		case registry.Sees:
			said.SeenBy = registry.ReplicaName(fmt.Sprintf("r%d", i+1))
		case registry.Misses:
			said.Missed++
		}
	}
	return said
}

// sight is what one replica says.
func (w *watchers) sight(g *gossip.Gossip, x registry.Suspect) registry.Sight {
	sees := false
	for _, s := range view(g) {
		sees = sees || s.Name == x.Name && s.Boot == x.Boot
	}
	if x.Probe {
		node, err := w.state.Node(x.Name)
		if err != nil {
			w.t.Error(err)
		}
		reply, err := g.Probe(w.t.Context(), string(x.Name), string(x.Boot), node.Address)
		if err != nil || reply == gossip.Connected && sees {
			return registry.Unsure
		}
		sees = reply == gossip.Answered
	}
	if sees {
		return registry.Sees
	}
	return registry.Misses
}

// until leads until done, or for as long as limit, and gives how long it took.
func (w *watchers) until(limit time.Duration, done func() bool) (took time.Duration, ok bool) {
	began := time.Now()
	for time.Since(began) < limit {
		if done() {
			return time.Since(began), true
		}
		rest := min(w.look(), limit-time.Since(began))
		timer := time.NewTimer(rest)
		select {
		case <-w.replicas[0].Changed():
		case <-timer.C:
		}
		timer.Stop()
	}
	return limit, done()
}

// A host that loses power says nothing to anybody, and no connection breaks. Its
// node is declared failed within 8 s, the other replicas asked, in a cluster of 3
// to 10 nodes; and nobody else is.
func TestAHostWithoutPowerIsFoundWithinEightSeconds(t *testing.T) {
	for nodes := 3; nodes <= 10; nodes++ {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := watch(t, nodes)
				never := func() bool { return false }
				var all []time.Duration
				dead := map[string]int{} // each on a side of its own
				for victim := 1; victim <= 3; victim++ {
					w.until(time.Minute+rand.N(time.Second), never) // anywhere in a round of probes
					dead[addrOf(watching+victim)] = victim
					sides := maps.Clone(dead) // the network looks at it on goroutines of its own
					w.net.partition(func(addr string) int { return sides[addr] })
					took, found := w.until(20*time.Second, func() bool { return len(w.failed) == victim })
					if all = append(all, took); !found || took > 8*time.Second {
						t.Errorf("the node at %s was found after %v; failed are %v", addrOf(watching+victim), took, w.failed)
					}
				}
				if w.until(time.Minute, never); len(w.failed) != 3 {
					t.Errorf("failed are %v", w.failed)
				}
				t.Logf("found after %v", all)
			})
		})
	}
}

// All packets are lost for two minutes, and streams are not: gossip goes on over
// them, and every view shows every node. Connections of the nodes break, and nobody
// is declared failed; but one that dies is, within a second.
func TestWithoutPacketsABrokenConnectionFailsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const nodes = 4
		w := watch(t, nodes)
		w.net.deafen()
		someFail := func() bool { return len(w.failed) > 0 }
		for i := range 12 {
			w.broken = append(w.broken, w.life(i%nodes))
			w.until(10*time.Second, someFail)
			if !sees(w.replicas[0], "w0#"+bootOf(watching+1)) {
				t.Fatal("gossip has lost a node: this shows nothing")
			}
		}
		if someFail() {
			t.Fatalf("failed after %v: %v", time.Since(w.began), w.failed)
		}
		_ = w.nodes[0].Close()
		w.broken = append(w.broken, w.life(0))
		if took, found := w.until(5*time.Second, someFail); !found || took > time.Second {
			t.Errorf("a node that died was found after %v", took)
		}
	})
}

// A node that was cut off for long has taken all others for dead, and tells them so
// when it is back: gossip believes it until they object. It was declared failed
// itself, and nobody else ever is.
func TestOneThatWasAloneTakesNobodyWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(t, 6)
		never := func() bool { return false }
		lost := 0
		for i := range 20 {
			alone := addrOf(watching + 1 + i%6)
			w.net.partition(func(addr string) int { return map[bool]int{addr == alone: 1}[true] })
			w.until(time.Duration(i)*time.Second, never)
			w.net.partition(nil)
			own := registry.NodeName(fmt.Sprintf("w%d", i%6))
			w.until(30*time.Second, func() bool {
				seen := view(w.replicas[0])
				if slices.ContainsFunc(seen, func(s registry.Seen) bool { return s.Name == own }) {
					lost += 6 - len(seen)
				}
				return false
			})
			if slices.ContainsFunc(w.failed, func(n registry.NodeName) bool { return n != own }) {
				t.Fatalf("%s was cut off for %d s, and these were declared failed: %v", own, i, w.failed)
			}
			w.failed = nil
			w.until(2*time.Minute, never) // so that no node fails three times in ten minutes
		}
		if lost <= 0 {
			t.Error("gossip believed nobody: this shows nothing")
		}
	})
}

func (w *watchers) life(node int) registry.Life {
	return registry.Life{Name: registry.NodeName(fmt.Sprintf("w%d", node)), Boot: registry.BootID(bootOf(watching + 1 + node))}
}

// One packet in ten is lost, for ten minutes, and so is one in ten attempts to
// connect: nobody is declared failed.
func TestLossFailsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(t, 10)
		w.net.lose(0.1)
		w.until(10*time.Minute, func() bool { return len(w.failed) > 0 })
		if len(w.failed) > 0 {
			t.Errorf("failed after %v: %v", time.Since(w.began), w.failed)
		}
		w.net.lose(0)
	})
}
