package replica_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/registry"
)

// viewer watches the pool worker at one replica and applies what it is told.
type viewer struct {
	at   *running
	told chan struct{} // closed when an event had the index that it waits for
	done chan error    // what the watch ended with

	mu      sync.Mutex
	pool    registry.PoolInfo
	changes []registry.PoolChange
	wholes  int
	index   registry.Index
	until   registry.Index
}

// look begins to watch, from what somebody has; an empty pool is nothing.
func look(ctx context.Context, at *running, has registry.PoolInfo) *viewer {
	v := &viewer{at: at, done: make(chan error, 1), pool: has}
	go func() {
		for e, err := range at.Watch(ctx, "worker", has.Epoch) {
			if err == nil {
				err = v.apply(e)
			}
			if err != nil {
				v.done <- err
				return
			}
		}
	}()
	return v
}

func (v *viewer) apply(e registry.PoolEvent) (err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case e.Pool != nil:
		v.pool = *e.Pool
		v.wholes++
	case e.Change != nil:
		v.changes = append(v.changes, *e.Change)
		v.pool, err = e.Change.Apply(v.pool)
	}
	v.index = e.Index
	if v.told != nil && v.index >= v.until {
		close(v.told)
		v.told = nil
	}
	return err
}

// heard waits until the viewer has everything up to an index, and gives what
// it has.
func (v *viewer) heard(t testing.TB, index registry.Index) (pool registry.PoolInfo, changes []registry.PoolChange, wholes int) {
	t.Helper()
	told := make(chan struct{})
	v.mu.Lock()
	v.until, v.told = index, told
	if v.index >= index {
		close(told)
		v.told = nil
	}
	v.mu.Unlock()
	select {
	case <-told:
	case err := <-v.done:
		t.Fatalf("the watch at %s ended: %v", v.at.name, err)
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not tell of index %d", v.at.name, index)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pool, v.changes, v.wholes
}

// do commits a command somewhere, and gives where it stands. Whatever an
// election leaves unknown is done again: the commands here are idempotent.
func (c *cluster) do(r *running, cmd registry.Command) registry.Index {
	c.t.Helper()
	ctx := within(c.t, 20*time.Second)
	for {
		_, at, err := r.Propose(ctx, cmd)
		if err == nil {
			return at.Index
		}
		if !errors.Is(err, registry.ErrOutcomeUnknown) || ctx.Err() != nil {
			c.t.Fatalf("%T at %s: %v", cmd, r.name, err)
		}
	}
}

// worker is a static node, which stays though nobody plays it.
func worker(i int) registry.AddNode {
	return registry.AddNode{Name: registry.NodeName(fmt.Sprintf("w-%03d", i)), Type: registry.Worker}
}

func joined(i int) registry.JoinNode {
	return registry.JoinNode{
		Name: registry.NodeName(fmt.Sprintf("w-%03d", i)), Type: registry.Worker, Address: "127.0.0.1:1",
		Boot: registry.BootID(strings.Repeat("1", registry.BootIDLen)), By: "test",
	}
}

// TestEveryReplicaTellsTheSame while nodes come, drain and go, and the leader
// changes.
func TestEveryReplicaTellsTheSame(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := c.do(rs[0], registry.RegisterPool{Spec: registry.Spec{Name: "worker", NodeType: registry.Worker}})
	var viewers []*viewer
	for _, r := range rs {
		v := look(ctx, r, registry.PoolInfo{})
		v.heard(t, start)
		viewers = append(viewers, v)
	}
	var last registry.Index
	for i := range 30 {
		r := rs[i%3]
		c.do(r, joined(i))
		c.do(r, registry.DrainNode{Name: joined(i / 2).Name, Draining: i%3 == 0})
		if i%4 == 0 {
			c.do(r, registry.LeaveNode{Name: joined(i).Name, Boot: joined(i).Boot})
		}
		last = c.do(rs[(i+1)%3], registry.RegisterPool{Replace: true, Spec: registry.Spec{Name: "worker", NodeType: registry.Worker}})
		if i%10 == 5 {
			leader, _ := c.leader()
			leader.Raft().LeadershipTransfer() // whether it takes place or not
		}
	}
	var first []registry.PoolChange
	for i, v := range viewers {
		_, changes, wholes := v.heard(t, last)
		if wholes != 1 || len(changes) < 30 {
			t.Errorf("%s told %d changes, and %d times the whole", v.at.name, len(changes), wholes)
		}
		for len(changes) > 0 && changes[len(changes)-1].Pool.Epoch > registry.Epoch(last) {
			changes = changes[:len(changes)-1] // of what the reconciler did since
		}
		if i == 0 {
			first = changes
		}
		if diff := cmp.Diff(first, changes); diff != "" {
			t.Errorf("%s tells another story than %s (-first +this):\n%s", v.at.name, viewers[0].at.name, diff)
		}
	}
	for _, v := range viewers {
		c.eventually(10*time.Second, func() error {
			view, info, err := v.at.Read(within(t, 5*time.Second), registry.ReadOptions{})
			if err != nil {
				return err
			}
			want, err := view.Pool("worker")
			if got, _, _ := v.heard(t, info.Index); err != nil || !cmp.Equal(want, got) { // It may have moved on.
				return fmt.Errorf("%s: %v (-want +got):\n%s", v.at.name, err, cmp.Diff(want, got))
			}
			return nil
		})
	}
}

// TestWatchingGoesOnElsewhere: the others know the changes when they were
// watched, too, and else give the whole pool.
func TestWatchingGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	c.do(rs[0], worker(0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	here, there := look(ctx, rs[0], registry.PoolInfo{}), look(ctx, rs[1], registry.PoolInfo{})
	at := c.do(rs[0], worker(1))
	has, _, _ := here.heard(t, at)
	there.heard(t, at)

	at = c.do(rs[2], worker(2))
	c.do(rs[2], worker(3))
	moved := look(ctx, rs[1], has)
	at = max(at, c.do(rs[1], worker(4)))
	pool, changes, wholes := moved.heard(t, at)
	if wholes != 0 || len(changes) != 3 || len(pool.Members) != 5 {
		t.Errorf("%d changes and %d times the whole make %+v", len(changes), wholes, pool)
	}
	if _, _, err := rs[2].Read(within(t, 10*time.Second), registry.ReadOptions{Consistency: registry.AtLeast, AtLeastIndex: at}); err != nil {
		t.Fatal(err) // it would be told what it has not applied yet as a change
	}
	elsewhere := look(ctx, rs[2], has)
	pool, changes, wholes = elsewhere.heard(t, at)
	if wholes != 1 || len(changes) != 0 || len(pool.Members) != 5 {
		t.Errorf("where nobody watched: %d changes and %d times the whole make %+v", len(changes), wholes, pool)
	}
	again := look(ctx, rs[2], pool)
	if _, changes, wholes = again.heard(t, at); wholes != 0 || len(changes) != 0 {
		t.Errorf("with all there is: %d changes, %d times the whole", len(changes), wholes)
	}
}

// ends gives what a watch ends with, and wants that soon.
func ends(t testing.TB, v *viewer) error {
	t.Helper()
	select {
	case err := <-v.done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("the watch at %s goes on", v.at.name)
		return nil
	}
}

// TestWatchingEndsForAReason that says what to do.
func TestWatchingEndsForAReason(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(1)
	r := rs[0]
	wants := func(v *viewer, want error) {
		t.Helper()
		if err := ends(t, v); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	for _, err := range r.Watch(t.Context(), "nothing", 0) {
		if !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("no such pool: %v", err)
		}
	}
	wants(look(within(t, 50*time.Millisecond), r, registry.PoolInfo{Epoch: 1 << 40}), registry.ErrDeadline)
	wants(look(within(t, 50*time.Millisecond), r, registry.PoolInfo{}), context.DeadlineExceeded)

	ahead := look(t.Context(), r, registry.PoolInfo{Epoch: registry.Epoch(r.Self().Applied + 1)})
	c.do(r, worker(0)) // It waited for just that.
	c.eventually(5*time.Second, func() error {
		if r.Watchers() != 1 {
			return fmt.Errorf("%d watch", r.Watchers())
		}
		return nil
	})
	waits := look(t.Context(), r, registry.PoolInfo{Epoch: 1 << 40})
	r.StepDown(t.Context())
	wants(ahead, registry.ErrUnavailable)
	wants(look(t.Context(), r, registry.PoolInfo{}), registry.ErrUnavailable)
	c.kill(r)
	wants(waits, registry.ErrDeadline)
	wants(look(t.Context(), r, registry.PoolInfo{}), registry.ErrUnavailable)

	empty, err := c.open("r9", freePort(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	wants(look(t.Context(), empty, registry.PoolInfo{}), registry.ErrUnavailable)
}

// crowdOf lets n watch at a replica, of whom one in ten never takes anything
// but the first event. It ends with ctx.
func crowdOf(ctx context.Context, t testing.TB, n int, at *running) (readers []*viewer) {
	for i := range n {
		if i%10 != 0 {
			readers = append(readers, look(ctx, at, registry.PoolInfo{}))
			continue
		}
		go func() {
			for range at.Watch(ctx, "worker", 0) {
				<-ctx.Done()
			}
		}()
	}
	for _, v := range readers {
		v.heard(t, 1)
	}
	return readers
}

// TestAThousandWatchers: all who read hear of all, though some do not read.
func TestAThousandWatchers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	leader, _ := c.leader()
	c.do(leader, worker(0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	readers := crowdOf(ctx, t, 1_000, leader)
	var last registry.Index
	for i := range 100 {
		last = c.do(rs[i%3], worker(1+i))
	}
	for _, v := range readers {
		pool, changes, wholes := v.heard(t, last)
		if len(pool.Members) != 101 || wholes != 1 || len(changes) < 99 {
			t.Fatalf("%d members, after %d changes and %d times the whole", len(pool.Members), len(changes), wholes)
		}
	}
	if n := leader.Watchers(); n != 1_000 {
		t.Errorf("%d watch", n)
	}
}

// BenchmarkProposeWatched: what watchers of the pool that changes cost a lone
// writer at a cluster of one. They only look at what they are told.
func BenchmarkProposeWatched(b *testing.B) {
	for _, n := range []int{0, 1, 100, 1_000} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			c := newCluster(b)
			r := c.startAll(1)[0]
			c.do(r, worker(0))
			ctx, cancel := context.WithCancel(b.Context())
			var watching sync.WaitGroup
			for range n {
				watching.Go(func() {
					for range r.Watch(ctx, "worker", 0) {
					}
				})
			}
			c.eventually(5*time.Second, func() error {
				if got := r.Watchers(); got != n {
					return fmt.Errorf("%d watch", got)
				}
				return nil
			})
			for most := uint32(0); b.Loop(); most = 1 - most {
				c.do(r, registry.RegisterPool{Replace: true, Spec: registry.Spec{Name: "worker", NodeType: registry.Worker, MaxNodes: &most}})
			}
			b.StopTimer()
			cancel()
			watching.Wait()
		})
	}
}
