package client

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// Whatever the order of refills and takers, what is handed out is in order, each
// once, none too old; there is never more than was allowed; and whoever finds
// nothing finds a refill due.
func TestTheStock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 300).Draw(t, "most")
		s := newStock(most, time.Second)
		now, taken, last, under := time.Duration(0), 0, 0, 0
		arrived := map[int]time.Duration{}
		rapid.SliceOf(rapid.Custom(func(t *rapid.T) int {
			switch do := rapid.IntRange(0, 9).Draw(t, "do"); {
			case do < 5:
				turn, i, ok := s.take(now)
				if !ok && under == 0 && s.due(now, true, 0) == 0 {
					t.Fatalf("there is nothing, and no refill is due")
				}
				if ok {
					n := i + turn.count
					if n <= last || now-arrived[turn.count] > time.Second {
						t.Fatalf("number %d behind %d, %s old", n, last, now-arrived[turn.count])
					}
					last = n
				}
			case do < 7 && under == 0:
				under = s.due(now, s.left == 0 && rapid.Bool().Draw(t, "dry"), rapid.IntRange(0, 400).Draw(t, "waiting"))
				if under < 0 || s.left+under > most {
					t.Fatalf("%d are there and %d to be taken, of at most %d", s.left, under, most)
				}
			case do == 7 && under > 0: // turn.count numbers the answers before it
				s.add(now, &turnAnswer{count: taken}, 1, under)
				arrived[taken] = now
				taken += under
				under = 0
			case do == 8:
				under = 0 // the refill failed
			case do == 9:
				now += time.Duration(rapid.IntRange(1, 700).Draw(t, "wait")) * time.Millisecond
			}
			return 0
		})).Draw(t, "events")
		left := 0
		for _, l := range s.lots {
			left += l.end - l.next
		}
		if left != s.left || left > most {
			t.Fatalf("%d are left of at most %d, and were counted as %d", left, most, s.left)
		}
	})
}

// used lets somebody take turns of a stock at a pace for a while, by virtual
// time, and gives how many were used and how many were taken from the rotation.
func used(s *stock, every time.Duration, n int) (used, taken int) {
	var now time.Duration
	for range n {
		now += every
		for {
			_, _, ok := s.take(now)
			if more := s.due(now, !ok, 0); more > 0 {
				s.add(now, &turnAnswer{}, taken, more)
				taken += more
			}
			if ok {
				used++
				break
			}
		}
	}
	return used, taken
}

// Who asks seldom does not leave turn after turn unused; who asks often gets all
// that was allowed in one refill.
func TestRefillsFollowThePace(t *testing.T) {
	const most = 1000
	for _, test := range []struct {
		every time.Duration
		n     int
		spare int // beyond the first refill
	}{
		{10 * time.Second, 1000, 0},
		{600 * time.Millisecond, 1000, 0},
		{400 * time.Millisecond, 1000, 1},
		{50 * time.Millisecond, 10_000, 10},
		{time.Millisecond, 100_000, most},
		{time.Microsecond, 1_000_000, most},
	} {
		s := newStock(most, time.Second)
		used, taken := used(&s, test.every, test.n)
		if used != test.n || taken-used > most+test.spare {
			t.Errorf("one every %s: %d were used, %d taken, want at most %d spare", test.every, used, taken, most+test.spare)
		}
	}
	s := newStock(most, time.Second)
	if n := s.due(0, true, 0); n != most {
		t.Errorf("the first refill is of %d, want %d", n, most)
	}
	s = newStock(most, time.Second)
	used(&s, time.Microsecond, 10*most)
	if s.aim != most {
		t.Errorf("at a million a second a refill aims at %d, want %d", s.aim, most)
	}
}

func aheadOf(t testing.TB, a *instant, n int) *Turns {
	t.Helper()
	c, err := Dial([]string{"a:1"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.servers[0].registry = near{instant: a}
	turns, err := c.Pool("worker").Prefetch("", n, PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = turns.Close() })
	return turns
}

func TestATurnTakenAheadAllocatesNothing(t *testing.T) {
	turns := aheadOf(t, newInstant(), registry.BatchAnswersMax)
	next := func() {
		if _, err := turns.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if n := testing.AllocsPerRun(20_000, next); n != 0 { // refills included
		t.Errorf("it allocates %v times", n)
	}
}

func BenchmarkPrefetch(b *testing.B) {
	for _, together := range []bool{false, true} {
		name := "one goroutine"
		if together {
			name = "1024 goroutines"
		}
		b.Run(name, func(b *testing.B) {
			turns := aheadOf(b, newInstant(), registry.BatchAnswersMax)
			b.ReportAllocs()
			var all sync.WaitGroup
			goroutines := 1
			if together {
				goroutines = 1024
			}
			for range goroutines {
				all.Go(func() {
					for range (b.N + goroutines - 1) / goroutines {
						if _, err := turns.Next(context.Background()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
