package replica_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestAllComeBack: all three stopped without a word to each other; they come
// back on the same addresses, then on new ones, and have lost nothing.
func TestAllComeBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	id := rs[0].Self().ClusterID
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	for life, again := range [][]string{list, addresses(t, 3), addresses(t, 3)} {
		pool := registry.PoolName(fmt.Sprintf("life-%d", life))
		at := c.put(rs[life%3], pool)
		for _, r := range rs {
			c.kill(r)
		}
		for i := range rs {
			rs[i] = c.start(rs[i].name, again[i], again)
		}
		for _, r := range rs {
			c.ready(r)
			if g := r.Self(); g.ClusterID != id || len(g.Roster) != 3 || g.Applied < at || !g.Voter {
				t.Errorf("life %d of %s: %+v", life, r.name, g)
			}
			if !c.shows(r, pool, registry.ReadOptions{}) {
				t.Errorf("life %d: %s has lost %s", life, r.name, pool)
			}
		}
	}
	c.commitsAddresses(rs)
}

// commitsAddresses waits until every replica's state has the addresses at
// which the replicas are.
func (c *cluster) commitsAddresses(rs []*running) {
	c.t.Helper()
	c.eventually(10*time.Second, func() error {
		for _, r := range rs {
			for i, known := range r.Self().Roster {
				if is := rs[i].Self().Replica; known != is {
					return fmt.Errorf("%s knows %+v, it is %+v", r.name, known, is)
				}
			}
		}
		return nil
	})
}

// TestOneComesBackOnNewAddresses with the old list, in which it no longer is:
// it tells the others where it is, and they commit it.
func TestOneComesBackOnNewAddresses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	_, others := c.leader()
	gone := others[0]
	c.kill(gone)
	others[0] = c.start(gone.name, freePort(t), list)
	c.ready(others[0])
	for i, r := range rs {
		if r == gone {
			rs[i] = others[0]
		}
	}
	c.commitsAddresses(rs)
	for _, r := range rs {
		if c.put(r, registry.PoolName("by-"+r.name)); !c.shows(others[0], registry.PoolName("by-"+r.name), registry.ReadOptions{}) {
			t.Errorf("%s does not show what %s wrote", others[0].name, r.name)
		}
	}
}

// TestTheLeadersDeathCostsAnElection and no more: at each of the others writes
// and reads go on within 5 s, and the dead one catches up when it is back.
func TestTheLeadersDeathCostsAnElection(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	leader, others := c.leader()
	c.put(others[0], "before")
	c.kill(leader)
	began := time.Now()
	for _, r := range others {
		c.put(r, registry.PoolName("by-"+r.name))
		if !c.shows(r, "before", registry.ReadOptions{}) {
			t.Errorf("%s has lost what was acknowledged", r.name)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("writes and reads on both took %s, want 5 s at most", took)
	}
	back := c.start(leader.name, leader.api, list)
	c.ready(back)
	for _, r := range others {
		if !c.shows(back, registry.PoolName("by-"+r.name), registry.ReadOptions{}) {
			t.Errorf("the returned %s does not show what %s wrote", back.name, r.name)
		}
	}
	for _, g := range back.Status(within(t, 5*time.Second)).Replicas {
		if !g.Voter || g.Role == "unreachable" {
			t.Errorf("status shows %s as %s, voter %v", g.Name, g.Role, g.Voter)
		}
	}
}

// TestASnapshotCarriesAFollowerThatMissedTheLog: the leader has thrown the
// entries away that it lacks, so the state comes as a snapshot; and a restart
// from the snapshot alone gives the same state.
func TestASnapshotCarriesAFollowerThatMissedTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	leader, others := c.leader()
	late := others[0]
	c.kill(late)
	conf := leader.Raft().ReloadableConfig()
	conf.TrailingLogs = 1
	if err := leader.Raft().ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		c.put(leader, registry.PoolName(fmt.Sprintf("p%d", i)))
	}
	if err := leader.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // from the leader, then from its own disk
		late = c.start(late.name, late.api, list)
		c.ready(late)
		for i := range 10 {
			if name := registry.PoolName(fmt.Sprintf("p%d", i)); !c.shows(late, name, registry.ReadOptions{}) {
				t.Errorf("%s lacks %s", late.name, name)
			}
		}
		if stats := late.Raft().Stats(); stats["last_snapshot_index"] == "0" {
			t.Error("no snapshot came: this shows nothing")
		}
		c.kill(late)
	}
}
