package client

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// gatherer drives combiners, one for each kind of batch that there is: it gives
// them the time, makes their flights and hands out what they bring. A flight is
// a goroutine, which carries batch after batch for as long as somebody waits.
type gatherer[K comparable, A any] struct {
	carrier carrier[K, A]
	kind    kind          // of all calls
	timeout time.Duration // of a call
	began   time.Time
	flights sync.WaitGroup // added to under the lock, never after closed
	callers sync.Pool      // of *caller[A]; not shared, so that a bubble of virtual time keeps its own

	mu struct {
		sync.Mutex
		closed bool
		// combiners are those that are not idle, and some that are, because
		// they know the pace.
		combiners map[K]*combiner[A]
	}
}

// idleMax is beyond how many combiners one that is idle is forgotten.
const idleMax = 64

// carrier is what batches differ in.
type carrier[K comparable, A any] interface {
	// load gives an empty cargo. It is false if there is something to do
	// first. It must not wait.
	load(kind K) (cargo[A], bool)
	// prepare does that. Its error is for all who wait.
	prepare(deadline time.Time) error
	// carry sends a cargo. undone says that it is
	// to be sent anew; any other error is for each of its calls.
	carry(ctx context.Context, deadline time.Time, load cargo[A]) error
	// deliver puts the answer into what a call of a cargo asked.
	deliver(load cargo[A], ask *A)
}

// undone is the error of a batch of which nothing was done, and that is to be
// sent anew; if it was so too often, error is what its calls hear.
type undone struct{ error }

func newGatherer[K comparable, A any](of kind, timeout time.Duration, by carrier[K, A]) *gatherer[K, A] {
	g := &gatherer[K, A]{carrier: by, kind: of, timeout: timeout, began: time.Now()}
	g.callers.New = func() any { return &caller[A]{done: make(chan struct{}, 1), timer: newTimer()} }
	g.mu.combiners = make(map[K]*combiner[A])
	return g
}

// newTimer gives one that does not run.
func newTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// caller gives one to join with, which has in ask what it had when it was freed.
func (g *gatherer[K, A]) caller() *caller[A] { return g.callers.Get().(*caller[A]) }

// free gives a caller back that join has returned.
func (g *gatherer[K, A]) free(c *caller[A]) {
	if c.stage == settled && c.err == nil { // else a batch may still have it
		*c = caller[A]{ask: c.ask, done: c.done, timer: c.timer}
		g.callers.Put(c)
	}
}

// join lets a call go with others of its kind, and returns when it has its
// answer, in c.ask, or an error that does not name the call yet.
func (g *gatherer[K, A]) join(ctx context.Context, kind K, c *caller[A]) error {
	start := time.Now()
	end, own := ctx.Deadline()
	if ctx.Err() != nil || own && !start.Before(end) {
		return notAsked()
	}
	span := g.timeout
	if own {
		span = min(span, end.Sub(start))
	}
	c.deadline = start.Add(span).Sub(g.began)
	m, err := g.arrive(kind, c)
	if err != nil {
		return err
	}
	c.timer.Reset(span)
	defer c.timer.Stop()
	select {
	case <-c.done:
		return c.err
	case <-c.timer.C:
	case <-ctx.Done():
	}
	return g.leave(m, c)
}

// arrive puts a call into its combiner.
func (g *gatherer[K, A]) arrive(kind K, c *caller[A]) (*combiner[A], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.closed {
		return nil, errClosed
	}
	m := g.mu.combiners[kind]
	if m == nil {
		m = newCombiner[A](g.kind)
		g.mu.combiners[kind] = m
	}
	m.arrive(c)
	g.launch(kind, m)
	return m, nil
}

// launch begins a flight if there is to be one; the lock is held.
func (g *gatherer[K, A]) launch(kind K, m *combiner[A]) {
	if g.next(kind, m) {
		g.flights.Go(func() {
			for again := true; again; again = g.end(kind, m) {
				if ctx, b := g.depart(kind, m); b != nil {
					g.fly(ctx, m, b)
				}
			}
		})
	}
}

// next says whether a flight begins, and has that looked at again when it is
// too early; the lock is held.
func (g *gatherer[K, A]) next(kind K, m *combiner[A]) bool {
	now := time.Since(g.began)
	begins, at := m.launch(now)
	if at > 0 {
		time.AfterFunc(at-now, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if !g.mu.closed {
				g.launch(kind, m)
			}
		})
	}
	return begins
}

// leave is join for a call whose time is over, or that was cancelled.
func (g *gatherer[K, A]) leave(m *combiner[A], c *caller[A]) error {
	g.mu.Lock()
	told := c.stage == settled
	patience, alone := m.leave(time.Since(g.began), c)
	g.mu.Unlock()
	if alone != nil {
		alone.cancel()
	}
	if patience > 0 {
		c.timer.Reset(patience)
		select {
		case <-c.done:
			return c.err
		case <-c.timer.C:
		}
		g.mu.Lock()
		told = c.stage == settled
		m.giveUp(c)
		g.mu.Unlock()
	}
	if told { // by another goroutine, at once
		<-c.done
	}
	return c.err
}

// depart fills the next batch, when there is nothing to do first. There is none
// when nobody waits any longer, or could be taken.
func (g *gatherer[K, A]) depart(kind K, m *combiner[A]) (ctx context.Context, b *batch[A]) {
	runtime.Gosched() // whoever can call now can board, at no loss to who waits: batches of HRW cost a third less
	g.mu.Lock()
	load, ready := g.carrier.load(kind)
	for !ready {
		until := m.prepare()
		g.mu.Unlock()
		var err error
		if until > 0 {
			err = g.carrier.prepare(g.began.Add(until))
		}
		g.mu.Lock()
		if until == 0 || err != nil {
			told := m.refuse(err)
			g.mu.Unlock()
			tell(told)
			return nil, nil
		}
		load, ready = g.carrier.load(kind)
	}
	b, late := m.depart(time.Since(g.began), load)
	if b != nil {
		ctx, b.cancel = context.WithCancel(context.Background())
	}
	g.launch(kind, m)
	g.mu.Unlock()
	tell(late)
	return ctx, b
}

// fly carries a batch and tells what became of it.
func (g *gatherer[K, A]) fly(ctx context.Context, m *combiner[A], b *batch[A]) {
	defer b.cancel()
	err := g.carrier.carry(ctx, g.began.Add(b.deadline), b.cargo)
	g.mu.Lock()
	var told []*caller[A]
	anew, nothingDone := err.(undone)
	switch {
	case nothingDone && !g.mu.closed:
		told = m.takeBack(b, anew.error)
	case nothingDone:
		told = m.land(time.Since(g.began), b, anew.error)
	default:
		told = m.land(time.Since(g.began), b, err)
	}
	g.mu.Unlock()
	if err == nil {
		for _, c := range told {
			g.carrier.deliver(b.cargo, &c.ask)
		}
	}
	tell(told)
}

// end ends a flight; if again, the same goroutine makes another.
func (g *gatherer[K, A]) end(kind K, m *combiner[A]) (again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.end()
	again = g.next(kind, m)
	if m.idle() && len(g.mu.combiners) > idleMax {
		delete(g.mu.combiners, kind)
	}
	return again
}

// tell wakes those who are settled.
func tell[A any](told []*caller[A]) {
	for _, c := range told {
		c.done <- struct{}{}
	}
}

// close settles all who are in no batch, and refuses who comes later.
func (g *gatherer[K, A]) close() {
	g.mu.Lock()
	g.mu.closed = true
	var told []*caller[A]
	for _, m := range g.mu.combiners { // in any order: each call hears the same
		told = append(told, m.close()...)
	}
	g.mu.Unlock()
	tell(told)
}

// wait returns when the last flight has ended. It is for who has closed the
// gatherer and broken off what it sends.
func (g *gatherer[K, A]) wait() { g.flights.Wait() }
