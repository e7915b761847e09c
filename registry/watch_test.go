package registry_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

func drawAssignment(t *rapid.T) registry.Assignment {
	return rapid.SampledFrom([]registry.Assignment{registry.AssignStable, registry.AssignZeek}).Draw(t, "assignment")
}

// changesNaively compares everything.
func changesNaively(before, after *registry.View, pools []registry.PoolName) (changes []registry.PoolChange, removed []registry.PoolName) {
	for _, name := range pools {
		was, err := before.Pool(name)
		if err != nil {
			continue
		}
		is, err := after.Pool(name)
		switch {
		case err != nil:
			removed = append(removed, name)
		case !cmp.Equal(was, is):
			changes = append(changes, registry.DiffPools(was, is))
		}
	}
	return changes, removed
}

// What shared memory spares the comparison is what is the same.
func TestChangesBetweenMissNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawAssignment(t))
		pools := rapid.SliceOfDistinct(rapid.Custom(drawPoolName), rapid.ID).Draw(t, "pools")
		apart := rapid.IntRange(1, 3).Draw(t, "apart")
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			before := w.state.View
			for range apart {
				w.apply(w.drawCommand())
			}
			after := w.state.View
			changes, removed := registry.ChangesBetween(&before, &after, pools)
			wantChanges, wantRemoved := changesNaively(&before, &after, pools)
			w.same("changes", wantChanges, changes)
			w.same("removed", wantRemoved, removed)
			if registry.Turnover(&before, &after) == 0 && len(changes)+len(removed) > 0 {
				t.Fatalf("at %d, changes cost nothing: %+v, %v", w.at.Index, changes, removed)
			}
		}
	})
}

// Who has the epoch of a pool that is as of its epoch has all of it.
func TestAsOfEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawAssignment(t))
		first := make(map[registry.PoolName]registry.PoolInfo) // of each pool, as its last epoch began
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			w.apply(w.drawCommand())
			for name, is := range w.view() {
				if was, known := first[name]; !known || was.Epoch != is.Epoch {
					first[name] = is
				}
				if w.state.AsOfEpoch(name) {
					w.same("pool "+string(name), first[name], is)
				}
			}
		}
	})
}

// The one change of a pool that its epoch does not tell.
func TestADrainingNodeDiesWithinAnEpoch(t *testing.T) {
	s := registry.NewState()
	at := registry.Stamp{}
	do := func(cmd registry.Command) registry.View {
		t.Helper()
		at.Index++
		if _, err := s.Apply(at, cmd); err != nil {
			t.Fatal(err)
		}
		return s.View
	}
	do(registry.JoinNode{Name: "w-1", Type: "worker", Address: "h:1", Boot: boot("1")})
	do(registry.JoinNode{Name: "w-2", Type: "worker", Address: "h:2", Boot: boot("2")})
	drained := do(registry.DrainNode{Name: "w-2", Draining: true})
	if !drained.AsOfEpoch("worker") {
		t.Error("the drain is the entry of the epoch")
	}
	dead := do(registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{{Name: "w-2", Boot: boot("2"), State: registry.Failed, Since: 3}}})
	if dead.AsOfEpoch("worker") {
		t.Error("it died after the entry of the epoch")
	}
	changes, removed := registry.ChangesBetween(&drained, &dead, []registry.PoolName{"proxy", "worker"})
	if len(changes) != 1 || len(removed) != 0 {
		t.Fatalf("got %+v, %v, want one change", changes, removed)
	}
	is, _ := dead.Pool("worker")
	is.Members = nil
	want := registry.PoolChange{From: 3, Pool: is, Edits: []registry.MemberEdit{{At: 1, Removed: 1, Members: changes[0].Edits[0].Members}}}
	if diff := cmp.Diff(want, changes[0]); diff != "" || is.Epoch != 3 || is.AliveCount != 1 || changes[0].Edits[0].Members[0].State != registry.Failed {
		t.Errorf("pool %+v, change (-want +got):\n%s", is, diff)
	}
}

// What costs memory is members that moved, not those that died.
func TestTurnover(t *testing.T) {
	s := crowd(t, 4_000)
	cost := func(cmd registry.Command) int {
		t.Helper()
		before := s.View
		apply(t, s, cmd)
		return registry.Turnover(&before, &s.View)
	}
	if got := cost(registry.DrainNode{Name: "w-0001", Draining: true, Reason: "a word, no change of eligibility"}); got < 1 || got > 1_000 {
		t.Errorf("one node's record costs %d", got)
	}
	apply(t, s, registry.JoinNode{Name: "w-0002", Type: "worker", Address: "h:1", Boot: boot("1")})
	if got := cost(registry.DrainNode{Name: "w-0002", Draining: true}); got < 1 || got > 1_000 {
		t.Errorf("one node's flag costs %d", got)
	}
	if got := cost(registry.ForgetNode{Name: "w-0003"}); got < 3_999 || got > 5_000 {
		t.Errorf("a member less costs %d", got)
	}
	if got := cost(registry.RegisterPool{Spec: registry.Spec{Name: "more", NodeType: "worker"}}); got < 3_999 {
		t.Errorf("a pool of 3,999 costs %d", got)
	}
	for _, cmd := range []registry.Command{registry.TermStart{Leader: "r1"}, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}}} {
		if got := cost(cmd); got != 0 {
			t.Errorf("%T costs %d", cmd, got)
		}
	}
}

// One node of the largest state dies, and all pools are watched.
func BenchmarkChangesBetween(b *testing.B) {
	s := crowd(b, 500)
	for i := range 996 {
		if _, err := s.Apply(registry.Stamp{Index: 8}, registry.RegisterPool{Spec: registry.Spec{Name: registry.PoolName(fmt.Sprintf("p-%d", i)), NodeType: "worker"}}); err != nil {
			b.Fatal(err)
		}
	}
	var all []registry.PoolName
	for _, p := range s.Pools() {
		all = append(all, p.Spec.Name)
	}
	if _, err := s.Apply(registry.Stamp{Index: 9}, registry.JoinNode{Name: "w-0042", Type: "worker", Address: "h:1", Boot: boot("1")}); err != nil {
		b.Fatal(err)
	}
	before := s.View
	if _, err := s.Apply(registry.Stamp{Index: 10}, registry.DrainNode{Name: "w-0042", Draining: true}); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{0, 1, len(all)} {
		b.Run(fmt.Sprintf("watched=%d", n), func(b *testing.B) {
			for b.Loop() {
				registry.ChangesBetween(&before, &s.View, all[:n])
			}
		})
	}
	b.Run("turnover", func(b *testing.B) {
		for b.Loop() {
			registry.Turnover(&before, &s.View)
		}
	})
}
