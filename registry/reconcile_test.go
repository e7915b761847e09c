package registry_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

const suspicion = registry.Millis(1000)

func drawView(t *rapid.T) []registry.Seen {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) registry.Seen {
		name, _ := drawNode(t)
		seen := registry.Seen{Name: name, Boot: drawBoot(t), Addr: "h:1"}
		if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
			seen.Boot = "not a boot id"
		}
		return seen
	}), 0, 14).Draw(t, "view")
}

// unheard answers for the replicas about suspects whom none of them sees.
func unheard(suspects []registry.Suspect, replicas int) (said []registry.Said) {
	for _, x := range suspects {
		said = append(said, registry.Said{Life: x.Life, Probed: x.Probe, Missed: replicas})
	}
	return said
}

// Once the warm-up, every grace and every freeze is over, the layout agrees with
// the view, if the other replicas see no more than that: a node is alive exactly
// if a life of it is seen that may be; and there is nothing to do any more,
// unless it is that a new life has gone.
func TestReconcilingSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			if rapid.Bool().Draw(t, "layout") {
				w.apply(drawLayout(t))
			} else {
				w.apply(w.drawLife())
			}
		}
		in := registry.ReconcileInput{State: &w.state.View, View: drawView(t), Suspicion: suspicion, Replicas: 3, By: "r1"}
		const passes = 24
		for range passes {
			d := registry.Decide(in)
			w.commit(d.Command)
			in.Memory, in.Said = d.Memory, unheard(d.Suspects, 3)
			in.Now += suspicion / 2
		}
		w.agrees(in.View)
		if last := registry.Decide(in); len(last.Command.Changes) != 0 || len(last.Suspects) != 0 || last.Wake != 0 {
			t.Fatalf("after %d passes it wants %+v, suspects %+v and wakes at %d of %d", passes, last.Command.Changes, last.Suspects, last.Wake, in.Now)
		}
	})
}

// commit applies a decision, which must be acceptable and not skipped.
func (w *world) commit(cmd registry.ReportLiveness) {
	w.Helper()
	res, err := w.apply(cmd)
	if err != nil || res.Skipped > 0 {
		w.Fatalf("%+v: %v, skipped %d", cmd, err, res.Skipped)
	}
}

func (w *world) agrees(view []registry.Seen) {
	w.Helper()
	for _, n := range w.state.Nodes() {
		seen := slices.ContainsFunc(view, func(s registry.Seen) bool { return s.Name == n.Name && s.Boot == n.Boot })
		if alive := n.State == registry.Alive; alive != (seen && n.State != registry.Left) {
			w.Fatalf("%s#%s is %s, and seen %t in %v", n.Name, n.Boot, n.State, seen, view)
		}
	}
}

// The order of the view, and an earlier look at it, decide nothing; a decision
// that comes twice, or after another leader's, changes nothing more.
func TestDecisionsAreHarmlessWhenRepeated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.apply(drawLayout(t))
		}
		view := drawView(t)
		in := registry.ReconcileInput{State: &w.state.View, View: view, Suspicion: suspicion, Replicas: 3, By: "r1"}
		first := registry.Decide(in)
		in.Memory, in.Now, in.Said = first.Memory, 2*suspicion, unheard(first.Suspects, 3)
		decision := registry.Decide(in)
		in.View = rapid.Permutation(view).Draw(t, "permuted")
		w.same("decision", decision, registry.Decide(in))
		w.commit(decision.Command)
		before := w.state.Snapshot()
		res, err := w.apply(decision.Command)
		if err != nil || res.Changed || res.Skipped != len(decision.Command.Changes) {
			t.Fatalf("the second time: %+v, %v", res, err)
		}
		after := w.state.Snapshot()
		after.Clock = before.Clock
		w.same("state", before, after)
	})
}

// While it warms up a leader declares nobody failed and takes over no life.
func TestWarmUpFailsNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.apply(drawLayout(t))
		}
		in := registry.ReconcileInput{State: &w.state.View, View: drawView(t), Now: 99 * suspicion, WarmUp: true, Suspicion: suspicion, Replicas: 3, By: "r1"}
		first := registry.Decide(in)
		in.Memory, in.Said = first.Memory, unheard(first.Suspects, 3)
		for _, c := range append(first.Command.Changes, registry.Decide(in).Command.Changes...) {
			n, err := w.state.Node(c.Name)
			if err != nil || c.State != registry.Alive || n.State == registry.Alive {
				t.Fatalf("%+v for %+v, %v", c, n, err)
			}
		}
	})
}

// More changes than one command may carry are made in several passes, each
// asking for the next at once.
func TestManyChangesTakeSeveralPasses(t *testing.T) {
	const nodes = 2*registry.LivenessMax + 1
	s := crowd(t, nodes)
	in := registry.ReconcileInput{State: &s.View, Now: 5, Suspicion: suspicion, By: "r1"}
	for i := range nodes {
		in.View = append(in.View, registry.Seen{Name: registry.NodeName(fmt.Sprintf("w-%04d", i)), Boot: boot("1")})
	}
	var sizes []int
	for range 4 {
		d := registry.Decide(in)
		sizes = append(sizes, len(d.Command.Changes))
		if more := len(sizes) < 3; more != (d.Wake == in.Now) {
			t.Errorf("pass %d: look again at %d", len(sizes), d.Wake)
		}
		apply(t, s, d.Command)
		in.Memory = d.Memory
	}
	if diff := cmp.Diff([]int{registry.LivenessMax, registry.LivenessMax, 1, 0}, sizes); diff != "" {
		t.Error(diff)
	}
	if p, _ := s.Pool("worker"); p.AliveCount != nodes {
		t.Errorf("%d are alive", p.AliveCount)
	}
}

// A life that gossip alone has shown brings its address with it, where people
// look for it and where a later newcomer's former life is asked.
func TestALifeSeenByGossipBringsItsAddress(t *testing.T) {
	s := registry.NewState()
	apply := func(index registry.Index, cmd registry.Command) {
		t.Helper()
		if _, err := s.Apply(registry.Stamp{Index: index, Term: 1}, cmd); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, registry.AddNode{Name: "worker-1", Type: registry.Worker})
	seen := registry.Seen{Name: "worker-1", Boot: "0123456789abcdef", Addr: "10.0.0.1:7702"}
	apply(2, registry.Decide(registry.ReconcileInput{State: &s.View, View: []registry.Seen{seen}, By: "r1"}).Command)
	if n, err := s.Node("worker-1"); err != nil || n.Address != seen.Addr || n.Boot != seen.Boot {
		t.Errorf("the record is %+v, %v; want the address %s", n, err, seen.Addr)
	}
}
