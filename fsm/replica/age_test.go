package replica_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// agesFrom wants a local read of a replica to say that its state is no younger than
// that time.
func agesFrom(r *running, then time.Time) error {
	since := time.Since(then)
	_, info, err := r.Read(context.Background(), registry.ReadOptions{Consistency: registry.Local})
	if age := time.Duration(info.Age) * time.Millisecond; err == nil && age < since.Truncate(time.Millisecond) {
		return fmt.Errorf("%s says that its state is %s old, and it lacks a write of %s ago", r.name, age, since)
	}
	return err
}

// TestAnOldSnapshotsAgeIsNotKnown: it was taken after a write that it lacks, for the
// replica was cut off. Come up with it, alone, it does not say how old it is.
func TestAnOldSnapshotsAgeIsNotKnown(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.raft = newLinks(t)
	rs := c.startAll(3)
	leader, others := c.leader()
	behind := others[0]
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	c.put(leader, "before")
	c.eventually(10*time.Second, func() error {
		return atLeast(int(behind.Self().Applied), int(leader.Self().Applied))
	})
	c.raft.isolate(behind.api)
	c.put(leader, "after")
	wrote := time.Now()
	c.pass(leader) // so that the snapshot is taken a while later
	if err := behind.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		c.kill(r)
	}
	behind = c.start(behind.name, behind.api, list)
	c.eventually(10*time.Second, func() error { return agesFrom(behind, wrote) }) // once it has read its snapshot
}

// acked is a write and when it was acknowledged.
type acked struct {
	at    time.Time
	index registry.Index
}

// TestAReplicaThatLagsSaysSo: its disk takes so long for each append that it is a
// while behind the leader, whose heartbeats it hears in between. A local read there
// lacks nothing that was acknowledged longer ago than the age that it says.
func TestAReplicaThatLagsSaysSo(t *testing.T) {
	t.Parallel()
	const slow = 600 * time.Millisecond
	c := newCluster(t)
	var lags atomic.Bool
	c.tune = func(o *replica.Options) {
		if o.Name == "r3" {
			o.FailStore(func(call string) error {
				if call == "StoreLogs" && lags.Load() {
					<-time.After(slow) // the disk takes it
				}
				return nil
			}, 0)
		}
		calm(o)
	}
	rs := c.startAll(3)
	leader, _ := c.leader()
	if leader == rs[2] {
		t.Fatal("the one whose disk is to be slow leads")
	}
	lags.Store(true)
	var mu sync.Mutex
	var done []acked
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := make(chan struct{})
	defer close(stop)
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			at := c.put(leader, registry.PoolName(fmt.Sprintf("p%d", i%500)))
			mu.Lock()
			done = append(done, acked{time.Now(), at})
			mu.Unlock()
		}
	})
	behind := 0
	c.holds(4*time.Second, func() error {
		began := time.Now()
		_, info, err := rs[2].Read(t.Context(), registry.ReadOptions{Consistency: registry.Local})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, w := range done {
			if w.index <= info.Index {
				continue
			}
			behind++
			lacks := began.Sub(w.at)
			if age := time.Duration(info.Age+1) * time.Millisecond; lacks > age {
				return fmt.Errorf("%s says that its state is %s old, and it lacks what was acknowledged %s ago", rs[2].name, age, lacks)
			}
			break
		}
		return nil
	})
	if behind == 0 {
		t.Error("it was never behind")
	}
	lags.Store(false)
	c.eventually(20*time.Second, func() error {
		_, info, err := rs[2].Read(t.Context(), registry.ReadOptions{Consistency: registry.Local})
		if age := time.Duration(info.Age) * time.Millisecond; err == nil && age > 2*time.Second {
			return fmt.Errorf("its disk is well, and it says that its state is %s old", age)
		}
		return err
	})
}
