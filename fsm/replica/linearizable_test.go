package replica_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// hurry makes a replica stand for election soon when it misses its leader.
func hurry(t testing.TB, r *running, soon time.Duration) {
	t.Helper()
	conf := r.Raft().ReloadableConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout = soon, soon
	if err := r.Raft().ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
}

// TestADeposedLeaderServesNoStaleRead: a leader whose Raft is cut off goes on
// believing in itself until its lease ends, here for 3 s. Meanwhile another one
// is elected and commits. The old one must then not give a linearizable read
// of the old state, whether the others can tell it their term or not; a local
// read it gives, and later with its age.
func TestADeposedLeaderServesNoStaleRead(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"the others answer": false, "nobody answers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			again(t, func(t *testing.T, c *cluster) error { return serveNothingStale(t, c, alone) })
		})
	}
}

func serveNothingStale(t *testing.T, c *cluster, alone bool) (missed error) {
	c.raft = newLinks(t)
	c.founderLeads(3*time.Second, 100*time.Millisecond)
	rs := c.startAll(3)
	old := rs[0]
	c.put(old, "before")
	c.raft.isolate(old.api)
	c.set(func() { c.cut[old.api] = alone })
	if missed := c.writeWithout(old, 150*time.Millisecond); missed != nil {
		return missed
	}
	deposed := time.Now()

	c.refusesOldReads(old, 300*time.Millisecond)
	if !c.shows(old, "before", registry.ReadOptions{Consistency: registry.Local}) || c.shows(old, "after", registry.ReadOptions{Consistency: registry.Local}) {
		t.Error("a local read of the old leader is not the old state")
	}
	c.eventually(10*time.Second, func() error {
		if g := old.Self(); g.Role == "leader" {
			return errors.New("the old leader believes in itself")
		}
		return nil
	})
	c.holds(500*time.Millisecond, func() error { return agesFrom(old, deposed) })

	c.raft.rejoin(old.api)
	c.set(func() { delete(c.cut, old.api) })
	if !c.shows(old, "after", registry.ReadOptions{}) {
		t.Error("after the heal a linearizable read of the old leader is old")
	}
	return nil
}

// founderLeads has r1, which founds and so is the first leader, believe in itself for
// long, and the others hold a lease that is short enough to be elected soon.
func (c *cluster) founderLeads(long, lease time.Duration) {
	c.tune = func(o *replica.Options) {
		o.Timings = replica.Timings{Heartbeat: long, Election: long, Lease: long}
		if o.Name != "r1" {
			o.Timings.Lease = lease
		}
	}
}

// TestAnAnswerFromBeforeConfirmsNothing: a voter answered its leader, and the
// answer is late. Meanwhile that voter helped to elect another leader, which
// commits. When the old answer comes in at last, behind a reader, it must not
// confirm the old leader: to Raft's VerifyLeader it would.
func TestAnAnswerFromBeforeConfirmsNothing(t *testing.T) {
	t.Parallel()
	again(t, func(t *testing.T, c *cluster) error {
		c.raft = newLinks(t)
		c.founderLeads(6*time.Second, 450*time.Millisecond)
		rs := c.startAll(3)
		old := rs[0]
		c.put(old, "before")
		if role := old.Self().Role; role != "leader" {
			return fmt.Errorf("the founder is a %s", role)
		}
		thaw := c.raft.freeze(c, old.api, rs[1].api)
		c.raft.isolate(old.api)
		if missed := c.writeWithout(old, 500*time.Millisecond); missed != nil {
			return missed
		}
		// A round of confirmation takes a second at most. So the one that the answer
		// comes into began for the readers below, after the write.
		time.AfterFunc(1200*time.Millisecond, thaw)
		c.refusesOldReads(old, 1800*time.Millisecond)
		return nil
	})
}

// writeWithout elects another leader and commits the pool "after" there, while
// the old one still believes that it leads; unless that was missed.
func (c *cluster) writeWithout(old *running, soon time.Duration) (missed error) {
	c.t.Helper()
	var others []*running
	for _, r := range c.running() {
		if r != old {
			others = append(others, r)
			hurry(c.t, r, soon)
		}
	}
	var leader *running
	c.eventually(20*time.Second, func() error {
		for _, r := range others {
			if r.Self().Role == "leader" {
				leader = r
				return nil
			}
		}
		return errors.New("nobody else leads")
	})
	c.put(leader, "after")
	if g := old.Self(); g.Role != "leader" {
		return fmt.Errorf("the old leader is a %s already: there were no two leaders", g.Role)
	}
	return nil
}

// refusesOldReads asks the old leader many times at once, and gives each time
// to be answered.
func (c *cluster) refusesOldReads(old *running, each time.Duration) {
	c.t.Helper()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			began := time.Now()
			view, _, err := old.Read(within(c.t, each), registry.ReadOptions{})
			if err == nil {
				if _, missing := view.Pool("after"); missing != nil {
					c.t.Error("a linearizable read of the deposed leader shows the old state")
				}
			}
			if err != nil && !errors.Is(err, registry.ErrUnavailable) || time.Since(began) > each+time.Second {
				c.t.Errorf("after %s: %v", time.Since(began), err)
			}
		})
	}
	wg.Wait()
}

// TestTheIndexIsTakenBeforeTheVotersAreAsked: a write that commits while they
// answer is not covered by their answers, so its index must not be what they
// confirm.
func TestTheIndexIsTakenBeforeTheVotersAreAsked(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, _ := c.leader()
	c.put(leader, "before")
	var once sync.Once
	var during registry.Index
	c.set(func() {
		c.asked = func() { once.Do(func() { during = c.put(leader, "during") }) }
	})
	index, err := leader.ReadIndex(within(t, 5*time.Second))
	if err != nil || during == 0 || index >= during {
		t.Errorf("confirmed index %d, the write during the question got %d: %v", index, during, err)
	}
	if index, err = leader.ReadIndex(within(t, 5*time.Second)); err != nil || index < during {
		t.Errorf("afterwards index %d was confirmed, want %d or more: %v", index, during, err)
	}
}

// TestReadsNeverGoBackwards over replicas, while leadership moves: each read
// begins after the one before, on another replica.
func TestReadsNeverGoBackwards(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	var last registry.Position
	for i := range 60 {
		if i%20 == 10 {
			leader, _ := c.leader()
			if err := leader.Raft().LeadershipTransfer().Error(); err != nil && !errors.Is(err, raft.ErrNotLeader) {
				t.Logf("transfer: %v", err)
			}
		}
		if i%3 == 0 {
			last.Index = max(last.Index, c.put(rs[i%2], registry.PoolName("p-"+decimal(registry.Index(i)))))
		}
		_, info, err := rs[i%3].Read(within(t, 10*time.Second), registry.ReadOptions{})
		if err != nil || info.Index < last.Index || info.Term < last.Term {
			t.Fatalf("read %d at %s: %+v, the one before had %+v: %v", i, rs[i%3].name, info.Position, last, err)
		}
		last = info.Position
	}
}

// TestAtLeastWaitsForItsIndex, and no longer than its deadline.
func TestAtLeastWaitsForItsIndex(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	at := c.put(rs[0], "seen")
	for _, r := range rs {
		if !c.shows(r, "seen", registry.ReadOptions{Consistency: registry.AtLeast, AtLeastIndex: at}) {
			t.Errorf("%s at index %d does not show what stands there", r.name, at)
		}
	}
	for _, consistency := range []registry.Consistency{registry.AtLeast, registry.Local, registry.Linearizable} {
		began, deadline := time.Now(), 200*time.Millisecond
		if consistency == registry.Linearizable {
			deadline = 2 * time.Second // its leader is confirmed first
		}
		_, _, err := rs[1].Read(within(t, deadline), registry.ReadOptions{Consistency: consistency, AtLeastIndex: at + 1000})
		if !errors.Is(err, registry.ErrDeadline) || time.Since(began) > deadline+2*time.Second {
			t.Errorf("consistency %d, after %s: %v, want deadline", consistency, time.Since(began), err)
		}
	}
}
