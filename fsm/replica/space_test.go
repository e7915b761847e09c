package replica_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

const mib = 1 << 20

// rooms gives each replica that is started from now on a terabyte that others
// fill.
func (c *cluster) rooms() map[registry.ReplicaName]*atomic.Uint64 {
	free := map[registry.ReplicaName]*atomic.Uint64{"r1": {}, "r2": {}, "r3": {}}
	for _, f := range free {
		f.Store(1 << 39)
	}
	c.tune = func(o *replica.Options) {
		o.FreeSpace(func(string) (uint64, uint64) { return free[o.Name].Load(), 1 << 40 })
	}
	return free
}

func (c *cluster) short(r *running) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		if g := r.Self(); g.Ready || !strings.Contains(g.NotReadyReason, r.dir) || !strings.Contains(g.NotReadyReason, "free") {
			return fmt.Errorf("%s is ready %t: %q", r.name, g.Ready, g.NotReadyReason)
		}
		return nil
	})
}

// TestALeaderShortOfSpaceHandsOver to one that has room, reads on and is ready
// again by itself.
func TestALeaderShortOfSpaceHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	free := c.rooms()
	c.startAll(3)
	old, others := c.leader()
	c.put(old, "before")
	full, roomy := others[0], others[1]
	free[full.name].Store(63 * mib)
	c.short(full)
	free[old.name].Store(10 * mib)
	c.short(old)
	c.eventually(20*time.Second, func() error {
		if g := roomy.Self(); g.Role != "leader" || !g.Ready {
			return fmt.Errorf("%s, who has room, is %s", roomy.name, g.Role)
		}
		return nil
	})
	for _, r := range []*running{old, full, roomy} {
		c.put(r, registry.PoolName("by-"+r.name))
		if !c.shows(r, "before", registry.ReadOptions{}) {
			t.Errorf("%s does not read", r.name)
		}
	}
	free[old.name].Store(70 * mib)
	c.holds(3*time.Second, func() error {
		if old.Self().Ready {
			return errors.New("ready again with hardly more than it needs")
		}
		return nil
	})
	free[old.name].Store(80 * mib)
	c.ready(old)
}

// TestADiskThatHangsIsHandedNothing: a leader that is short of room looks for one that
// is not, and the only one says that it is ready, while its disk hangs and it answers no
// heartbeat. Writes go on: Raft takes none while it hands leadership over, and is stuck
// with the second try to one that it does not reach.
func TestADiskThatHangsIsHandedNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	free := c.rooms()
	hangs, heals := map[registry.ReplicaName]*atomic.Bool{"r1": {}, "r2": {}, "r3": {}}, make(chan struct{})
	t.Cleanup(func() { close(heals) })
	roomy := c.tune
	c.tune = func(o *replica.Options) {
		roomy(o)
		hung := hangs[o.Name]
		o.FailStore(func(call string) error {
			if call == "StoreLogs" && hung.Load() {
				<-heals
			}
			return nil
		}, 0)
	}
	c.startAll(3)
	leader, others := c.leader()
	hangs[others[0].name].Store(true)
	wrote := time.Now()
	writes := func() error {
		c.put(leader, "on")
		if gap := time.Since(wrote); gap > 4*time.Second { // a busy machine may miss a lease
			return fmt.Errorf("no write for %s", gap)
		}
		wrote = time.Now()
		return nil
	}
	c.holds(time.Second, writes) // the heartbeats get no answer any more
	for _, r := range []*running{others[1], leader} {
		free[r.name].Store(10 * mib)
		c.short(r)
	}
	wrote = time.Now()
	c.holds(12*time.Second, writes) // two tries, and what comes of them
	if g := others[0].Self(); !g.Ready || g.Role != "follower" {
		t.Errorf("the one whose disk hangs is %s, ready %t: this shows nothing", g.Role, g.Ready)
	}
}

// TestAllShortOfSpace: nobody can take over, and the leader goes on.
func TestAllShortOfSpace(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	free := c.rooms()
	c.startAll(3)
	leader, others := c.leader()
	for _, r := range append(slices.Clone(others), leader) { // the leader last, or it finds one that has room
		free[r.name].Store(mib)
		c.short(r)
	}
	term := leader.Self().Term
	c.holds(7*time.Second, func() error {
		if g := leader.Self(); g.Role != "leader" || g.Term != term {
			return fmt.Errorf("%s, who led in term %d, is %s in term %d", leader.name, term, g.Role, g.Term)
		}
		return nil
	})
	c.put(others[0], "on")
}

// TestAStartWithoutSpace: too little room is said, and no reason not to start;
// a disk that takes nothing is one.
func TestAStartWithoutSpace(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	free := c.rooms()
	free["r1"].Store(mib)
	api := freePort(t)
	r := c.start("r1", api, nil)
	c.short(r)
	free["r1"].Store(1 << 39)
	c.ready(r)
	c.kill(r)
	full := errors.New("no space left on device")
	c.tune = func(o *replica.Options) {
		o.FailStore(func(string) error { return full }, 0)
	}
	_, err := c.tryStart("r1", api, nil)
	if !errors.Is(err, full) || !strings.Contains(err.Error(), r.dir) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("a start on a full disk: %v", err)
	}
}

// TestAStopHandsOverToOneThatHasRoom: the voter that Raft would choose, the first of
// those that have the whole log, is short of space; a planned stop of the leader does
// not make it the next one.
func TestAStopHandsOverToOneThatHasRoom(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	free := c.rooms()
	c.startAll(3)
	old, others := c.leader()
	full, roomy := others[0], others[1]
	free[full.name].Store(10 * mib)
	c.short(full)
	c.eventually(20*time.Second, func() error {
		if old.HasHeard(full.name) || !old.HasHeard(roomy.name) {
			return fmt.Errorf("%s has not heard that %s is short of space", old.name, full.name)
		}
		return nil
	})
	began := time.Now()
	old.StepDown(within(t, 5*time.Second))
	t.Logf("it was handed over after %s", time.Since(began))
	c.eventually(5*time.Second, func() error {
		for _, r := range others {
			if r.Self().Role == "leader" {
				if r == full {
					t.Fatalf("%s leads, and is short of space", full.name)
				}
				return nil
			}
		}
		return errors.New("nobody leads")
	})
}
