package registry_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// Whatever commands lie between two states of a pool, the change from the one
// makes the other of it, and nothing of the first is lost.
func TestChangeLeadsFromOnePoolToAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]registry.Assignment{registry.AssignStable, registry.AssignZeek}).Draw(t, "assignment"))
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			was := w.state.Pools()
			for range rapid.IntRange(1, 5).Draw(t, "commands") {
				w.apply(w.drawCommand())
			}
			for _, before := range was {
				after, err := w.state.Pool(before.Spec.Name)
				if err != nil {
					continue
				}
				change := registry.DiffPools(before, after)
				got, err := change.Apply(before)
				if diff := cmp.Diff(after, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
					t.Fatalf("%v (-want +got):\n%s", err, diff)
				}
				if before.Epoch != after.Epoch {
					continue
				}
				for _, e := range change.Edits { // Who drains may die and come back.
					for i, m := range e.Members {
						if m.Eligible || before.Members[e.At+i].Eligible || e.Removed != len(e.Members) {
							t.Fatalf("the epoch stayed %d in spite of %+v", after.Epoch, e)
						}
					}
				}
			}
		}
	})
}

// One node's death is one member on the way, not the pool.
func TestChangeIsSmall(t *testing.T) {
	before := registry.PoolInfo{Spec: registry.Spec{Name: "worker"}, Epoch: 4, Members: make([]registry.MemberInfo, 5_000)}
	for i := range before.Members {
		before.Members[i] = registry.MemberInfo{SiteID: uint32(i), Alive: true}
	}
	after := before
	after.Epoch, after.Members = 5, append([]registry.MemberInfo(nil), before.Members...)
	after.Members[17].Alive = false
	after.Members[4_000].Alive = false
	want := []registry.MemberEdit{
		{At: 17, Removed: 1, Members: after.Members[17:18]},
		{At: 4_000, Removed: 1, Members: after.Members[4_000:4_001]},
	}
	if diff := cmp.Diff(want, registry.DiffPools(before, after).Edits); diff != "" {
		t.Errorf("two deaths (-want +got):\n%s", diff)
	}
	after.Members = append(append(append([]registry.MemberInfo(nil), before.Members[:9]...), registry.MemberInfo{SiteID: 9_999}), before.Members[9:]...)
	want = []registry.MemberEdit{{At: 9, Members: after.Members[9:10]}}
	if diff := cmp.Diff(want, registry.DiffPools(before, after).Edits); diff != "" {
		t.Errorf("a join (-want +got):\n%s", diff)
	}
}

// A change of another epoch, or one that leaves the list, is refused.
func TestChangeRefusesAnotherPool(t *testing.T) {
	pool := registry.PoolInfo{Spec: registry.Spec{Name: "worker"}, Epoch: 4, Members: make([]registry.MemberInfo, 3)}
	fits := registry.PoolChange{From: 4, Pool: registry.PoolInfo{Spec: pool.Spec, Epoch: 5}}
	if _, err := fits.Apply(pool); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*registry.PoolChange){
		"epoch":  func(c *registry.PoolChange) { c.From = 3 },
		"name":   func(c *registry.PoolChange) { c.Pool.Spec.Name = "proxy" },
		"behind": func(c *registry.PoolChange) { c.Edits = []registry.MemberEdit{{At: 4}} },
		"beyond": func(c *registry.PoolChange) { c.Edits = []registry.MemberEdit{{At: 2, Removed: 2}} },
		"before": func(c *registry.PoolChange) { c.Edits = []registry.MemberEdit{{At: -1}} },
		"less":   func(c *registry.PoolChange) { c.Edits = []registry.MemberEdit{{At: 1, Removed: -1}} },
	} {
		change := fits
		spoil(&change)
		if _, err := change.Apply(pool); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}
