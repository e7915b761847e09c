package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// configuration is an entry that changes Raft's configuration, as it comes to
// ApplyBatch.
func configuration(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogConfiguration, Data: []byte("not ours to read")}
}

// TestOutcomes: the response to a command is its outcome with its own position;
// a refusal is an outcome too, and the position moves over it.
func TestOutcomes(t *testing.T) {
	m := newMachine(t)
	responses := m.ApplyBatch([]*raft.Log{
		entry(t, 7, fsm.Entry{Command: registry.AddNode{Name: "proxy-1", Type: "proxy"}}),
		configuration(8),
		entry(t, 9, fsm.Entry{Command: registry.AddNode{Name: "proxy-1", Type: "worker"}}),
	})
	added, refused := responses[0].(*fsm.Outcome), responses[2].(*fsm.Outcome)
	if added.Err != nil || !added.Result.Changed || added.At != (registry.Position{Index: 7, Term: 1}) {
		t.Errorf("the first: %+v", added)
	}
	if responses[1] != nil {
		t.Errorf("the configuration: %+v", responses[1])
	}
	if refused.Err == nil || refused.Err.Code != registry.Conflict || refused.At.Index != 9 {
		t.Errorf("the second, of another type: %+v", refused)
	}
	if at := m.At(); at.Index != 9 {
		t.Errorf("the machine stands at %+v, want 9", at)
	}
	if o := m.Apply(entry(t, 10, fsm.Entry{Command: registry.TermStart{Leader: "r1"}})).(*fsm.Outcome); o.At.Index != 10 || m.At().Index != 10 {
		t.Errorf("one entry alone: %+v, the machine at %+v", o, m.At())
	}
}

// TestHalts: an entry that cannot be decoded stops the replica, by name of
// index and term, and nothing of its batch is applied: not even what stood
// before it. A halt that returns is not survived either.
func TestHalts(t *testing.T) {
	good := entry(t, 41, fsm.Entry{Command: registry.AddNode{Name: "proxy-1", Type: "proxy"}})
	flipped := *entry(t, 42, fsm.Entry{Command: registry.AddNode{Name: "proxy-2", Type: "proxy"}})
	flipped.Data[5] ^= 4
	for name, bad := range map[string]*raft.Log{
		"flipped": &flipped,
		"empty":   {Index: 42, Term: 5, Type: raft.LogCommand},
		"newer":   {Index: 42, Term: 5, Type: raft.LogCommand, Data: sealed([]byte{1, 99, 0, 0})},
	} {
		t.Run(name, func(t *testing.T) {
			var halts []error
			m := fsm.NewMachine(func(err error) { halts = append(halts, err) })
			before := bytesOf(t, m)
			panicked := panics(func() { m.ApplyBatch([]*raft.Log{good, bad}) })
			if len(halts) != 1 || !strings.Contains(halts[0].Error(), fmt.Sprintf("log entry 42 of term %d", bad.Term)) {
				t.Errorf("halted with %q, want once and with index and term", halts)
			}
			if panicked != halts[0] {
				t.Errorf("panicked with %v", panicked)
			}
			same(t, "after the halt", before, bytesOf(t, m))
		})
	}
}

func panics(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// TestIndexAndStateMoveAsOne: whoever sees an index sees what its entry did,
// and nothing of the next one's. The log clock of each entry is its index.
func TestIndexAndStateMoveAsOne(t *testing.T) {
	m := newMachine(t)
	const last = 3000
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for at := registry.Index(0); at < last; {
				before := m.At().Index
				view, p := m.View()
				at = p.Index
				if view.Clock() != registry.Millis(at) || at < before {
					t.Errorf("at index %d, seen after %d, the view is that of %d", at, before, view.Clock())
					at = last
				}
			}
		})
	}
	for next := uint64(1); next <= last; {
		var batch []*raft.Log
		for range 1 + next%5 {
			batch = append(batch, entry(t, next, fsm.Entry{Clock: registry.Millis(next), Command: registry.TermStart{Leader: "r1"}}))
			next++
		}
		m.ApplyBatch(batch)
	}
	readers.Wait()
}

// TestLogClockNeverRunsBackwards, whatever an entry carries: a leader whose
// clock was in the future died, and the next one's is behind.
func TestLogClockNeverRunsBackwards(t *testing.T) {
	m := newMachine(t)
	clock := func() registry.Millis {
		view, _ := m.View()
		return view.Clock()
	}
	for i, c := range []struct{ carries, want registry.Millis }{{100, 100}, {40, 100}, {-1, 100}, {101, 101}, {0, 101}} {
		m.ApplyBatch([]*raft.Log{entry(t, uint64(i+1), fsm.Entry{Clock: c.carries, Command: registry.TermStart{Leader: "r1"}})})
		if clock() != c.want {
			t.Errorf("after an entry of %d the clock is %d, want %d", c.carries, clock(), c.want)
		}
	}
	m = restored(t, bytesOf(t, m))
	apply(t, m, registry.TermStart{Leader: "r1"}) // at index 6, with 60
	if clock() != 101 {
		t.Errorf("after a restore and an entry of 60 the clock is %d, want 101", clock())
	}
}

// TestWait: until the entry is applied, or its restore brings it, or the
// deadline; waiters for different indexes wake each at its own.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		woken := make(map[registry.Index]bool)
		var mu sync.Mutex
		for _, index := range []registry.Index{0, 1, 2, 3, 15} {
			go func() {
				if err := m.Wait(t.Context(), index); err != nil {
					t.Errorf("waiting for %d: %v", index, err)
				}
				mu.Lock()
				defer mu.Unlock()
				woken[index] = true
			}()
		}
		check := func(what string, want ...registry.Index) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, index := range want {
				if !woken[index] {
					t.Errorf("%s: the waiter for %d sleeps", what, index)
				}
			}
			if len(woken) != len(want) {
				t.Errorf("%s: woken are %v, want %v", what, woken, want)
			}
		}
		check("nothing is applied", 0)
		apply(t, m, registry.TermStart{Leader: "r1"})
		check("one entry", 0, 1)
		m.ApplyBatch([]*raft.Log{configuration(2)})
		check("a configuration", 0, 1, 2)
		if err := m.Restore(reader(bytesOf(t, told(t)))); err != nil {
			t.Fatal(err)
		}
		check("a restore", 0, 1, 2, 3, 15)
	})
}

// TestWaitEnds with the caller's own deadline or cancellation, and says which.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := m.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := m.Wait(ctx, 0); err != nil {
			t.Errorf("what is reached needs no time: %v", err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Wait(cancelled, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestMovesAreToldToWhoAsked: what a command moved in the largest state is
// megabytes; only who asked for a rebalance is told, or a follower could not
// read the answer to a node's joining.
func TestMovesAreToldToWhoAsked(t *testing.T) {
	m := fsm.NewMachine(func(err error) { t.Error(err) })
	outcome := func(index uint64, cmd registry.Command) *fsm.Outcome {
		t.Helper()
		b, err := fsm.EncodeEntry(fsm.Entry{Command: cmd})
		if err != nil {
			t.Fatal(err)
		}
		return m.Apply(&raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: b}).(*fsm.Outcome)
	}
	if o := outcome(1, registry.AddNode{Name: "worker-2", Type: registry.Worker}); !o.Result.Changed || o.Result.Moves != nil {
		t.Errorf("a node that was added is told of moves: %+v", o.Result)
	}
	one := uint32(1)
	outcome(2, registry.RegisterPool{Spec: registry.Spec{Name: "one", NodeType: registry.Worker, MaxNodes: &one}})
	outcome(3, registry.AddNode{Name: "worker-1", Type: registry.Worker})
	if o := outcome(4, registry.RebalancePools{}); len(o.Result.Moves) == 0 {
		t.Errorf("a rebalance that moved says nothing: %+v", o.Result)
	}
}
