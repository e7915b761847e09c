package client

import (
	"context"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
)

// Defaults of PrefetchOptions.
const (
	ageMaxDefault = time.Second
	ageMaxMost    = time.Minute
)

// PrefetchOptions say how turns are taken ahead. The zero value is good.
type PrefetchOptions struct {
	// AgeMax is how old an answer may be when it is handed out, counted from
	// when it arrived: for so long a node that has died or is being drained
	// may still be handed out. Older answers are dropped. 0 is 1 s, at most
	// 1 min is allowed.
	AgeMax time.Duration
}

// Turns hands out turns of one key that were taken ahead. It is safe for many
// goroutines.
type Turns struct {
	client *Client
	method method
	turn   registry.Turn
	began  time.Time
	// life ends with Close, and with it the refill under way.
	life    context.Context //nolint:containedctx // of refills, which no call's context outlives
	end     context.CancelFunc
	refills sync.WaitGroup // added to under the lock, never after closed

	mu struct {
		sync.Mutex
		closed bool
		stock  stock
		refill *refill // the one under way; nil if there is none
		// short is how many more turns the last refill could have brought for
		// those who waited for it.
		short int
	}
}

// refill is one taking of turns. What it came to is set once done is closed:
// an error, an empty answer, or turns in the stock.
type refill struct {
	done    chan struct{}
	err     error
	empty   *turnAnswer
	waiting int // callers who have found nothing in the stock; under its lock
}

// Prefetch hands out turns of a key that it takes up to n at once, 1 to 16,384,
// ahead of those who ask: for a logger, say, that asks for every record. They
// come in the order of the rotation, and mostly without a request; a refill runs
// in the background when half are gone. How many it takes follows the pace at
// which they are used.
//
// A turn that is taken ahead is taken: others who share the key's rotation find
// it moved on, and what was not handed out when the program ends, or is too old,
// was nobody's turn. Nothing is asked for before the first Next. Close it before
// its Client.
func (p *Pool) Prefetch(key string, n int, opts PrefetchOptions) (*Turns, error) {
	ask := turnAsk{turn: [1]registry.Turn{{Pool: p.name, Key: key, Count: n}}}
	if err := ask.check(); err != nil {
		return nil, err
	}
	if opts.AgeMax < 0 || opts.AgeMax > ageMaxMost {
		return nil, registry.Errorf(registry.Invalid, "prefetch of pool %q: age max is %v: give more than 0, at most %v", p.name, opts.AgeMax, ageMaxMost)
	}
	if opts.AgeMax == 0 {
		opts.AgeMax = ageMaxDefault
	}
	t := &Turns{client: p.client, method: p.method(counted, "rr of pool"), turn: ask.turn[0], began: time.Now()}
	t.life, t.end = context.WithCancel(context.Background())
	t.mu.stock = newStock(n, opts.AgeMax)
	return t, nil
}

// Next gives the next turn. When none is left it waits for the refill, whose
// error it gives; a refill that fails while some are left is made again. Like
// RR, it may give an empty answer.
func (t *Turns) Next(ctx context.Context) (Answer, error) {
	answer, r, err := t.take()
	if r == nil {
		return answer, err
	}
	timeout := time.NewTimer(t.client.options.Timeout)
	defer timeout.Stop()
	for r != nil {
		select {
		case <-r.done:
		case <-timeout.C:
			return Answer{}, t.late(ctx)
		case <-ctx.Done():
			return Answer{}, t.late(ctx)
		}
		switch {
		case r.err != nil:
			return Answer{}, told(ctx, t.method, r.err)
		case r.empty != nil:
			return r.empty.one(0), nil
		}
		answer, r, err = t.take()
	}
	return answer, err
}

// take gives the next answer of the stock, or the refill that is to be waited
// for.
func (t *Turns) take() (Answer, *refill, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return Answer{}, nil, t.closed()
	}
	now := time.Since(t.began)
	turn, i, ok := t.mu.stock.take(now)
	if t.mu.refill == nil {
		if n := t.mu.stock.due(now, !ok, t.mu.short); n > 0 {
			r := &refill{done: make(chan struct{})}
			t.mu.refill = r
			t.refills.Go(func() { t.fetch(r, n) })
		}
	}
	if !ok { // then a refill is due
		t.mu.refill.waiting++
		return Answer{}, t.mu.refill, nil
	}
	return turn.one(i), nil, nil
}

// fetch makes a refill.
func (t *Turns) fetch(r *refill, n int) {
	ask := t.turn
	ask.Count = n
	turn, from, err := t.client.take(t.life, t.method, ask)
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(r.done)
	t.mu.refill, t.mu.short = nil, r.waiting-n
	switch {
	case t.mu.closed:
		r.err = t.closed()
	case err != nil:
		r.err = err
	case turn.count == 0:
		r.empty = turn
	default:
		t.mu.stock.add(time.Since(t.began), turn, from, n)
	}
}

// late is of a caller who does not wait any longer.
func (t *Turns) late(ctx context.Context) error {
	return told(ctx, t.method, &givenUp{
		code: registry.Deadline,
		why:  "there was no turn in time that was taken ahead, and none was used: see \"rota status\", or give it more time",
	})
}

func (t *Turns) closed() error {
	return registry.Errorf(registry.Unavailable, "turns of pool %q taken ahead: they are closed: make others with Prefetch", t.turn.Pool)
}

// Close ends the refill under way and drops what is left. Calls that wait fail.
// It always returns nil, and may be called twice.
func (t *Turns) Close() error {
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.end()
	t.refills.Wait()
	return nil
}
