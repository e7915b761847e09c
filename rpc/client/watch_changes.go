package client

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/rota-registry/rota/registry"
)

// trailMax bounds how many epochs are kept for one who is slow to take them.
const trailMax = 16

// EpochChange is one change of a watched pool, or several at once.
type EpochChange struct {
	// From and To are the epochs that it leads from and to. From is 0 for the
	// first one, and for a pool that was registered again; To is 0 when the
	// pool was removed.
	From, To registry.Epoch
	// Unseen says that there may have been other epochs between the two.
	Unseen bool
	// Removed says that the pool is no more.
	Removed bool
	// Pool is the pool at To; of one that was removed, what it was last.
	Pool registry.PoolInfo
}

// Changes gives each change of the pool's epoch in order, beginning with the
// copy as it is, and waits for the next one until ctx or the watch ends. Who
// takes 16 epochs longer than they take to come gets the next ones as one
// change; the copy does not wait for it.
func (w *WatchedPool) Changes(ctx context.Context) iter.Seq[EpochChange] {
	return func(yield func(EpochChange) bool) {
		for step := range w.steps(ctx) {
			change := EpochChange{
				From: step.before.epoch(), To: step.after.epoch(), Unseen: step.unseen,
				Removed: step.after.removed, Pool: step.after.view.share(),
			}
			if !yield(change) {
				return
			}
		}
	}
}

// step leads from one copy to another; the first one leads from no pool.
type step struct {
	before, after *snapshot
	unseen        bool
}

// epoch is 0 when there is no pool.
func (s *snapshot) epoch() registry.Epoch {
	if s.removed {
		return 0
	}
	return s.view.info.Epoch
}

// steps is Changes as the copies are.
func (w *WatchedPool) steps(ctx context.Context) iter.Seq[step] {
	return func(yield func(step) bool) {
		t := w.follow()
		defer w.unfollow(t)
		before := &snapshot{view: new(view), removed: true}
		for {
			next, ok := t.next(ctx)
			if !ok || !yield(step{before: before, after: next.copy, unseen: !next.joined}) {
				return
			}
			before = next.copy
		}
	}
}

// trail holds the copies, each of another epoch, that someone has yet to take.
type trail struct {
	// poke has room for one, so that nobody waits for who takes.
	poke chan struct{}
	mu   struct {
		sync.Mutex
		copies []tracked
		ended  bool
	}
}

// tracked is one copy; joined says that no epoch lies between it and the one
// before.
type tracked struct {
	copy   *snapshot
	joined bool
}

// follow begins a trail with the copy as it is.
func (w *WatchedPool) follow() *trail {
	t := &trail{poke: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.mu.ended = w.mu.closed
	t.mu.copies = []tracked{{copy: w.now.Load(), joined: true}}
	if !w.mu.closed {
		w.mu.trails[t] = struct{}{}
	}
	return t
}

func (w *WatchedPool) unfollow(t *trail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.trails, t)
}

// push adds a copy, in the place of the last one if there are too many.
func (t *trail) push(s *snapshot, joined bool) {
	t.mu.Lock()
	if last := len(t.mu.copies) - 1; last+1 < trailMax {
		t.mu.copies = append(t.mu.copies, tracked{copy: s, joined: joined})
	} else {
		t.mu.copies[last] = tracked{copy: s, joined: false}
	}
	t.mu.Unlock()
	t.wake()
}

// end makes next give no more.
func (t *trail) end() {
	t.mu.Lock()
	t.mu.ended = true
	t.mu.Unlock()
	t.wake()
}

func (t *trail) wake() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// next waits for a copy; it reports false when ctx or the trail has ended.
func (t *trail) next(ctx context.Context) (tracked, bool) {
	for ctx.Err() == nil {
		next, ok, ended := t.take()
		if ok || ended {
			return next, ok
		}
		select {
		case <-t.poke:
		case <-ctx.Done():
		}
	}
	return tracked{}, false
}

func (t *trail) take() (next tracked, ok, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.ended || len(t.mu.copies) == 0 {
		return tracked{}, false, t.mu.ended
	}
	next = t.mu.copies[0]
	t.mu.copies = slices.Delete(t.mu.copies, 0, 1)
	return next, true, false
}
