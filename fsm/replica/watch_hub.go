package replica

import (
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

const (
	// beatEvery is how often watchers hear of a pool that does not change.
	beatEvery = time.Second
	// followedFor is how long after its last watcher left a pool is followed:
	// who lost its connection comes back sooner.
	followedFor = 5 * time.Minute
)

// watcherID numbers watchers by their arrival.
type watcherID uint64

// hub decides what each watcher of a pool is told. It is a function of its
// events: each is a method that is told the time, where it matters, and gives
// who is to be woken, to take what is new. It has no goroutine, clock or
// channel, and one caller at a time. Times are since any one moment.
//
// Watchers have no queues. The changes of a pool are numbered and remembered
// once, whoever watches; a watcher is the number of the next that it takes. One
// whose next is forgotten is told the whole pool. So a slow watcher costs
// nothing but itself, and one that comes back is nothing new.
//
// Between its events holds: what a watcher was told and the changes from its
// next on make the pool as the view has it, unless it is owed the whole.
type hub struct {
	history

	view *registry.View // nil while nothing is followed, until the next advance
	at   registry.Position
	// fresh is when this replica last knew itself up to date, as of at.
	fresh time.Duration

	watchers map[watcherID]*watcher
	closed   error
}

type watcher struct {
	of    *followed
	next  uint64
	whole bool // it is told the pool next
	// has says that it has the pool, or an earlier one of that name, at an epoch:
	// if that is not the epoch of the whole that it is told, it has missed some.
	has   bool
	epoch registry.Epoch
	// alive says that it is owed a sign of life, once it has all changes.
	alive bool
	end   error // the last that it is told
}

func newHub() hub { return hub{history: newHistory(), watchers: make(map[watcherID]*watcher)} }

// advance takes what the machine has applied since the last time.
func (h *hub) advance(trail fsm.Trail, fresh time.Duration) (woken []watcherID) {
	h.fresh = fresh
	if trail.Lost {
		woken = h.step(trail.Now, true)
	}
	for _, s := range trail.Steps {
		woken = append(woken, h.step(s, false)...)
	}
	h.view, h.at = trail.Now.View, trail.Now.At
	return woken
}

// step goes on to a view; lost says that others lay between that are unknown.
func (h *hub) step(to fsm.Step, lost bool) (woken []watcherID) {
	if len(h.names) > 0 {
		changes, removed := registry.ChangesBetween(h.view, to.View, h.names)
		for i := range changes {
			c := &changes[i]
			f := h.pools[c.Pool.Spec.Name]
			// Within one epoch the lost ones say no more than this one.
			if lost && c.From != c.Pool.Epoch {
				h.restart(f, to.View, c.Pool.Epoch)
			} else {
				h.add(f, &change{event: registry.PoolEvent{Change: c, ReadInfo: registry.ReadInfo{Position: to.At}}, fresh: h.fresh})
			}
			woken = f.all(woken)
		}
		for _, name := range removed {
			_, why := to.View.Pool(name)
			woken = h.remove(h.pools[name], why, woken)
		}
	}
	h.view, h.at = to.View, to.At
	return woken
}

// all adds the watchers of a pool to a list.
func (f *followed) all(list []watcherID) []watcherID {
	for id := range f.watchers {
		list = append(list, id)
	}
	return list
}

// remove ends the watching of a pool.
func (h *hub) remove(f *followed, why error, woken []watcherID) []watcherID {
	for _, w := range f.watchers {
		w.end = why
	}
	h.forget(f)
	return f.all(woken)
}

// arrive takes a watcher that has the pool at an epoch, 0 if it has not. The
// error says why it cannot be one.
func (h *hub) arrive(id watcherID, pool registry.PoolName, after registry.Epoch) error {
	switch {
	case h.closed != nil:
		return h.closed
	case len(h.watchers) >= registry.WatchersMax:
		return registry.Errorf(registry.Overloaded, "pool %q: this replica has %d watchers, which is as many as it takes: watch at another one", pool, len(h.watchers))
	}
	f, err := h.follow(h.view, pool)
	if err != nil {
		return err
	}
	w := &watcher{of: f, whole: true, has: after != 0, epoch: after}
	if w.has {
		next, ok := f.resume(after)
		w.next, w.whole, w.alive = next, !ok, ok
	}
	f.watchers[id], h.watchers[id] = w, w
	return nil
}

// leave is told of a watcher that takes no more.
func (h *hub) leave(now time.Duration, id watcherID) {
	f := h.watchers[id].of
	delete(h.watchers, id)
	delete(f.watchers, id)
	f.left = now
}

// take gives what a watcher is told next; false: it knows everything. The error
// is the last that it is told.
func (h *hub) take(now time.Duration, id watcherID) (event registry.PoolEvent, ok bool, err error) {
	w := h.watchers[id]
	if w.end != nil {
		return event, false, w.end
	}
	fresh := h.fresh
	event.Position = h.at
	switch {
	case w.whole || w.next < w.of.first:
		event.Pool = w.of.now(h.view)
		// Within an epoch no change can have been missed but of the state of
		// members that are not eligible.
		event.Reset = w.has && w.epoch != event.Pool.Epoch
		w.next, w.whole, w.alive = w.of.end(), false, false
		w.has, w.epoch = true, event.Pool.Epoch
	case w.next < w.of.end():
		c := w.of.changes[w.next-w.of.first]
		w.next++
		w.epoch = c.event.Change.Pool.Epoch
		event, fresh = c.event, c.fresh
	case w.alive:
		w.alive = false
	default:
		return event, false, nil
	}
	event.Age = registry.Millis((now - fresh).Milliseconds())
	return event, true, nil
}

// beat owes every watcher a sign of life, and forgets what nobody came back
// for. It comes right after an advance, or the signs would be old.
func (h *hub) beat(now time.Duration) (woken []watcherID) {
	for id, w := range h.watchers {
		w.alive = true
		woken = append(woken, id)
	}
	for _, f := range h.pools {
		f.whole = nil
		if len(f.watchers) == 0 && now-f.left >= followedFor {
			h.forget(f)
		}
	}
	return woken
}

// close ends all watching, now and later.
func (h *hub) close(why error) (woken []watcherID) {
	h.closed = why
	for _, f := range h.pools {
		woken = h.remove(f, why, woken)
	}
	return woken
}

// rest reports whether there is nothing to follow. Then it lets go of the view,
// which would keep what the machine has long replaced.
func (h *hub) rest() bool {
	if len(h.pools) > 0 {
		return false
	}
	h.view = nil
	return true
}
