package registry_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// A log replayed from a snapshot in its middle gives the same answers and ends
// in the same snapshot, and so does one replayed from the start.
func TestReplayIsSnapshotAndRestore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		replayed := newWorld(t, registry.AssignStable)
		restored := (*world)(nil)
		n := rapid.IntRange(1, 50).Draw(t, "commands")
		middle := rapid.IntRange(0, n-1).Draw(t, "middle")
		for i := range n {
			if i == middle {
				s, err := registry.Restore(w.state.Snapshot())
				if err != nil {
					t.Fatal(err)
				}
				restored = &world{T: t, state: s, at: w.at}
			}
			cmd := w.drawCommand()
			res, err := w.apply(cmd)
			for _, other := range []*world{replayed, restored} {
				if other == nil {
					continue
				}
				otherRes, otherErr := other.apply(cmd)
				w.same("result", res, otherRes)
				if !reflect.DeepEqual(err, otherErr) {
					t.Fatalf("error %v, and %v when replayed", err, otherErr)
				}
			}
		}
		w.same("replayed snapshot", w.state.Snapshot(), replayed.state.Snapshot())
		w.same("restored snapshot", w.state.Snapshot(), restored.state.Snapshot())
		w.same("warnings", w.state.Warnings(), restored.state.Warnings())
	})
}

// What is refused, and what says that it changed nothing, has changed nothing
// but the log clock; and what was read before stays as it was.
func TestRefusedChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 50).Draw(t, "commands") {
			before, pools := w.state.Snapshot(), w.state.Pools()
			kept, err := registry.Restore(before)
			if err != nil {
				t.Fatal(err)
			}
			res, err := w.apply(w.drawCommand())
			if w.state.Clock() != w.at.Clock {
				t.Fatalf("log clock %d at %d", w.state.Clock(), w.at.Clock)
			}
			if err != nil || !res.Changed {
				after := w.state.Snapshot()
				after.Clock = before.Clock
				w.same("state", before, after)
			}
			w.same("what was read", kept.Pools(), pools)
			w.same("snapshot", kept.Snapshot(), before)
		}
	})
}

// A pool has a new epoch, the index of the command, exactly when what users
// see of it changed: spec, members, eligibility, topics.
func TestEpochRisesWithEachChangeAndNoOther(t *testing.T) {
	type seen struct {
		Spec    registry.Spec
		Topic   string
		Members []registry.MemberInfo
	}
	look := func(w *world) map[registry.PoolName]seen {
		settings, all := w.state.Settings(), make(map[registry.PoolName]seen)
		for name, p := range w.view() {
			for i := range p.Members { // The state alone, failed or left, is no change.
				p.Members[i].State, p.Members[i].Alive = 0, false
			}
			all[name] = seen{p.Spec, settings.Show(p.Spec.Topic), p.Members}
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 50).Draw(t, "commands") {
			before, epochs := look(w), w.view()
			w.apply(w.drawCommand())
			after := look(w)
			for name, p := range w.view() {
				old, known := before[name]
				if changed := !known || !reflect.DeepEqual(old, after[name]); changed && p.Epoch != registry.Epoch(w.at.Index) {
					t.Fatalf("pool %s changed at %d and has the epoch %d", name, w.at.Index, p.Epoch)
				} else if !changed && p.Epoch != epochs[name].Epoch {
					t.Fatalf("pool %s did not change at %d and has a new epoch", name, w.at.Index)
				}
			}
		}
	})
}

// The death of a node moves its keys and no others: each to the second best,
// and all come back with it.
func TestDeathMovesItsKeysAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`n-[a-z0-9]{1,6}`), 2, 9, rapid.ID).Draw(t, "nodes")
		for _, n := range names {
			w.apply(registry.JoinNode{Name: registry.NodeName(n), Type: "worker", Address: "h:1", Boot: boot("1")})
		}
		victim := registry.NodeName(rapid.SampledFrom(names).Draw(t, "victim"))
		keys := rapid.SliceOfN(rapid.String(), 1, 30).Draw(t, "keys")
		ask := func() (answers []registry.NodeName, second []registry.NodeName) {
			for _, k := range keys {
				c, err := w.state.HRW("worker", hrw.String(k))
				if err != nil {
					t.Fatal(err)
				}
				ranked, _, err := w.state.Rank("worker", hrw.String(k), 2)
				if err != nil || ranked[0].Node != c.Node {
					t.Fatalf("%v: ranked %v, chosen %v", err, ranked, c)
				}
				answers, second = append(answers, c.Node), append(second, ranked[len(ranked)-1].Node)
			}
			return answers, second
		}
		before, second := ask()
		w.apply(registry.DrainNode{Name: victim, Draining: true})
		if len(names) == 2 {
			second = nil // Nobody is second any more; the only one left has all.
		}
		after, _ := ask()
		for i := range keys {
			if before[i] != victim && after[i] != before[i] {
				t.Fatalf("key %q moved from %s to %s when %s died", keys[i], before[i], after[i], victim)
			}
			if before[i] == victim && second != nil && after[i] != second[i] {
				t.Fatalf("key %q moved to %s, the second best was %s", keys[i], after[i], second[i])
			}
		}
		w.apply(registry.DrainNode{Name: victim})
		back, _ := ask()
		w.same("answers after revival", before, back)
	})
}

// The log clock never runs backwards, and refused commands carry it too.
func TestClockIsTheLargestSeen(t *testing.T) {
	s := registry.NewState()
	for _, step := range []struct{ given, want registry.Millis }{{5, 5}, {3, 5}, {9, 9}} {
		if _, err := s.Apply(registry.Stamp{Index: 1, Clock: step.given}, registry.UnregisterPool{Name: "none"}); err == nil {
			t.Fatal("an unknown pool was removed")
		}
		if s.Clock() != step.want {
			t.Errorf("clock %d after %d, want %d", s.Clock(), step.given, step.want)
		}
	}
	if _, err := s.Apply(registry.Stamp{Index: 2, Clock: 4}, registry.AddNode{Name: "n", Type: "worker"}); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Node("n"); n.SinceClock != 9 {
		t.Errorf("a record of clock %d, want the state's 9", n.SinceClock)
	}
}

// A cursor's last use is the log clock of its last answer, or of its setting;
// an empty answer is no use.
func TestCursorsRememberTheirLastUse(t *testing.T) {
	s := registry.NewState()
	steps := []struct {
		clock registry.Millis
		cmd   registry.Command
		want  registry.Millis
	}{
		{10, registry.JoinNode{Name: "w", Type: "worker", Address: "h:1", Boot: boot("1")}, -1},
		{20, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: 3}}}, 20},
		{30, registry.DrainNode{Name: "w", Draining: true}, 20},
		{40, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: 3}}}, 20},
		{50, registry.AddNode{Name: "w2", Type: "worker"}, 20},
		{60, registry.SetCursor{Pool: "worker", Key: "k", Next: 1}, 60},
	}
	for i, step := range steps {
		if _, err := s.Apply(registry.Stamp{Index: registry.Index(i + 1), Clock: step.clock}, step.cmd); err != nil {
			t.Fatal(err)
		}
		got := registry.Millis(-1)
		if cursors := s.Snapshot().Pools[poolWorker].Cursors; len(cursors) > 0 {
			got = cursors[0].Used
		}
		if got != step.want {
			t.Errorf("after %T at %d: last use %d, want %d", step.cmd, step.clock, got, step.want)
		}
	}
}
