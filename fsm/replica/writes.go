package replica

import (
	"context"
	"sync"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/fsm/combine"
	"github.com/rota-registry/rota/registry"
)

// writes drives a combiner: it gives it the time, carries its batches to the
// leader and hands out its answers. One goroutine a batch.
type writes struct {
	propose func(context.Context, registry.Command) (fsm.Outcome, error)
	spawn   func(func()) bool // false: it is too late for another goroutine
	life    context.Context   //nolint:containedctx // the replica's own, which no batch outlives
	began   time.Time

	mu struct {
		sync.Mutex
		combiner combine.Combiner
		last     combine.RequestID
		waiting  map[combine.RequestID]chan<- combine.Answer // each has room for the answer
	}
}

func newWrites(life context.Context, spawn func(func()) bool, gate bool, propose func(context.Context, registry.Command) (fsm.Outcome, error)) *writes {
	w := &writes{propose: propose, spawn: spawn, life: life, began: time.Now()}
	w.mu.combiner = combine.New(gate)
	w.mu.waiting = make(map[combine.RequestID]chan<- combine.Answer)
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
	reply := make(chan combine.Answer, 1)
	var id combine.RequestID
	w.do(func(c *combine.Combiner, now time.Duration) combine.Step {
		w.mu.last++
		id = w.mu.last
		w.mu.waiting[id] = reply
		return c.Arrive(now, id, turns, end.Sub(w.began))
	})
	select {
	case a := <-reply:
		return a.Out, a.Err
	case <-ctx.Done():
	}
	w.do(func(c *combine.Combiner, _ time.Duration) combine.Step { return c.Leave(id) })
	grace := time.NewTimer(combine.Grace)
	defer grace.Stop()
	select {
	case a := <-reply:
		return a.Out, a.Err
	case <-grace.C:
	}
	w.do(func(c *combine.Combiner, _ time.Duration) combine.Step { return c.GiveUp(id) })
	a := <-reply // at once: giveUp answers who has no answer yet
	return a.Out, a.Err
}

// close answers all who wait: nothing was done for those in no batch; a batch
// ends with the replica's life, and is unknown.
func (w *writes) close() {
	w.do(func(c *combine.Combiner, _ time.Duration) combine.Step {
		return c.Close(registry.Errorf(registry.Unavailable, "round robin: this replica is closed, and nothing was done: ask another"))
	})
}

// do tells the combiner of an event and does what it asks for.
func (w *writes) do(event func(*combine.Combiner, time.Duration) combine.Step) {
	w.mu.Lock()
	s := event(&w.mu.combiner, time.Since(w.began))
	replies := make([]chan<- combine.Answer, len(s.Answer))
	for i, a := range s.Answer {
		replies[i] = w.mu.waiting[a.ID]
		delete(w.mu.waiting, a.ID)
	}
	w.mu.Unlock()
	for i, a := range s.Answer {
		replies[i] <- a
	}
	for _, b := range s.Propose {
		if !w.spawn(func() { w.fly(b) }) {
			w.finish(b, fsm.Outcome{}, registry.Errorf(registry.Unavailable, "round robin: this replica is closed, and nothing was done: ask another"))
		}
	}
	if s.Pause {
		w.spawn(w.rest) // if not, close answers who waits
	}
	if s.Wake > 0 {
		time.AfterFunc(s.Wake-time.Since(w.began), w.wake)
	}
}

func (w *writes) fly(b combine.Batch) {
	ctx, cancel := context.WithDeadline(w.life, w.began.Add(b.Deadline))
	defer cancel()
	out, err := w.propose(ctx, registry.RoundRobin{Turns: b.Turns})
	w.finish(b, out, err)
}

func (w *writes) finish(b combine.Batch, out fsm.Outcome, err error) {
	w.do(func(c *combine.Combiner, now time.Duration) combine.Step { return c.Finish(now, b.ID, out, err) })
}

func (w *writes) wake() {
	w.do(func(c *combine.Combiner, now time.Duration) combine.Step { return c.Wake(now) })
}

func (w *writes) rest() {
	_ = pause(w.life, retryEvery) // cut short when the replica ends
	w.do(func(c *combine.Combiner, now time.Duration) combine.Step { return c.Resume(now) })
}
