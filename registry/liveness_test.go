package registry_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// Whatever the replicas say, and however often they are asked: nobody is
// declared failed whom one of them sees; and of whom this leader's gossip still
// shows, nobody whose connection has not broken and whom not two of them have
// probed in vain.
func TestNobodyFailsWhomAReplicaSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.apply(drawLayout(t))
		}
		in := registry.ReconcileInput{State: &w.state.View, View: drawView(t), Suspicion: suspicion, Replicas: 3, By: "r1"}
		missed, probed, broken := map[registry.Life]int{}, map[registry.Life]int{}, map[registry.Life]bool{}
		for range rapid.IntRange(2, 12).Draw(t, "passes") {
			in.Now += registry.Millis(rapid.IntRange(0, 1500).Draw(t, "later"))
			for _, s := range in.View {
				if rapid.IntRange(0, 4).Draw(t, "breaks") == 0 {
					life := registry.Life{Name: s.Name, Boot: s.Boot}
					in.Broken, broken[life] = append(in.Broken, life), true
				}
			}
			d := registry.Decide(in)
			for _, c := range d.Command.Changes {
				life := registry.Life{Name: c.Name, Boot: c.Boot}
				if c.State != registry.Failed {
					continue
				}
				if inView := sees(in.View, life); missed[life] == 0 || inView && (probed[life] < 2 || !broken[life]) {
					t.Fatalf("%v fails: in view %t, missed by %d, probed in vain by %d, broken %t", life, inView, missed[life], probed[life], broken[life])
				}
			}
			w.commit(d.Command)
			in.Memory, in.Broken, in.Said = d.Memory, nil, nil
			for _, x := range d.Suspects {
				said := registry.Said{Life: x.Life, Probed: x.Probe, Missed: rapid.IntRange(0, 3).Draw(t, "missed")}
				if rapid.IntRange(0, 2).Draw(t, "seen") == 0 {
					said.SeenBy, said.Missed = "r2", min(said.Missed, 2)
				}
				in.Said = append(in.Said, said)
				switch {
				case said.SeenBy != "":
					missed[x.Life], probed[x.Life] = 0, 0
				case x.Probe:
					probed[x.Life] = max(probed[x.Life], said.Missed)
				}
				if said.SeenBy == "" {
					missed[x.Life] = max(missed[x.Life], said.Missed)
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "other view") == 0 {
				in.View = drawView(t)
			}
		}
	})
}

func sees(view []registry.Seen, life registry.Life) bool {
	for _, s := range view {
		if s.Name == life.Name && s.Boot == life.Boot {
			return true
		}
	}
	return false
}

// workers gives a layout of n nodes of one type, all alive and in view, and a
// leader of three replicas that has looked at it once.
func workers(t *testing.T, n int) (*registry.State, registry.ReconcileInput) {
	t.Helper()
	s := crowd(t, n)
	in := registry.ReconcileInput{State: &s.View, Suspicion: suspicion, Replicas: 3, By: "r1"}
	for i := range n {
		in.View = append(in.View, registry.Seen{Name: registry.NodeName(fmt.Sprintf("w-%04d", i)), Boot: boot("1")})
	}
	for {
		d := registry.Decide(in)
		in.Memory = d.Memory
		if len(d.Command.Changes) == 0 {
			return s, in
		}
		apply(t, s, d.Command)
	}
}

// Who was found dead by probes, and whose record was then forgotten and made
// anew, is not taken for a new life because gossip shows it a while longer.
func TestTheDeadAreNotNewLives(t *testing.T) {
	s, in := workers(t, 5)
	dead := registry.Life{Name: "w-0000", Boot: boot("1")}
	in.Now, in.Broken = 60_000, []registry.Life{dead}
	first := registry.Decide(in)
	in.Memory, in.Broken, in.Said = first.Memory, nil, unheard(first.Suspects, 3)
	d := registry.Decide(in)
	if len(d.Command.Changes) != 1 || d.Command.Changes[0].State != registry.Failed {
		t.Fatalf("it was not declared failed: %+v", d.Command)
	}
	apply(t, s, d.Command)
	apply(t, s, registry.ForgetNode{Name: dead.Name})
	in.Memory, in.Said, in.Now = d.Memory, nil, in.Now+10
	in.Memory = registry.Decide(in).Memory
	apply(t, s, registry.AddNode{Name: dead.Name, Type: registry.Worker, Address: "h:1"})
	in.Now += 10
	if d = registry.Decide(in); len(d.Command.Changes) > 0 {
		t.Fatalf("the dead life of the forgotten record is taken for one of the new record: %+v", d.Command)
	}
	in.Memory = d.Memory
	in.View[0].Boot = boot("2")
	if d = registry.Decide(in); len(d.Command.Changes) != 1 || d.Command.Changes[0].Boot != boot("2") {
		t.Errorf("a life that is new does not take over: %+v", d.Command)
	}
}

// Of n nodes of a type k that are lost at once all fail, unless they are three or
// more, and more than 30 % of them: then none does.
func TestAFreezeBeginsAtThreeAndThirtyPercent(t *testing.T) {
	lose := func(n, k int) {
		_, in := workers(t, n)
		in.View, in.Now = in.View[k:], 60_000
		first := registry.Decide(in)
		in.Memory, in.Said = first.Memory, unheard(first.Suspects, 3)
		d := registry.Decide(in)
		want := k
		if k >= 3 && 10*k > 3*n {
			want = 0
		}
		if frozen := len(d.Memory.Frozen) > 0; len(first.Suspects) != k || len(d.Command.Changes) != want || frozen != (want == 0) {
			t.Errorf("%d of %d lost: %d suspects, %d fail, want %d; frozen %t", k, n, len(first.Suspects), len(d.Command.Changes), want, frozen)
		}
	}
	for n := 1; n <= 24; n++ {
		for k := 1; k <= n; k++ {
			lose(n, k)
		}
	}
	for _, k := range []int{300, 301, 600, 1000} {
		lose(1000, k)
	}
}

// A thousand nodes flap, a quarter of them at a time: each fails as soon as nobody
// sees it and comes back as soon as it is seen, but for the third time, when it is
// held back for a while.
func TestAThousandNodesFlapByTheirView(t *testing.T) {
	const n, quarter = 1000, 250
	s, in := workers(t, n)
	all := in.View
	// at looks twice, as it takes to fail, and gives how many are alive then.
	at := func(now registry.Millis, view []registry.Seen) (alive int) {
		in.Now, in.View, in.Said = now, view, nil
		for range 2 {
			d := registry.Decide(in)
			in.Memory, in.Said = d.Memory, unheard(d.Suspects, 3)
			if len(d.Command.Changes) > 0 {
				apply(t, s, d.Command)
			}
		}
		for _, node := range s.Layout() {
			if node.State == registry.Alive {
				alive++
			}
		}
		return alive
	}
	now := registry.Millis(60_000)
	for time := 1; time <= 3; time++ {
		for from := 0; from < n; from += quarter {
			seen := append(slices.Clone(all[:from]), all[from+quarter:]...)
			back := n
			if time == 3 {
				back = n - quarter
			}
			gone, again, later := at(now, seen), at(now+10_000, all), at(now+50_000, all)
			if gone != n-quarter || again != back || later != n {
				t.Errorf("time %d, from %d on: %d are alive when a quarter is gone, %d when it is back, %d later; want %d, %d, %d", time, from, gone, again, later, n-quarter, back, n)
			}
			now += 60_000
		}
	}
}

// Of more suspects than may be asked about at once the others come next, while
// the answers about the first are still fresh.
func TestManySuspectsTakeSeveralRounds(t *testing.T) {
	for _, c := range []struct {
		what string
		most int
		hint bool
	}{
		{"lost by gossip", registry.SuspectsMax, false},
		{"with a broken connection", registry.ProbesMax, true},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			_, in := workers(t, n)
			in.Now = 60_000
			for _, s := range in.View {
				if c.hint {
					in.Broken = append(in.Broken, registry.Life{Name: s.Name, Boot: s.Boot})
				}
			}
			if !c.hint {
				in.View = nil
			}
			asked := map[registry.Life]int{}
			var sizes []int
			for range 3 {
				d := registry.Decide(in)
				in.Memory, in.Broken, in.Said = d.Memory, nil, nil
				sizes = append(sizes, len(d.Suspects))
				for _, x := range d.Suspects {
					asked[x.Life]++
					in.Said = append(in.Said, registry.Said{Life: x.Life, Probed: x.Probe, SeenBy: "r2", Missed: 1})
				}
			}
			if len(asked) != n || sizes[0] != c.most || sizes[1] != n-c.most || sizes[2] != 0 {
				t.Errorf("%d %s: asked about %v in turn, want %d first and each once", n, c.what, sizes, c.most)
			}
		}
	}
}

// Asking may take longer than the pause before the same suspects may be asked about
// again: all the others come before them nevertheless.
func TestEverySuspectHasItsTurn(t *testing.T) {
	const groups = 4
	_, in := workers(t, groups*registry.ProbesMax)
	in.Now = 60_000
	for _, s := range in.View {
		in.Broken = append(in.Broken, registry.Life{Name: s.Name, Boot: s.Boot})
	}
	asked := map[registry.Life]int{}
	for pass := range 2 * groups {
		d := registry.Decide(in)
		in.Memory, in.Broken, in.Said = d.Memory, nil, nil
		for _, x := range d.Suspects {
			asked[x.Life]++
			in.Said = append(in.Said, registry.Said{Life: x.Life, Probed: true}) // nobody can say
		}
		if pass == groups-1 && len(asked) != len(in.View) {
			t.Errorf("in %d passes %d of %d were asked about", groups, len(asked), len(in.View))
		}
		in.Now += 600
	}
	for life, n := range asked {
		if n != 2 {
			t.Errorf("%s was asked about %d times in twice as many passes as it takes", life.Name, n)
		}
	}
}

// A node that is forgotten and comes again has no past.
func TestAForgottenNodeHasNoPast(t *testing.T) {
	s, in := workers(t, 3)
	fail := func() {
		all := in.View
		in.View, in.Now = all[1:], in.Now+30_000
		d := registry.Decide(in)
		in.Memory, in.Said = d.Memory, unheard(d.Suspects, 3)
		d = registry.Decide(in)
		if len(d.Command.Changes) != 1 || d.Command.Changes[0].State != registry.Failed {
			t.Fatalf("it should fail: %+v", d.Command.Changes)
		}
		apply(t, s, d.Command)
		in.Memory, in.Said = registry.Decide(registry.ReconcileInput{State: &s.View, View: in.View, Now: in.Now, Suspicion: suspicion, Replicas: 3, Memory: d.Memory}).Memory, nil
		in.View = all
	}
	comeBack := func() int {
		in.Now += 1_000
		d := registry.Decide(in)
		in.Memory = d.Memory
		apply(t, s, d.Command)
		return len(d.Command.Changes)
	}
	for i := range 3 {
		fail()
		if back := comeBack(); back != map[bool]int{true: 1, false: 0}[i < 2] {
			t.Fatalf("after failure %d: %d changes", i+1, back)
		}
	}
	if held := in.Memory.Report(&s.View, in.Now).Held; len(held) != 1 || held[0].Name != "w-0000" {
		t.Fatalf("held: %+v", held)
	}
	apply(t, s, registry.ForgetNode{Name: "w-0000"})
	in.Memory = registry.Decide(in).Memory
	apply(t, s, registry.AddNode{Name: "w-0000", Type: registry.Worker})
	if comeBack() != 1 {
		t.Error("a node of that name is held back though the one before was forgotten")
	}
}
