package registry_test

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// What was frozen stays as it was, whatever is applied afterwards: turns with
// and without sessions, cursors that come and go, pools and nodes; and the state
// goes on as one that was never frozen.
func TestFrozenStaysAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for _, id := range []string{"a", "b"} {
			w.apply(registry.OpenSession{ID: sessionID(id)})
		}
		never := restored(w)
		type kept struct {
			frozen *registry.Frozen
			was    registry.Snapshot
		}
		var all []kept
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "freeze") == 0 {
				// The one copied at once and the one copied later are two.
				all = append(all, kept{w.state.Freeze(), never.Snapshot()})
			}
			cmd := w.drawCommand()
			if rapid.Bool().Draw(t, "request") {
				cmd = registry.RoundRobin{Turns: []registry.Turn{{
					Pool: "worker", Key: rapid.SampledFrom([]string{"", "k", "l"}).Draw(t, "key"), Count: 1, Request: drawRequest(t),
				}}}
			}
			w.apply(cmd)
			_, _ = never.Apply(w.at, cmd)
		}
		for i, k := range all {
			w.same(fmt.Sprintf("frozen %d", i), k.was, k.frozen.Snapshot())
		}
		w.same("the state that was frozen", never.Snapshot(), w.state.Snapshot())
	})
}

// A snapshot is copied out while the state goes on, under the race detector: of
// many cursors, so that the tables have grown.
func TestFrozenIsReadWhileTheStateGoesOn(t *testing.T) {
	s := registry.NewState()
	apply(t, s, registry.JoinNode{Name: "w", Type: "worker", Address: "h:1", Boot: boot("1")})
	turn := func(i int) registry.RoundRobin {
		return registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: fmt.Sprint(i), Count: 1, Request: registry.RequestID{Session: numbered(i % 300), Serial: uint64(1 + i/300)}}}}
	}
	for i := range 300 {
		apply(t, s, registry.OpenSession{ID: numbered(i)})
	}
	const most = 3_000
	for i := range most {
		apply(t, s, turn(i))
	}
	frozen := s.Freeze()
	var copying sync.WaitGroup
	copying.Go(func() {
		snap := frozen.Snapshot()
		for _, p := range snap.Pools {
			if p.Spec.Name == "worker" && len(p.Cursors) != most {
				t.Errorf("%d cursors, want %d", len(p.Cursors), most)
			}
		}
		for _, ses := range snap.Sessions {
			if len(ses.Stored) != most/300 {
				t.Errorf("session %s has %d answers, want %d", ses.ID, len(ses.Stored), most/300)
			}
		}
	})
	for i := range most {
		apply(t, s, turn(most+i))
	}
	copying.Wait()
}
