package replica

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// watchWait bounds how long a watcher waits for this replica to have what it
// has seen elsewhere.
const watchWait = time.Duration(registry.DeadlineDefault) * time.Millisecond

// Watch gives what happens to a pool, as registry.PoolEvent describes it, to a
// watcher that has the pool at an epoch; 0 is a watcher that has not. It is
// told the changes since then if they are known here, and else the whole pool;
// every second it hears that all is as it was. It ends with an error: NotFound
// when there is no such pool, any more or at all; Overloaded at once when there
// are too many watchers; Unavailable when this replica ends, and Deadline when it
// has not caught up with that epoch in time: another one may do; or ctx's own.
//
// A watcher may take as long as it likes for an event: it keeps up nobody, and
// when it falls too far behind it is told the whole pool.
func (r *Replica) Watch(ctx context.Context, pool registry.PoolName, after registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) {
		err := r.untilWatchable(ctx, registry.Index(after))
		if err == nil {
			err = r.watches.watch(ctx, pool, after, func(e registry.PoolEvent) bool { return yield(e, nil) })
		}
		if err != nil {
			yield(registry.PoolEvent{}, err)
		}
	}
}

// Watchers tells how many watch at this replica.
func (r *Replica) Watchers() int { return r.watches.count() }

// untilWatchable returns when this replica has applied something, and has what
// a watcher has seen.
func (r *Replica) untilWatchable(ctx context.Context, seen registry.Index) error {
	at := r.machine.At().Index
	switch {
	case at == 0:
		return r.appliedNothing()
	case at >= seen:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, watchWait)
	defer cancel()
	defer context.AfterFunc(r.life.ctx, cancel)()
	return r.wait(ctx, seen)
}

// watches drives a hub: it feeds it what the machine has applied, gives it the
// time, and wakes who is to take something. A watcher takes on its own
// goroutine; one more, the pump, feeds the hub for as long as something is
// followed.
type watches struct {
	machine *fsm.Machine
	age     func() registry.Millis
	spawn   func(func()) bool // false: it is too late for another goroutine
	life    context.Context   //nolint:containedctx // the replica's own, which the pump does not outlive
	began   time.Time

	// feeding keeps what the follower gives in order, and guards follower. It is
	// taken before mu.
	feeding  sync.Mutex
	follower *fsm.Follower // nil while nothing is followed

	mu struct {
		sync.Mutex
		hub   hub
		last  watcherID
		pokes map[watcherID]chan<- struct{} // each has one slot
	}
}

func newWatches(life context.Context, spawn func(func()) bool, machine *fsm.Machine, age func() registry.Millis) *watches {
	w := &watches{machine: machine, age: age, spawn: spawn, life: life, began: time.Now()}
	w.mu.hub = newHub()
	w.mu.pokes = make(map[watcherID]chan<- struct{})
	return w
}

func (w *watches) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mu.hub.watchers)
}

// watch tells until tell says that it is enough; that alone is no error.
func (w *watches) watch(ctx context.Context, pool registry.PoolName, after registry.Epoch, tell func(registry.PoolEvent) bool) error {
	id, woken, err := w.arrive(pool, after)
	if err != nil {
		return err
	}
	defer w.leave(id)
	for ctx.Err() == nil {
		event, ok, err := w.take(id)
		if err != nil {
			return err
		}
		if ok && !tell(event) {
			return nil
		}
		if ok {
			continue
		}
		select {
		case <-woken:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// arrive makes a watcher of what the machine has applied by now, and gives
// where it is woken.
func (w *watches) arrive(pool registry.PoolName, after registry.Epoch) (id watcherID, woken <-chan struct{}, err error) {
	poke := make(chan struct{}, 1)
	w.feeding.Lock()
	others, err := w.feed()
	if err == nil {
		id, err = w.admit(pool, after, poke)
	}
	w.feeding.Unlock()
	wake(others)
	return id, poke, err
}

func (w *watches) admit(pool registry.PoolName, after registry.Epoch, poke chan<- struct{}) (watcherID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.last++
	if err := w.mu.hub.arrive(w.mu.last, pool, after); err != nil {
		return 0, err
	}
	w.mu.pokes[w.mu.last] = poke
	return w.mu.last, nil
}

func (w *watches) take(id watcherID) (registry.PoolEvent, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.hub.take(time.Since(w.began), id)
}

func (w *watches) leave(id watcherID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.hub.leave(time.Since(w.began), id)
	delete(w.mu.pokes, id)
}

// close ends all watching: nobody is admitted from now on.
func (w *watches) close() {
	wake(w.tell(func(h *hub, _ time.Duration) []watcherID {
		return h.close(registry.Errorf(registry.Unavailable, "this replica is stopping: watch at another"))
	}))
}

// tell gives the hub an event, and gives whom to wake when no lock is held.
func (w *watches) tell(event func(h *hub, now time.Duration) []watcherID) (pokes []chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range event(&w.mu.hub, time.Since(w.began)) {
		pokes = append(pokes, w.mu.pokes[id])
	}
	return pokes
}

func wake(pokes []chan<- struct{}) {
	for _, poke := range pokes {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
}

// feed takes what the machine has applied to the hub, and begins to follow it
// if need be. Feeding is held.
func (w *watches) feed() ([]chan<- struct{}, error) {
	if w.follower == nil {
		f := w.machine.Follow()
		if !w.spawn(func() { w.pump(f) }) {
			f.Stop()
			return nil, registry.Errorf(registry.Unavailable, "this replica is closed: watch at another")
		}
		w.follower = f
	}
	age := time.Duration(w.age()) * time.Millisecond
	trail := w.follower.Take()
	return w.tell(func(h *hub, now time.Duration) []watcherID { return h.advance(trail, now-age) }), nil
}

// pump feeds the hub when there is something and every second, until nothing
// is followed any more.
func (w *watches) pump(f *fsm.Follower) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for more := true; more; {
		select {
		case <-f.Woken():
			more = w.pass(func(*hub, time.Duration) []watcherID { return nil })
		case <-tick.C:
			more = w.pass((*hub).beat)
		case <-w.life.Done():
			w.feeding.Lock()
			w.unfollow()
			w.feeding.Unlock()
			return
		}
	}
}

// pass feeds the hub and then tells it something. It reports whether there is
// anything to follow.
func (w *watches) pass(event func(h *hub, now time.Duration) []watcherID) (more bool) {
	w.feeding.Lock()
	fed, _ := w.feed() // it follows already
	told := w.tell(event)
	if more = !w.rest(); !more {
		w.unfollow()
	}
	w.feeding.Unlock()
	wake(fed)
	wake(told)
	return more
}

func (w *watches) rest() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.hub.rest()
}

func (w *watches) unfollow() {
	w.follower.Stop()
	w.follower = nil
}
