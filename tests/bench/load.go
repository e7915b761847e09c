package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// result is one measurement of one row on one side.
type result struct {
	// perSecond counts answers, not calls: a call may bring many.
	perSecond float64
	p50, p99  time.Duration // of a call
}

// op is one call of one caller: it gives the number of answers that it brought
// and has checked.
type op func(ctx context.Context, caller int) (answers int, err error)

// load is callers that call again as soon as they are answered.
type load struct {
	callers int
	op      op
	// window is how long is measured, after a warm-up of a fifth of it and at
	// least half a second.
	window time.Duration
}

// grace is how long calls may take to end after the window.
const grace = 15 * time.Second

func (l load) warmUp() time.Duration { return max(l.window/5, 500*time.Millisecond) }

// run calls for as long as is measured and gives what it saw. A call counts
// when it ends within the window. The first error ends everything.
func (l load) run(ctx context.Context) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.warmUp()+l.window+grace, errTooSlow)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	from := time.Now().Add(l.warmUp())
	to := from.Add(l.window)
	all := make([]tally, l.callers)
	var callers sync.WaitGroup
	for i := range all {
		callers.Go(func() {
			if err := all[i].call(ctx, l.op, i, from, to); err != nil {
				fail(err)
			}
		})
	}
	callers.Wait()
	if err := context.Cause(ctx); err != nil {
		return result{}, err
	}
	return sum(all, l.window)
}

// tally is what one caller saw within the window.
type tally struct {
	answers int
	took    []time.Duration
}

func (t *tally) call(ctx context.Context, op op, caller int, from, to time.Time) error {
	for begun := time.Now(); begun.Before(to); {
		n, err := op(ctx, caller)
		if err != nil {
			return err
		}
		ended := time.Now()
		if ended.After(from) && ended.Before(to) {
			t.answers += n
			t.took = append(t.took, ended.Sub(begun))
		}
		begun = ended
	}
	return nil
}

var (
	errTooShort = errors.New("no call ended within the time: measure for longer with -seconds")
	errTooSlow  = fmt.Errorf("a call had not ended %s after the time", grace)
)

func sum(all []tally, window time.Duration) (result, error) {
	var answers int
	var took []time.Duration
	for _, t := range all {
		answers += t.answers
		took = append(took, t.took...)
	}
	if len(took) == 0 {
		return result{}, errTooShort
	}
	slices.Sort(took)
	return result{
		perSecond: float64(answers) / window.Seconds(),
		p50:       quantile(took, 0.50),
		p99:       quantile(took, 0.99),
	}, nil
}

// quantile gives the smallest value of a sorted sample that at least the share
// q of it does not exceed: always one that was seen. The sample is not empty.
func quantile[T any](sorted []T, q float64) T {
	n := int(q * float64(len(sorted)))
	if float64(n) < q*float64(len(sorted)) {
		n++
	}
	return sorted[min(max(n, 1), len(sorted))-1]
}

// median gives the middle of several measurements, each number by itself; of an
// even number of them the lower middle.
func median(all []result) result {
	var rates []float64
	var p50, p99 []time.Duration
	for _, r := range all {
		rates, p50, p99 = append(rates, r.perSecond), append(p50, r.p50), append(p99, r.p99)
	}
	slices.Sort(rates)
	slices.Sort(p50)
	slices.Sort(p99)
	return result{perSecond: quantile(rates, 0.5), p50: quantile(p50, 0.5), p99: quantile(p99, 0.5)}
}

// fastest tries every way for a second and gives the index of the best: how
// many connections suit a rival is not for us to say.
func fastest(ctx context.Context, ways []load) (int, error) {
	best, rate := 0, 0.0
	for i, way := range ways {
		way.window = time.Second
		r, err := way.run(ctx)
		if err != nil && !errors.Is(err, errTooShort) {
			return 0, fmt.Errorf("trying connections: %w", err)
		}
		if r.perSecond > rate {
			best, rate = i, r.perSecond
		}
	}
	return best, nil
}
