package main

import (
	"context"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
)

// bench is one measurement.
type bench struct {
	callers int
	length  time.Duration
	call    func(ctx context.Context, n uint64) (answers int, empty registry.EmptyReason, err error)
	tally   tally
}

// run makes calls until the time is over, ctx ends or an answer is empty, and
// says how long that took. The calls that are under way then are waited for:
// to cut them off would leave out the slowest.
func (b *bench) run(ctx context.Context) time.Duration {
	ctx, end := context.WithTimeout(ctx, b.length)
	defer end()
	began := time.Now()
	var callers sync.WaitGroup
	for i := range b.callers {
		callers.Go(func() { b.caller(ctx, end, uint64(i)) })
	}
	callers.Wait()
	return time.Since(began)
}

// caller makes one call after the other. Its numbers are those that leave its
// own one when they are divided by the number of callers.
func (b *bench) caller(ctx context.Context, end func(), own uint64) {
	for n := own; ctx.Err() == nil; n += uint64(b.callers) {
		began := time.Now()
		answers, empty, err := b.call(context.WithoutCancel(ctx), n)
		switch {
		case err != nil:
			b.tally.failed(err)
		case empty != registry.NotEmpty:
			b.tally.foundNobody(empty)
			end()
		default:
			b.tally.answered(answers, time.Since(began))
		}
	}
}
