package client_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
)

// followed is a node's events as text: "gain 5-6 0.52 from w-1".
type followed struct {
	events []string
	all    []client.ShareChange
	// hold, if set, holds up each event.
	hold chan struct{}
}

func (f *followed) note(what string) func(client.ShareChange) {
	return func(c client.ShareChange) {
		if f.hold != nil {
			<-f.hold
		}
		text := fmt.Sprintf("%s %d-%d", what, c.From, c.To)
		for _, other := range c.Others {
			text += fmt.Sprintf(" %q", other.Node)
		}
		if c.Unseen {
			text += " unseen"
		}
		if c.Removed {
			text += " removed"
		}
		f.events, f.all = append(f.events, text), append(f.all, c)
	}
}

func (f *followed) start(n *client.WatchedNode) (stop func()) {
	return n.Follow(client.ShareEvents{OnGap: f.note("gap"), OnLose: f.note("lose"), OnGain: f.note("gain")})
}

// want checks the events since it was asked last.
func (f *followed) want(t *testing.T, want ...string) []client.ShareChange {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, f.events); diff != "" {
		t.Fatalf("other events (-want +got):\n%s", diff)
	}
	all := f.all
	f.events, f.all = nil, nil
	return all
}

// agrees checks an event against the definition, for many keys.
func agrees(t *testing.T, c client.ShareChange, had, has func(hrw.Key) bool) {
	t.Helper()
	moved := 0
	const keys = 20_000
	for i := range uint64(keys) {
		key := hrw.Count(i)
		if want := had(key) && has(key); c.Moved(key) != want {
			t.Fatalf("%+v: moved key %d: %v, want %v", c, i, c.Moved(key), want)
		}
		if c.Moved(key) {
			moved++
		}
	}
	if share := float64(moved) / keys; share < c.Share-0.02 || share > c.Share+0.02 {
		t.Errorf("%+v is about %.3f of the keys", c, share)
	}
}

func owned(p *registry.PoolInfo, node registry.NodeName) func(hrw.Key) bool {
	return func(key hrw.Key) bool {
		var sites []uint32
		for _, m := range p.Members {
			sites = append(sites, m.SiteID)
		}
		i := hrw.Pick(sites, nil, key.Digest(p.Spec.Hash))
		return i >= 0 && p.Members[i].Name == node
	}
}

func not(f func(hrw.Key) bool) func(hrw.Key) bool { return func(k hrw.Key) bool { return !f(k) } }

func TestANodeHearsWhatItGainsAndLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		pools := []*registry.PoolInfo{poolAt(5, "w-1", "w-2"), poolAt(6, "w-1", "w-2", "w-3"), poolAt(7, "w-1", "w-3"), poolAt(8, "w-3"), poolAt(9)}
		said := toldOf(pools...)
		a := e.tell("a:1", newTeller(said))
		a.mu.applied = 5
		c := e.client(client.Options{}, "a:1")
		w, err := c.Pool("p").Watch(t.Context(), client.Local())
		if err != nil {
			t.Fatal(err)
		}
		n := w.As("w-1")
		for i, p := range pools[:1] {
			for k := range uint64(1000) {
				if mine, epoch := n.IsMine(hrw.Count(k)); mine != owned(p, "w-1")(hrw.Count(k)) || epoch != p.Epoch {
					t.Fatalf("in pool %d, key %d: mine %v at epoch %d", i, k, mine, epoch)
				}
			}
		}
		var f followed
		stop := f.start(n)
		nobody := func(hrw.Key) bool { return true }
		agrees(t, f.want(t, `gain 0-5 ""`)[0], nobody, owned(pools[0], "w-1"))
		a.apply(6)
		agrees(t, f.want(t, `lose 5-6 "w-3"`)[0], owned(pools[0], "w-1"), not(owned(pools[1], "w-1")))
		a.apply(7)
		gain := f.want(t, `gain 6-7 "w-2"`)[0]
		agrees(t, gain, not(owned(pools[1], "w-1")), owned(pools[2], "w-1"))
		if gain.Share < 0.05 || gain.Share > 0.3 || gain.Others[0].Share != gain.Share || gain.Node != "w-1" {
			t.Errorf("%+v, want about a sixth of the keys", gain)
		}
		a.apply(8)
		agrees(t, f.want(t, `lose 7-8 "w-3"`)[0], owned(pools[2], "w-1"), nobody)
		a.apply(9) // without it, nothing of w-1's moves
		f.want(t)
		said.add(10, poolAt(10, "w-1", "w-2"))
		a.apply(10)
		f.want(t, `gain 9-10 ""`)
		said.add(11, nil)
		a.apply(11)
		f.want(t, `lose 10-0 "" unseen removed`)
		said.add(12, poolAt(12, "w-1"))
		a.apply(12)
		time.Sleep(3 * time.Second)
		if whole := f.want(t, `gain 0-12 "" unseen`)[0]; whole.Share != 1 {
			t.Errorf("%+v, want all keys", whole)
		}
		stop()
		stop()
		said.add(13, poolAt(13))
		a.apply(13)
		f.want(t)
	})
}

// A pool whose changes were lost is compared with what was there; and what was
// the node's before and after may have been another's in between.
func TestAGapIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1", "w-2"))
		a := e.watchers(said, "a:1")[0]
		w := watch(t, e.client(client.Options{}, "a:1"))
		var f followed
		defer f.start(w.As("w-1"))()
		f.want(t, `gain 0-5 ""`)
		e.cut()
		said.add(6, poolAt(6, "w-2"))
		said.add(7, poolAt(7, "w-1", "w-2"))
		a.set(func() { a.mu.applied, a.mu.history = 7, false })
		time.Sleep(time.Second)
		same := owned(poolAt(7, "w-1", "w-2"), "w-1")
		agrees(t, f.want(t, `gap 5-7 unseen`)[0], same, same)
		e.cut()
		said.add(8, poolAt(8, "w-2"))
		said.add(9, poolAt(9, "w-1", "w-3"))
		a.apply(9)
		time.Sleep(time.Second)
		f.want(t, `gap 7-9 unseen`, `lose 7-9 "w-3" unseen`, `gain 7-9 "w-2" unseen`)
		e.cut() // with all changes known, nothing is unseen
		said.add(10, poolAt(10, "w-3"))
		said.add(11, poolAt(11, "w-1", "w-3"))
		a.set(func() { a.mu.applied, a.mu.history = 11, true })
		time.Sleep(time.Second)
		f.want(t, `lose 9-10 "w-3"`, `gain 10-11 "w-3"`)
	})
}

// The copy does not wait for who is slow to hear of it, who then hears of what
// is left in one.
func TestASlowCallbackHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(1, "w-1"))
		a := e.watchers(said, "a:1")[0]
		w := watch(t, e.client(client.Options{}, "a:1"))
		f := followed{hold: make(chan struct{})}
		stop := f.start(w.As("w-1"))
		var changes []string
		taken := make(chan struct{})
		go func() {
			for c := range w.Changes(t.Context()) {
				changes = append(changes, fmt.Sprintf("%d-%d %v", c.From, c.To, c.Unseen))
				if c.Pool.Epoch != c.To || len(c.Pool.Members) != 1+int(c.To+1)%2 {
					t.Errorf("%+v", c)
				}
			}
			close(taken)
		}()
		synctest.Wait() // the first event is being held
		const last = 41
		for epoch := registry.Epoch(2); epoch <= last; epoch++ {
			names := []registry.NodeName{"w-1", "w-2"}[:1+int(epoch+1)%2]
			said.add(registry.Index(epoch), poolAt(epoch, names...))
			a.apply(registry.Index(epoch))
			synctest.Wait()
		}
		if w.Epoch() != last || len(changes) != last || changes[0] != "0-1 false" || changes[last-1] != "40-41 false" {
			t.Errorf("the copy is at epoch %d; changes %v", w.Epoch(), changes)
		}
		close(f.hold)
		var want []string
		for epoch := range 16 {
			what := []string{`gain %d-%d "w-2"`, `lose %d-%d "w-2"`}[epoch%2]
			if epoch == 0 {
				what = `gain %d-%d ""`
			}
			want = append(want, fmt.Sprintf(what, epoch, epoch+1))
		}
		want = append(want, "gap 16-41 unseen", `gain 16-41 "w-2" unseen`)
		f.want(t, want...)
		stop()
		w.Close()
		<-taken
	})
}

func TestCloseWaitsForACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.watchers(toldOf(poolAt(5, "w-1")), "a:1")
		w := watch(t, e.client(client.Options{}, "a:1"))
		var ended time.Time
		w.As("w-1").Follow(client.ShareEvents{OnGain: func(client.ShareChange) {
			time.Sleep(time.Minute)
			ended = time.Now()
		}})
		synctest.Wait()
		w.Close()
		if ended.IsZero() {
			t.Error("Close returned with a callback under way")
		}
	})
}

// Who breaks off the loop is not kept for.
func TestChangesEndWithTheirLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1"))
		a := e.watchers(said, "a:1")[0]
		w := watch(t, e.client(client.Options{}, "a:1"))
		var epochs []registry.Epoch
		for c := range w.Changes(t.Context()) {
			epochs = append(epochs, c.To)
			if c.To == 6 {
				break
			}
			c.Pool.Members[0].Name = "mine to change"
			said.add(6, poolAt(6, "w-2"))
			a.apply(6)
		}
		wantOwner(t, w, "w-2", 6)
		if !slices.Equal(epochs, []registry.Epoch{5, 6}) {
			t.Errorf("changes to %v", epochs)
		}
	})
}
