package registry_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/registry"
)

// Of many that have left for long, a bounded number is forgotten at a time, and the
// leader looks again at once; in the end all are.
func TestSomeAreForgottenAtATime(t *testing.T) {
	const n = 40
	s := registry.NewState()
	for i := range n {
		name := registry.NodeName(fmt.Sprintf("w-%04d", i))
		apply(t, s, registry.JoinNode{Name: name, Type: registry.Worker, Address: "h:1", Boot: boot("1")})
		apply(t, s, registry.LeaveNode{Name: name, Boot: boot("1")})
	}
	last, err := s.Node("w-0039")
	if err != nil {
		t.Fatal(err)
	}
	in := registry.ReconcileInput{
		State: &s.View, Now: 60_000, Clock: last.SinceClock + registry.LeftRetention + 1,
		Suspicion: suspicion, Replicas: 3, By: "r1",
	}
	var took []int
	for {
		d := registry.Decide(in)
		if len(d.Command.Changes) == 0 {
			break
		}
		if more := len(s.Nodes()) > len(d.Command.Changes); more != (d.Wake == in.Now) {
			t.Errorf("of %d nodes %d are forgotten, and it is looked again at %d; now is %d", len(s.Nodes()), len(d.Command.Changes), d.Wake, in.Now)
		}
		took, in.Memory = append(took, len(d.Command.Changes)), d.Memory
		at := registry.Stamp{Index: last.Since + registry.Index(len(took)), Clock: in.Clock}
		if _, err := s.Apply(at, d.Command); err != nil {
			t.Fatal(err)
		}
	}
	if left := len(s.Nodes()); left > 0 || fmt.Sprint(took) != "[16 16 8]" {
		t.Errorf("%v were forgotten, and %d nodes are left", took, left)
	}
}

// used is a state with so many cursors, of the pools logger and worker in turn: n of
// them at each ms of the log clock from 1 on.
func used(t testing.TB, cursors, n int) (s *registry.State, last registry.Millis) {
	t.Helper()
	s = registry.NewState()
	at := registry.Stamp{Index: 1, Clock: 1}
	do := func(cmd registry.Command) {
		if _, err := s.Apply(at, cmd); err != nil {
			t.Fatal(err)
		}
	}
	for _, pool := range []registry.NodeType{registry.Logger, registry.Worker} {
		do(registry.JoinNode{Name: registry.NodeName(pool), Type: pool, Address: "h:1", Boot: boot("1")})
	}
	for made := 0; made < cursors; at.Clock++ {
		var rr registry.RoundRobin
		for range min(n, cursors-made) {
			pool := []registry.PoolName{"logger", "worker"}[made%2]
			rr.Turns = append(rr.Turns, registry.Turn{Pool: pool, Key: fmt.Sprint(made), Count: 1})
			made++
		}
		do(rr)
		last = at.Clock
	}
	return s, last
}

// forget applies a ForgetCursors at a log clock, and gives how many are gone.
func forget(t *testing.T, s *registry.State, clock registry.Millis) int {
	t.Helper()
	before := cursorsIn(s)
	res := stampAt(t, s, clock, registry.ForgetCursors{By: "r1"})
	gone := before - cursorsIn(s)
	if res.Changed != (gone > 0) {
		t.Errorf("at %d %d were forgotten, and changed is %t", clock, gone, res.Changed)
	}
	return gone
}

func cursorsIn(s *registry.State) (n int) {
	for _, pool := range s.Pools() {
		list, _ := s.Cursors(pool.Spec.Name)
		n += len(list)
	}
	return n
}

// keyTurn is a turn of the pool worker.
func keyTurn(key string) registry.RoundRobin {
	return registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: key, Count: 1}}}
}

// Of cursors that nobody has used for longer than 30 days the oldest go, a bounded
// number at a time, and there is room for others; the pools' epochs stay. A cursor
// that was used exactly 30 days ago stays, and so does one that was used between the
// proposal and its entry.
func TestUnusedCursorsAreForgotten(t *testing.T) {
	const batch = 4_000
	s, last := used(t, registry.CursorsMax, batch)
	pools := s.Pools()
	end := 1 + registry.CursorRetention // the first are just not due
	if got := s.CursorsDue(); got != end+1 {
		t.Errorf("they are due at %d, want %d", got, end+1)
	}
	if n := forget(t, s, end); n != 0 {
		t.Errorf("%d were forgotten that had been used 30 days ago", n)
	}
	refusedAs(t, stampAt(t, s, end, keyTurn("more")).Turns[0].Err, registry.Limit, `"more"`)
	if n := forget(t, s, end+1); n != registry.ForgetMax {
		t.Errorf("%d were forgotten at once, want %d", n, registry.ForgetMax)
	}
	if err := stampAt(t, s, end+1, keyTurn("more")).Turns[0].Err; err != nil {
		t.Errorf("a new key: %v", err)
	}
	stampAt(t, s, end+1, keyTurn("3999")) // the youngest of the worker's that are due
	if got := s.CursorsDue(); got != end+1 {
		t.Errorf("there are more, and they are due at %d, want %d", got, end+1)
	}
	gone := registry.ForgetMax
	for n := gone; n > 0; gone += n {
		n = forget(t, s, end+1)
	}
	if gone != batch-1 {
		t.Errorf("%d were forgotten, want all of the first ms but the one that was used again, %d", gone, batch-1)
	}
	if got := s.CursorsDue(); got != end+2 {
		t.Errorf("the next are due at %d, want %d", got, end+2)
	}
	for stampAt(t, s, last+registry.CursorRetention+1, registry.ForgetCursors{By: "r1"}).Changed {
	}
	list, _ := s.Cursors("worker")
	if want := []registry.Cursor{{Key: "3999", Next: 0, Node: "worker"}, {Key: "more", Next: 0, Node: "worker"}}; !slices.Equal(list, want) {
		t.Errorf("left are %v, want %v", list, want)
	}
	if diff := cmp.Diff(pools, s.Pools()); diff != "" {
		t.Errorf("pools (-before +after):\n%s", diff)
	}
	if got, want := registry.NewState().CursorsDue(), registry.CursorRetention+1; got != want {
		t.Errorf("without cursors they are due at %d, want %d", got, want)
	}
}

// What is forgotten is what a snapshot shows, and not how the state came about: one
// that was restored, and whose tables have grown otherwise, forgets the same.
func TestARestoredStateForgetsTheSameCursors(t *testing.T) {
	s, last := used(t, 5*registry.BatchTurnsMax, registry.BatchTurnsMax)
	for ; cursorsIn(s) > 3*registry.ForgetMax; forget(t, s, last+registry.CursorRetention+1) {
	}
	other := restore(t, s.Snapshot())
	for forget(t, s, last+registry.CursorRetention+1) > 0 {
		forget(t, other, last+registry.CursorRetention+1)
		if diff := cmp.Diff(s.Snapshot(), other.Snapshot()); diff != "" {
			t.Fatalf("(-state +restored):\n%s", diff)
		}
	}
}

// The key of a forgotten cursor begins anew, and the answers that a session has stay.
func TestAForgottenCursorBeginsAnew(t *testing.T) {
	s := registry.NewState()
	for _, name := range []registry.NodeName{"w-1", "w-2"} {
		apply(t, s, registry.JoinNode{Name: name, Type: registry.Worker, Address: "h:1", Boot: boot("1")})
	}
	first := stampAt(t, s, 10, keyTurn("k")).Turns[0].At(0).Node
	late := 10 + registry.CursorRetention + 1
	stampAt(t, s, late, registry.OpenSession{ID: numbered(1)})
	stampAt(t, s, late, rr(numbered(1), 1, 0, 1))
	if n := forget(t, s, late); n != 1 {
		t.Fatalf("%d were forgotten", n)
	}
	if again := stampAt(t, s, late, keyTurn("k")).Turns[0].At(0).Node; again != first {
		t.Errorf("it began with %s, and then with %s", first, again)
	}
	if res := stampAt(t, s, late, rr(numbered(1), 1, 0, 1)).Turns[0]; res.Taken == (registry.Position{}) || res.Count() != 1 {
		t.Errorf("the session's answer: %+v", res)
	}
}

// BenchmarkForgetCursors measures how long one holds the largest state, all of whose
// cursors are due, and how long a leader that looks whether any is.
func BenchmarkForgetCursors(b *testing.B) {
	s, last := used(b, registry.CursorsMax, registry.BatchTurnsMax)
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			s.CursorsDue()
		}
	})
	snap, at := s.Snapshot(), registry.Stamp{Index: 1, Clock: last + registry.CursorRetention + 1}
	b.Run("forget", func(b *testing.B) {
		for b.Loop() {
			if res, err := s.Apply(at, registry.ForgetCursors{By: "r1"}); err != nil {
				b.Fatal(err)
			} else if !res.Changed {
				b.StopTimer()
				s, _ = registry.Restore(snap)
				b.StartTimer()
			}
		}
	})
}
