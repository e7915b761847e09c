package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/rpc/wire"
)

// ahead gives turns of pool p at a replica of a cluster, taken n ahead.
func ahead(t *testing.T, e *edge, n int, opts client.Options, age time.Duration) (*client.Turns, *replica) {
	t.Helper()
	r := e.serve("a:1", &replica{cluster: newCluster(t)})
	turns, err := e.client(opts, "a:1").Pool("p").Prefetch("", n, client.PrefetchOptions{AgeMax: age})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { turns.Close() })
	return turns, r
}

func wantNext(t *testing.T, turns *client.Turns, want int) {
	t.Helper()
	if got, err := turns.Next(t.Context()); err != nil || got.Node != registry.NodeName(fmt.Sprintf("w-%04d", want)) || got.Topic == "" || got.Index == 0 {
		t.Fatalf("got %+v, %v, want node %d", got, err, want)
	}
}

// The turns come in order, and the next refill runs while there are some left.
func TestTurnsAreTakenAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		turns, r := ahead(t, e, 20, client.Options{}, 0)
		if wantCalls(t, r); r.answers() != 0 {
			t.Error("turns were taken before the first was asked for")
		}
		wantNext(t, turns, 0)
		wantCalls(t, r, "OpenSession", "RrBatch")
		g := newGate("RrBatch")
		r.script = g.script
		for i := 1; i < 20; i++ {
			wantNext(t, turns, i) // without waiting: nobody opens the gate
		}
		synctest.Wait()
		wantCalls(t, r, "OpenSession", "RrBatch", "RrBatch")
		close(g.open)
		for i := 20; i < 300; i++ {
			wantNext(t, turns, i)
			synctest.Wait()
		}
		if n := len(r.got()); r.answers() > 320 || n < 20 || n > 40 {
			t.Errorf("%d turns were taken in %d requests", r.answers(), n)
		}
	})
}

// Many goroutines share them: each turn is one's.
func TestManyGoroutinesShareTurnsTakenAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, r := ahead(t, newEdge(t), 16, client.Options{}, 0)
		var mu sync.Mutex
		seen := map[registry.NodeName]bool{}
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() {
				for range 7 {
					got, err := turns.Next(t.Context())
					mu.Lock()
					if err != nil || seen[got.Node] {
						t.Errorf("%+v, %v", got, err)
					}
					seen[got.Node] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(seen) != 420 || r.answers() > 436 {
			t.Errorf("%d turns were handed out of %d", len(seen), r.answers())
		}
	})
}

// A node that is no longer eligible is handed out for AgeMax at most.
func TestTurnsTakenAheadGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, r := ahead(t, newEdge(t), 4, client.Options{}, 2*time.Second)
		wantNext(t, turns, 0)
		for i := 1; i < 8; i++ { // those that may have been taken
			r.cluster.do(registry.DrainNode{Name: registry.NodeName(fmt.Sprintf("w-%04d", i)), Draining: true})
		}
		time.Sleep(2 * time.Second)
		wantNext(t, turns, 1)
		time.Sleep(time.Nanosecond)
		wantNext(t, turns, 8)
	})
}

// Who asks seldom has turn after turn, though more were taken at first.
func TestWhoAsksSeldomSkipsNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, _ := ahead(t, newEdge(t), 4, client.Options{}, 0)
		wantNext(t, turns, 0)
		for i := range 50 {
			time.Sleep(3 * time.Second)
			wantNext(t, turns, 4+i)
		}
	})
}

// A refill that fails is told when nothing is left, to all who wait for it, and
// then no longer.
func TestAFailedRefillIsToldWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, r := ahead(t, newEdge(t), 10, client.Options{Timeout: time.Second}, 0)
		wantNext(t, turns, 0)
		r.script = says(wire.ToError(registry.Errorf(registry.Limit, "too many cursors")))
		for i := 1; i < 10; i++ {
			wantNext(t, turns, i)
			synctest.Wait()
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := turns.Next(t.Context())
				wantCode(t, err, registry.Limit, "too many cursors")
			})
		}
		all.Wait()
		r.script = nil
		wantNext(t, turns, 10)
	})
}

// Nobody waits for a refill longer than for any other call.
func TestWaitingForARefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		turns, _ := ahead(t, e, 10, client.Options{}, 0)
		e.hang("a:1")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := turns.Next(short)
		wantCode(t, err, registry.Deadline, `rr of pool "p"`)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not the context's", err)
		}
		within(t, start, time.Second, time.Second)
		_, err = turns.Next(t.Context())
		wantCode(t, err, registry.Deadline, "a:1")
		within(t, start, 4*time.Second, 6*time.Second)
	})
}

func TestCloseEndsTheRefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		turns, _ := ahead(t, e, 10, client.Options{}, 0)
		e.hang("a:1")
		done := make(chan error)
		go func() {
			_, err := turns.Next(t.Context())
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		go turns.Close()
		wantCode(t, <-done, registry.Unavailable, `pool "p"`, "closed")
		_, err := turns.Next(t.Context())
		wantCode(t, err, registry.Unavailable, "closed")
		turns.Close()
		within(t, start, 0, 0)
	})
}

func TestNothingEligibleToTakeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.serve("a:1", &replica{})
		turns, err := e.client(client.Options{}, "a:1").Pool("drained").Prefetch("k", 8, client.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer turns.Close()
		for range 3 {
			if got, err := turns.Next(t.Context()); err != nil || got != (client.Answer{EmptyReason: registry.AllDraining, Epoch: 5, Served: at}) {
				t.Errorf("got %+v, %v", got, err)
			}
		}
	})
}

func TestPrefetchIsCheckedAtItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEdge(t).client(client.Options{}, "a:1")
		for _, n := range []int{1, registry.BatchAnswersMax} {
			turns, err := c.Pool("p").Prefetch("", n, client.PrefetchOptions{AgeMax: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			turns.Close()
		}
		for _, n := range []int{0, -1} {
			text := fmt.Sprintf("%d answers", n)
			_, err := c.Pool("p").Prefetch("", n, client.PrefetchOptions{})
			wantCode(t, err, registry.Invalid, text)
			_, err = c.Pool("p").RRN(t.Context(), "", n)
			wantCode(t, err, registry.Invalid, text)
		}
		_, err := c.Pool("p").Prefetch("", registry.BatchAnswersMax+1, client.PrefetchOptions{})
		wantCode(t, err, registry.Limit, "16385 answers")
		_, err = c.Pool("a b").Prefetch("", 1, client.PrefetchOptions{})
		wantCode(t, err, registry.Invalid, `"a b"`)
		for _, age := range []time.Duration{-1, time.Minute + 1} {
			_, err = c.Pool("p").Prefetch("", 1, client.PrefetchOptions{AgeMax: age})
			wantCode(t, err, registry.Invalid, "age max is")
		}
	})
}
