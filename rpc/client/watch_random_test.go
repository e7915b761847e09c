package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
)

// ordeal is a watch of pool p, whose registry changes at random, over a network
// of three replicas that fail at random.
type ordeal struct {
	*testing.T
	rand    *rand.Rand
	edge    *edge
	world   *client.World
	said    *chronicle
	tellers []*teller
	watched *client.WatchedPool
	// answers are what p has answered at each epoch: more than one, if who is
	// alive changes among those who are not eligible.
	answers map[registry.Epoch][]registry.PoolInfo
	epoch   registry.Epoch // the largest that was seen

	// held are the keys that events have given to node w-1.
	held struct {
		sync.Mutex
		keys map[uint64]bool
		to   registry.Epoch
		gaps int
	}
}

var replicaAddresses = [...]string{"a:1", "b:1", "c:1"}

func newOrdeal(t *testing.T, seed uint64) *ordeal {
	o := &ordeal{T: t, rand: rand.New(rand.NewPCG(seed, 0)), edge: newEdge(t), world: client.NewWorld(), said: &chronicle{}}
	o.answers = make(map[registry.Epoch][]registry.PoolInfo)
	o.commit()
	o.tellers = o.edge.watchers(o.said, replicaAddresses[:]...)
	o.watched = watch(t, o.edge.client(client.Options{}, replicaAddresses[:]...))
	o.held.keys = make(map[uint64]bool)
	o.watched.As("w-1").Follow(client.ShareEvents{OnGap: o.gap, OnLose: o.move(false), OnGain: o.move(true)})
	return o
}

// commit puts the pool as it is now into the chronicle.
func (o *ordeal) commit() {
	info, err := o.world.Pool()
	if err != nil {
		o.said.add(o.world.At.Index, nil)
		return
	}
	o.said.add(o.world.At.Index, &info)
	o.answers[info.Epoch] = append(o.answers[info.Epoch], info)
}

const heldKeys = 300

func (o *ordeal) move(gain bool) func(client.ShareChange) {
	return func(c client.ShareChange) {
		o.held.Lock()
		defer o.held.Unlock()
		o.held.to = c.To
		for k := range uint64(heldKeys) {
			if !c.Moved(hrw.Count(k)) {
				continue
			}
			if o.held.keys[k] == gain {
				o.Errorf("%d to %d: key %d was gained or lost twice", c.From, c.To, k)
			}
			o.held.keys[k] = gain
		}
	}
}

func (o *ordeal) gap(c client.ShareChange) {
	o.held.Lock()
	defer o.held.Unlock()
	o.held.gaps++
	for k := range uint64(heldKeys) {
		if c.Moved(hrw.Count(k)) && !o.held.keys[k] {
			o.Errorf("%d to %d: key %d stayed, which was not there", c.From, c.To, k)
		}
	}
}

// step lets something happen.
func (o *ordeal) step() {
	i := o.rand.IntN(len(o.tellers))
	w, address := o.tellers[i], replicaAddresses[i]
	switch o.rand.IntN(12) {
	case 0, 1, 2, 3:
		o.world.Step(o.rand.IntN)
		o.commit()
	case 4, 5, 6: // never back, often behind
		w.set(func() {
			w.mu.applied += registry.Index(o.rand.IntN(int(o.world.At.Index-w.mu.applied) + 1))
		})
	case 7:
		w.set(func() { w.mu.history = !w.mu.history })
	case 8:
		w.set(func() { w.mu.stale = time.Duration(o.rand.IntN(8)) * time.Second })
	case 9:
		o.edge.cut()
	case 10:
		o.edge.down(address)
	case 11:
		o.edge.tell(address, w)
	}
	time.Sleep(time.Duration(o.rand.IntN(1500)) * time.Millisecond)
}

// look checks an answer against what was right at its epoch.
func (o *ordeal) look() {
	key := hrw.String(fmt.Sprint(o.rand.IntN(1000)))
	got, err := o.watched.HRW(key)
	if err != nil {
		if registry.CodeOf(err) != registry.NotFound {
			o.Errorf("at epoch %d: %v", o.epoch, err)
		}
		return
	}
	if got.Epoch < o.epoch {
		o.Errorf("epoch %d after %d", got.Epoch, o.epoch)
	}
	o.epoch = got.Epoch
	for _, info := range o.answers[got.Epoch] {
		if want := answerOf(info, key); want.Answer == (registry.Answer{Node: got.Node, Topic: got.Topic}) && want.Reason == got.EmptyReason {
			return
		}
	}
	o.Errorf("at epoch %d %v gets %+v, which is not among %+v", got.Epoch, key, got, o.answers[got.Epoch])
}

// answerOf is what a registry answers whose pool is so.
func answerOf(info registry.PoolInfo, key hrw.Key) registry.Choice {
	var sites []uint32
	var eligible []bool
	reason := registry.NoMembers
	for _, m := range info.Members {
		sites, eligible = append(sites, m.SiteID), append(eligible, m.Eligible)
		switch {
		case m.Alive:
			reason = registry.AllDraining
		case reason == registry.NoMembers:
			reason = registry.NoneAlive
		}
	}
	if i := hrw.Pick(sites, eligible, key.Digest(info.Spec.Hash)); i >= 0 {
		return registry.Choice{Answer: registry.Answer{Node: info.Members[i].Name, Topic: info.Members[i].Topic}}
	}
	return registry.Choice{Reason: reason}
}

// heal makes all well, and checks that the copy is what the registry has, and
// that the node holds what is its own.
func (o *ordeal) heal() {
	for i, w := range o.tellers {
		w.set(func() { w.mu.applied, w.mu.stale = o.world.At.Index, 0 })
		o.edge.tell(replicaAddresses[i], w)
	}
	time.Sleep(8 * time.Second) // a hung or stale replica is left, a removed pool asked for
	synctest.Wait()
	info, missing := o.world.Pool()
	_, err := o.watched.HRW(hrw.String("k"))
	if (missing == nil) != (err == nil) || err == nil && o.watched.Epoch() != info.Epoch {
		o.Fatalf("healed, the copy is at epoch %d, %v; the registry at %d, %v", o.watched.Epoch(), err, info.Epoch, missing)
	}
	o.look()
	if err == nil && o.watched.Age() > 1100*time.Millisecond {
		o.Errorf("healed, the copy is %v old: %v", o.watched.Age(), o.watched.Err())
	}
	o.held.Lock()
	defer o.held.Unlock()
	for k := range uint64(heldKeys) {
		if mine, _ := o.watched.As("w-1").IsMine(hrw.Count(k)); mine != o.held.keys[k] {
			o.Fatalf("healed at epoch %d, key %d is mine: %v, and held: %v", o.watched.Epoch(), k, mine, o.held.keys[k])
		}
	}
}

// Whatever becomes of replicas and connections, each answer is one that the
// registry has given at that epoch, no epoch comes back, and once all is well
// the copy is what the registry has. Who does no more than what the events say
// holds the keys that are its own.
func TestAWatchSurvivesWhateverHappens(t *testing.T) {
	gaps, epochs, removals := 0, 0, 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			o := newOrdeal(t, seed)
			for range 3 {
				for range 25 {
					o.step()
					o.look()
				}
				o.heal()
			}
			if t.Failed() {
				t.Fatalf("with seed %d", seed)
			}
			gaps += o.held.gaps
			epochs += len(o.answers)
			for _, m := range o.said.moments {
				if m.pool == nil {
					removals++
				}
			}
			o.watched.Close()
		})
	}
	if gaps == 0 || epochs < 120 || removals == 0 {
		t.Errorf("%d gaps, %d epochs and %d removals: too little happened to prove anything", gaps, epochs, removals)
	}
}

// A context that ends is the end of a loop that waits.
func TestChangesEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.watchers(toldOf(poolAt(5, "w-1")), "a:1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		for range watch(t, e.client(client.Options{}, "a:1")).Changes(ctx) {
			n++
		}
		if n != 1 {
			t.Errorf("%d changes, want the first", n)
		}
	})
}
