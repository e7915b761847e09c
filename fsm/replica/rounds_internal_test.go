package replica

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/registry"
)

// slowRounds are rounds whose n-th answer is n, half a second late.
func slowRounds(t *testing.T) (rs *rounds, ran *int) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	ran = new(int)
	rs = &rounds{
		run: func(ctx context.Context) (registry.Index, error) {
			*ran++
			n := *ran
			err := pause(ctx, time.Second/2)
			return registry.Index(n), err
		},
		spawn: func(f func()) bool { wg.Go(f); return true },
	}
	return rs, ran
}

// TestAReaderNeverJoinsARoundUnderWay: the index of that round was taken
// before the reader asked, and may be older than a write it knows of. All who
// come meanwhile share the next round, however many they are.
func TestAReaderNeverJoinsARoundUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rs, ran := slowRounds(t)
		answers := make(chan registry.Index, 1001)
		ask := func() {
			index, err := rs.join(t.Context())
			if err != nil {
				t.Error(err)
			}
			answers <- index
		}
		go ask()
		synctest.Wait() // the first round is under way
		for range 1000 {
			go ask()
		}
		if first := <-answers; first != 1 {
			t.Errorf("the first reader got round %d", first)
		}
		for range 1000 {
			if index := <-answers; index != 2 {
				t.Fatalf("a reader that came during round 1 got round %d, want 2", index)
			}
		}
		if *ran != 2 {
			t.Errorf("1,001 readers took %d rounds, want 2", *ran)
		}
		if index, err := rs.join(t.Context()); index != 3 || err != nil {
			t.Errorf("who comes afterwards got round %d: %v", index, err)
		}
	})
}

// TestARoundsErrorIsEverybodys who shared it, and nobody's after.
func TestARoundsErrorIsEverybodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rs, ran := slowRounds(t)
		run := rs.run
		lost := errors.New("lost")
		rs.run = func(ctx context.Context) (registry.Index, error) {
			index, err := run(ctx)
			if index == 1 {
				err = lost
			}
			return index, err
		}
		faults := make(chan error, 10)
		rs.mu.Lock() // so that all ten come before the first round begins
		for range 10 {
			go func() {
				_, err := rs.join(t.Context())
				faults <- err
			}()
		}
		rs.mu.Unlock()
		synctest.Wait()
		shared := 0
		for range 10 {
			if err := <-faults; errors.Is(err, lost) {
				shared++
			}
		}
		if shared == 0 || *ran > 2 {
			t.Errorf("%d of 10 heard of the error, in %d rounds", shared, *ran)
		}
		if _, err := rs.join(t.Context()); err != nil {
			t.Errorf("a later reader: %v", err)
		}
	})
}

// TestAReaderLeavesARoundAtItsDeadline, and the round goes on for the others.
func TestAReaderLeavesARoundAtItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rs, _ := slowRounds(t)
		began := time.Now()
		patient := make(chan error, 1)
		go func() {
			_, err := rs.join(t.Context())
			patient <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := rs.join(ctx); !errors.Is(err, registry.ErrUnavailable) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("after %s: %v, want unavailable after 100ms", time.Since(began), err)
		}
		if err := <-patient; err != nil {
			t.Errorf("the patient reader: %v", err)
		}
	})
}

// TestARoundHasADeadlineOfItsOwn, for readers that have none.
func TestARoundHasADeadlineOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rs, _ := slowRounds(t)
		rs.run = func(ctx context.Context) (registry.Index, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		began := time.Now()
		if _, err := rs.join(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != roundTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestNoRoundAfterClose: who asks a closed replica hears so at once.
func TestNoRoundAfterClose(t *testing.T) {
	t.Parallel()
	rs, _ := slowRounds(t)
	rs.spawn = func(func()) bool { return false }
	for range 2 {
		if _, err := rs.join(t.Context()); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("join: %v, want unavailable", err)
		}
	}
}
