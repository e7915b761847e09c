package replica

import (
	"context"
	"sync"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// endGrace is how long past its deadline a request waits for a batch that it is
// in, before its outcome is unknown: the batch has a deadline, too, and mostly
// knows. It is part of the second that a call may take beyond its deadline.
const endGrace = 250 * time.Millisecond

// writes drives a combiner: it gives it the time, carries its batches to the
// leader and hands out its answers. One goroutine a batch.
type writes struct {
	propose func(context.Context, registry.Command) (fsm.Outcome, error)
	spawn   func(func()) bool // false: it is too late for another goroutine
	life    context.Context   //nolint:containedctx // the replica's own, which no batch outlives
	began   time.Time

	mu struct {
		sync.Mutex
		combiner combiner
		last     requestID
		waiting  map[requestID]chan<- answer // each has room for the answer
	}
}

func newWrites(life context.Context, spawn func(func()) bool, gate bool, propose func(context.Context, registry.Command) (fsm.Outcome, error)) *writes {
	w := &writes{propose: propose, spawn: spawn, life: life, began: time.Now()}
	w.mu.combiner = newCombiner(gate)
	w.mu.waiting = make(map[requestID]chan<- answer)
	return w
}

// join takes turns in a batch with others, and gives what these alone came to.
// Who has no deadline waits as long as any request may.
func (w *writes) join(ctx context.Context, turns []registry.Turn) (fsm.Outcome, error) {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Duration(registry.DeadlineMax) * time.Millisecond)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	reply := make(chan answer, 1)
	var id requestID
	w.do(func(c *combiner, now time.Duration) step {
		w.mu.last++
		id = w.mu.last
		w.mu.waiting[id] = reply
		return c.arrive(now, id, turns, end.Sub(w.began))
	})
	select {
	case a := <-reply:
		return a.out, a.err
	case <-ctx.Done():
	}
	w.do(func(c *combiner, _ time.Duration) step { return c.leave(id) })
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case a := <-reply:
		return a.out, a.err
	case <-grace.C:
	}
	w.do(func(c *combiner, _ time.Duration) step { return c.giveUp(id) })
	a := <-reply // at once: giveUp answers who has no answer yet
	return a.out, a.err
}

// close answers all who wait: nothing was done for those in no batch; a batch
// ends with the replica's life, and is unknown.
func (w *writes) close() {
	w.do(func(c *combiner, _ time.Duration) step {
		return c.close(registry.Errorf(registry.Unavailable, "round robin: this replica is closed, and nothing was done: ask another"))
	})
}

// do tells the combiner of an event and does what it asks for.
func (w *writes) do(event func(*combiner, time.Duration) step) {
	w.mu.Lock()
	s := event(&w.mu.combiner, time.Since(w.began))
	replies := make([]chan<- answer, len(s.answer))
	for i, a := range s.answer {
		replies[i] = w.mu.waiting[a.id]
		delete(w.mu.waiting, a.id)
	}
	w.mu.Unlock()
	for i, a := range s.answer {
		replies[i] <- a
	}
	for _, b := range s.propose {
		if !w.spawn(func() { w.fly(b) }) {
			w.finish(b, fsm.Outcome{}, registry.Errorf(registry.Unavailable, "round robin: this replica is closed, and nothing was done: ask another"))
		}
	}
	if s.pause {
		w.spawn(w.rest) // if not, close answers who waits
	}
	if s.wake > 0 {
		time.AfterFunc(s.wake-time.Since(w.began), w.wake)
	}
}

func (w *writes) fly(b batch) {
	ctx, cancel := context.WithDeadline(w.life, w.began.Add(b.deadline))
	defer cancel()
	out, err := w.propose(ctx, registry.RoundRobin{Turns: b.turns})
	w.finish(b, out, err)
}

func (w *writes) finish(b batch, out fsm.Outcome, err error) {
	w.do(func(c *combiner, now time.Duration) step { return c.finish(now, b.id, out, err) })
}

func (w *writes) wake() {
	w.do(func(c *combiner, now time.Duration) step { return c.wake(now) })
}

func (w *writes) rest() {
	_ = pause(w.life, retryEvery) // cut short when the replica ends
	w.do(func(c *combiner, now time.Duration) step { return c.resume(now) })
}
