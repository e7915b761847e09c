// Package load lets many callers do one thing as fast as they can, and says how
// often they did it and how long each time took. Every system that is measured
// is measured by it, so that what measuring costs is the same for all.
//
// It calls in a closed loop: each caller begins when its last call has ended.
// What a slow system loses by that, it loses in the rate; its latencies are those
// of callers who wait, and not of a queue that nobody measures. It keeps every
// latency instead of a histogram's buckets, so that a quantile is one of them.
package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Op is one call by one of the callers, 0 and up. It gives how many answers it
// brought. It must look at the answers: a wrong one is an error.
type Op func(ctx context.Context, caller int) (answers int, err error)

// Plan says how an Op is measured.
type Plan struct {
	Callers int
	// Warm is how long the callers call before they are measured, so that
	// connections, caches and processors are as they stay.
	Warm time.Duration
	// For is how long they are measured.
	For time.Duration
}

// stuckAfter is how much longer than it was planned a run may take: a call that
// is under way at the end is waited for.
const stuckAfter = 30 * time.Second

// Result is what a run came to.
type Result struct {
	// Answers and Calls are those that came within Took.
	Answers, Calls int
	Took           time.Duration
	// Latencies are those of the calls.
	Latencies Sample
}

// Rate is the answers a second.
func (r Result) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Answers) / r.Took.Seconds()
}

// Run measures. The first error of any caller ends it, and is its error; so is
// a call that does not end.
func Run(parent context.Context, plan Plan, op Op) (Result, error) {
	if plan.Callers < 1 || plan.For <= 0 {
		return Result{}, fmt.Errorf("load: %d callers for %v: there must be one, and a time", plan.Callers, plan.For)
	}
	timed, end := context.WithTimeout(parent, plan.Warm+plan.For+stuckAfter)
	defer end()
	ctx, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	window := window{from: time.Now().Add(plan.Warm)}
	window.to = window.from.Add(plan.For)
	tallies := make([]tally, plan.Callers)
	var callers sync.WaitGroup
	for i := range tallies {
		callers.Go(func() {
			if err := tallies[i].call(ctx, i, window, op); err != nil {
				cancel(err) // the first one counts: those after it are its doing
			}
		})
	}
	callers.Wait()
	if err := context.Cause(ctx); err != nil {
		return Result{}, err
	}
	return sum(tallies, plan.For)
}

// window is the time that counts: the calls that end within it.
type window struct{ from, to time.Time }

// tally is one caller's.
type tally struct {
	answers   int
	latencies Sample
}

func (t *tally) call(ctx context.Context, caller int, w window, op Op) error {
	for began := time.Now(); ; {
		answers, err := op(ctx, caller)
		now := time.Now()
		if err != nil {
			return err
		}
		if now.After(w.to) {
			return nil
		}
		if !now.Before(w.from) {
			t.answers += answers
			t.latencies = append(t.latencies, now.Sub(began))
		}
		began = now
	}
}

// sum adds the callers up.
func sum(tallies []tally, took time.Duration) (Result, error) {
	result := Result{Took: took}
	for _, t := range tallies {
		result.Answers += t.answers
		result.Latencies = append(result.Latencies, t.latencies...)
	}
	if result.Calls = len(result.Latencies); result.Calls == 0 {
		return result, fmt.Errorf("load: no call of %d callers ended within %v", len(tallies), took)
	}
	result.Latencies.sort()
	return result, nil
}
