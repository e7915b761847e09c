package replica

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// watchBubble is a machine and its watches in virtual time. Whatever goroutine
// they leave behind fails the test.
type watchBubble struct {
	t       *testing.T
	machine *fsm.Machine
	watches *watches
	wg      sync.WaitGroup
	index   uint64
	age     atomic.Int64 // ms
}

func inBubble(t *testing.T, test func(t *testing.T, b *watchBubble, stop func())) {
	bubble(t, func(t *testing.T) {
		life, stop := context.WithCancel(t.Context())
		b := &watchBubble{t: t, machine: fsm.NewMachine(func(err error) { t.Error(err) })}
		spawn := func(f func()) bool {
			if life.Err() != nil {
				return false
			}
			b.wg.Go(f)
			return true
		}
		b.watches = newWatches(life, spawn, b.machine, func() registry.Millis { return registry.Millis(b.age.Load()) })
		b.apply(joins("w-1"))
		test(t, b, stop)
		stop()
		b.watches.close()
		b.wg.Wait()
	})
}

// apply commits commands in one batch.
func (b *watchBubble) apply(cmds ...registry.Command) {
	b.t.Helper()
	var entries []*raft.Log
	for _, cmd := range cmds {
		b.index++
		data, err := fsm.EncodeEntry(fsm.Entry{Command: cmd})
		if err != nil {
			b.t.Fatal(err)
		}
		entries = append(entries, &raft.Log{Index: b.index, Term: 1, Type: raft.LogCommand, Data: data})
	}
	b.machine.ApplyBatch(entries)
}

// come watches the pool worker, and gives how to get its next event.
func (b *watchBubble) come(ctx context.Context, after registry.Epoch) (next func() (registry.PoolEvent, error), leave func()) {
	seq := func(yield func(registry.PoolEvent, error) bool) {
		if err := b.watches.watch(ctx, "worker", after, func(e registry.PoolEvent) bool { return yield(e, nil) }); err != nil {
			yield(registry.PoolEvent{}, err)
		}
	}
	pull, leave := iter.Pull2(seq)
	return func() (registry.PoolEvent, error) {
		e, err, ok := pull()
		if !ok {
			b.t.Error("the watch ended without an error")
		}
		return e, err
	}, leave
}

// expect wants the next event to have an index, a change or none, and an age.
func (b *watchBubble) expect(next func() (registry.PoolEvent, error), index registry.Index, change bool, age registry.Millis) {
	b.t.Helper()
	e, err := next()
	if err != nil || e.Index != index || (e.Change != nil) != change || e.Age != age {
		b.t.Errorf("%+v, %v; want index %d, change %t, age %d", e, err, index, change, age)
	}
}

// TestAReplicaThatStopsAppliesOn: a stop sends the watchers away, and drains for a
// while, in which pools change; then there is nothing to follow any more, and the
// pump has ended before the replica does.
func TestAReplicaThatStopsAppliesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *watchBubble, stop func()) {
		next, leave := b.come(t.Context(), 0)
		defer leave()
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
		b.watches.close()
		for i := range 3 {
			b.apply(joins(registry.NodeName(fmt.Sprintf("w-%d", i+2))))
			synctest.Wait()
		}
		if b.watches.follower != nil {
			t.Error("a replica without watchers, that takes no new ones, follows its machine")
		}
		stop()
		b.wg.Wait()
	})
}

// TestWatcherHearsEverySecond that all is as it was, and of each change at once,
// also of those within one batch.
func TestWatcherHearsEverySecond(t *testing.T) {
	inBubble(t, func(t *testing.T, b *watchBubble, _ func()) {
		next, leave := b.come(t.Context(), 0)
		defer leave()
		if e, err := next(); err != nil || e.Pool == nil || e.Pool.Epoch != 1 {
			t.Fatalf("first: %+v, %v", e, err)
		}
		began := time.Now()
		b.age.Store(7)
		b.apply(registry.TermStart{Leader: "r1"})
		b.expect(next, 2, false, 7)
		b.expect(next, 2, false, 7)
		if took := time.Since(began); took != 2*beatEvery {
			t.Errorf("two signs of life took %s", took)
		}
		b.apply(joins("w-2"), joins("w-3"), registry.ForgetNode{Name: "w-3"})
		for index := registry.Index(3); index <= 5; index++ {
			b.expect(next, index, true, 7)
		}
		if took := time.Since(began); took != 2*beatEvery {
			t.Errorf("the changes came after %s", took-2*beatEvery)
		}
		time.Sleep(10*beatEvery + beatEvery/2)
		b.expect(next, 5, false, 507)
		b.expect(next, 5, false, 7) // one sign only is owed to whoever is slow
	})
}

// TestNothingIsFollowedInVain: some minutes after the last watcher has left.
func TestNothingIsFollowedInVain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *watchBubble, _ func()) {
		_, leave := b.come(t.Context(), 0)
		next, leaveToo := b.come(t.Context(), 1)
		b.expect(next, 1, false, 0)
		leaveToo()
		leave() // It took nothing at all.
		time.Sleep(followedFor - beatEvery)
		b.apply(joins("w-2"))
		next, leave = b.come(t.Context(), 1)
		b.expect(next, 2, true, 0)
		leave()
		time.Sleep(followedFor + beatEvery)
		synctest.Wait()
		b.wg.Wait() // The pump has ended by itself.
		if b.watches.follower != nil || b.watches.count() != 0 {
			t.Error("it still follows")
		}
		b.apply(joins("w-3"))
		next, leave = b.come(t.Context(), 3)
		defer leave()
		b.expect(next, 3, false, 0)
	})
}

// TestWatchingEnds with the replica, at once, for those who wait and those who
// come.
func TestWatchingEnds(t *testing.T) {
	for name, end := range map[string]func(b *watchBubble, stop func()){
		"step-down": func(b *watchBubble, _ func()) { b.watches.close() },
		"close": func(b *watchBubble, stop func()) {
			stop()
			b.watches.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *watchBubble, stop func()) {
				next, leave := b.come(t.Context(), 1)
				defer leave()
				b.expect(next, 1, false, 0)
				began := time.Now()
				go end(b, stop)
				if _, err := next(); !errors.Is(err, registry.ErrUnavailable) || time.Since(began) != 0 {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				late, leaveToo := b.come(t.Context(), 0)
				defer leaveToo()
				if _, err := late(); !errors.Is(err, registry.ErrUnavailable) {
					t.Errorf("who comes later: %v", err)
				}
			})
		})
	}
}

// TestWatcherIsCancelled while it waits, and while there is something for it.
func TestWatcherIsCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *watchBubble, _ func()) {
		ctx, cancel := context.WithTimeout(t.Context(), beatEvery/2)
		defer cancel()
		next, leave := b.come(ctx, 1)
		defer leave()
		b.expect(next, 1, false, 0)
		if _, err := next(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
		late, leaveToo := b.come(ctx, 0)
		defer leaveToo()
		if _, err := late(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
		if n := b.watches.count(); n != 0 {
			t.Errorf("%d watchers are left", n)
		}
	})
}

// TestWatchersCostNobodyTime: those who take nothing hold up neither the
// machine nor each other, and are told the whole when they do.
func TestWatchersCostNobodyTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *watchBubble, _ func()) {
		var asleep, awake []func() (registry.PoolEvent, error)
		for i := range registry.WatchersMax {
			next, leave := b.come(t.Context(), 0)
			defer leave()
			if e, err := next(); err != nil || e.Pool == nil {
				t.Fatalf("%+v, %v", e, err)
			}
			if i%2 == 0 {
				asleep = append(asleep, next)
			} else {
				awake = append(awake, next)
			}
		}
		if full, leave := b.come(t.Context(), 0); true {
			if _, err := full(); !errors.Is(err, registry.ErrOverloaded) {
				t.Errorf("one more than may be: %v", err)
			}
			leave()
		}
		b.watches.mu.Lock()
		b.watches.mu.hub.changesMax = 40
		b.watches.mu.Unlock()
		for i := range 50 {
			b.apply(joins(registry.NodeName(fmt.Sprintf("n-%d", i))))
			synctest.Wait()
			for _, next := range awake[:8] {
				b.expect(next, registry.Index(b.index), true, 0)
			}
		}
		for _, next := range append(awake[8:], asleep...) {
			if e, err := next(); err != nil || e.Pool == nil || !e.Reset || len(e.Pool.Members) != 51 {
				t.Fatalf("%+v, %v; want a reset", e, err)
			}
		}
	})
}
