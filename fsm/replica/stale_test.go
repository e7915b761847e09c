package replica_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// TestNothingOutlivesASnapshotThatReplacesIt claims that what a leader had in its
// log alone when it was cut off is gone once it has caught up by a snapshot: when
// it leads again, it sends none of it to a replica that was away all the while.
func TestNothingOutlivesASnapshotThatReplacesIt(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.raft = newLinks(t)
	var applied atomic.Int32 // entries that only the leader had which was cut off
	c.tune = func(o *replica.Options) {
		o.Tamper(0, func(l *raft.Log) *raft.Log {
			if bytes.Contains(l.Data, []byte("phantom-")) {
				applied.Add(1)
			}
			return l
		})
		o.Timings = replica.Timings{Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond}
		if o.Name == "r1" { // it founds, so it leads, and goes on when it is cut off
			o.Timings = replica.Timings{Heartbeat: 5 * time.Second, Election: 5 * time.Second, Lease: 5 * time.Second}
		}
	}
	rs := c.startAll(5)
	old, away := rs[0], rs[4]
	c.put(old, "before")
	c.eventually(10*time.Second, func() error {
		if !c.shows(away, "before", registry.ReadOptions{Consistency: registry.Local}) {
			return fmt.Errorf("%s lacks what came before", away.name)
		}
		return nil
	})
	c.kill(away)
	c.raft.isolate(old.api)
	begins, term := old.Raft().LastIndex(), old.Raft().CurrentTerm()
	c.phantoms(old, 100)
	ends := old.Raft().LastIndex()
	if ends < begins+80 {
		t.Fatalf("only the entries %d to %d were to be lost: this shows nothing", begins, ends)
	}

	next := c.newLeader(old)
	for i := 0; next.Raft().LastIndex() < ends+10; i++ {
		c.put(next, registry.PoolName(fmt.Sprintf("after-%d", i)))
	}
	conf := next.Raft().ReloadableConfig()
	conf.TrailingLogs = 1
	if err := next.Raft().ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
	if err := next.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	c.raft.rejoin(old.api)
	c.eventually(20*time.Second, func() error {
		if at := old.Raft().AppliedIndex(); at < ends {
			return fmt.Errorf("%s has applied %d, and lost up to %d", old.name, at, ends)
		}
		return nil
	})
	c.eventually(20*time.Second, func() error {
		if old.Raft().State() == raft.Leader {
			return nil
		}
		return next.Raft().LeadershipTransferToServer(raft.ServerID(old.name), raft.ServerAddress(c.raft.between(next.api, old.api, old.Self().Replica.Raft))).Error()
	})

	left := 0
	for i := begins + 1; i <= ends; i++ {
		if l, err := old.LogAt(i); err == nil && l.Term == term {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%s still has %d entries that a snapshot has replaced", old.name, left)
	}
	list := make([]string, len(rs))
	for i, r := range rs {
		list[i] = r.api
	}
	away = c.start(away.name, away.api, list)
	c.ready(away)
	if !c.shows(away, "after-0", registry.ReadOptions{}) {
		t.Error("the replica that was away lacks what was committed")
	}
	if n := applied.Load(); n > 0 {
		t.Errorf("%d entries were applied that never were committed", n)
	}
}

// phantoms has a leader that nobody hears take commands, which only it will have.
func (c *cluster) phantoms(old *running, n int) {
	c.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			name := registry.PoolName(fmt.Sprintf("phantom-%d", i))
			_, _, err := old.Propose(within(c.t, time.Second), registry.RegisterPool{Spec: registry.Spec{Name: name, NodeType: registry.Worker}})
			if err == nil {
				c.t.Errorf("%s has committed %s alone", old.name, name)
			}
		})
	}
	all.Wait()
}

// newLeader waits until another replica leads.
func (c *cluster) newLeader(than *running) (leader *running) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		for _, r := range c.running() {
			if r != than && r.Self().Role == "leader" && r.Self().Ready {
				leader = r
				return nil
			}
		}
		return fmt.Errorf("nobody but %s leads", than.name)
	})
	return leader
}

// TestALogThatASnapshotReplacedIsGoneAtTheStart claims the same of a crash between
// the snapshot and the removal of the log whose place it takes.
func TestALogThatASnapshotReplacedIsGoneAtTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	crash := errors.New("power is gone")
	var crashes atomic.Value // whose
	crashes.Store(registry.ReplicaName(""))
	c.tune = func(o *replica.Options) {
		endsProcess(o)
		name := o.Name
		o.FailStore(func(call string) error {
			if call == "DeleteRange" && crashes.Load() == name {
				return crash
			}
			return nil
		}, 0)
	}
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	leader, others := c.leader()
	late := others[0]
	c.put(leader, "before")
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
	crashes.Store(late.name)
	late = c.start(late.name, late.api, list)
	if err := c.haltOf(late); !errors.Is(err, crash) {
		t.Fatalf("halted with %v", err)
	}
	c.kill(late)
	if first := firstOf(t, late.dir); first != 1 {
		t.Fatalf("the log begins at %d: there is nothing to be removed", first)
	}
	crashes.Store(registry.ReplicaName(""))
	late, err := c.open(late.name, late.api, list)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := late.LogAt(2); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("index 2 is still there, of term %d: %v", l.Term, err)
	}
	late.Start()
	c.ready(late)
	if !c.shows(late, "p9", registry.ReadOptions{}) {
		t.Error("what was committed is lost")
	}
}
