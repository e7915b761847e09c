package replica

import (
	"cmp"
	"container/list"
	"slices"
	"time"

	"github.com/rota-registry/rota/registry"
)

// history is what is remembered of how the followed pools changed, so that a
// watcher who comes back, or is slow, is told the changes that it lacks and not
// the whole pool. It is bounded in changes and in members, over all pools: the
// oldest changes go first, whatever their pools.
type history struct {
	changesMax, membersMax int

	pools   map[registry.PoolName]*followed
	names   []registry.PoolName // of pools, sorted
	order   list.List           // of *change, oldest first
	members int                 // in the edits of all of order
}

// followed is a pool that is watched, or was not long ago.
type followed struct {
	name     registry.PoolName
	watchers map[watcherID]*watcher
	left     time.Duration // when the last watcher left

	// changes lead from the pool at the epoch base to the pool as it is now. The
	// first of them has the number first, and numbers never come back.
	changes []*change
	first   uint64
	base    registry.Epoch
	// complete says that changes has all that came after the entry of base.
	complete bool

	// whole is the pool as it is now, if somebody was told it lately: those who
	// come at the same time share it.
	whole *registry.PoolInfo
}

// change is one change of one pool.
type change struct {
	of      *followed
	event   registry.PoolEvent
	fresh   time.Duration // as the hub's, when the change came
	members int
	place   *list.Element
}

func newHistory() history {
	return history{
		changesMax: registry.WatchChangesMax, membersMax: registry.WatchMembersMax,
		pools: make(map[registry.PoolName]*followed),
	}
}

// follow begins to follow a pool as the view has it. The error is the view's:
// there is no such pool.
func (h *history) follow(view *registry.View, name registry.PoolName) (*followed, error) {
	if f := h.pools[name]; f != nil {
		return f, nil
	}
	pool, err := view.Pool(name)
	if err != nil {
		return nil, err
	}
	f := &followed{
		name: name, watchers: make(map[watcherID]*watcher),
		base: pool.Epoch, complete: view.AsOfEpoch(name), whole: &pool,
	}
	h.pools[name] = f
	i, _ := slices.BinarySearch(h.names, name)
	h.names = slices.Insert(h.names, i, name)
	return f, nil
}

// forget ends the following of a pool.
func (h *history) forget(f *followed) {
	h.drop(f)
	delete(h.pools, f.name)
	i, _ := slices.BinarySearch(h.names, f.name)
	h.names = slices.Delete(h.names, i, i+1)
}

// drop forgets what is remembered of a pool; whoever is not told yet is behind.
func (h *history) drop(f *followed) {
	for _, c := range f.changes {
		h.order.Remove(c.place)
		h.members -= c.members
	}
	f.first, f.changes, f.whole = f.end()+1, nil, nil
}

// add remembers a change, and forgets the oldest for it.
func (h *history) add(f *followed, c *change) {
	c.of = f
	for _, e := range c.event.Change.Edits {
		c.members += len(e.Members)
	}
	c.place = h.order.PushBack(c)
	h.members += c.members
	f.changes, f.whole = append(f.changes, c), nil
	for h.order.Len() > h.changesMax || h.members > h.membersMax {
		h.forgetOldest()
	}
}

func (h *history) forgetOldest() {
	c := h.order.Remove(h.order.Front()).(*change)
	h.members -= c.members
	f := c.of
	f.changes[0] = nil
	f.changes = f.changes[1:]
	f.first++
	f.base = c.event.Change.Pool.Epoch
	f.complete = c.event.Change.From != f.base
}

// restart begins anew with the pool as the view has it.
func (h *history) restart(f *followed, view *registry.View, epoch registry.Epoch) {
	h.drop(f)
	f.base, f.complete = epoch, view.AsOfEpoch(f.name)
}

// end is the number of the next change.
func (f *followed) end() uint64 { return f.first + uint64(len(f.changes)) }

// resume gives the number of the first change for a watcher that has the pool
// at an epoch, if all that it may lack is remembered.
//
// Which of the states within that epoch it has is not known: the state of a
// member that is not eligible may change without a new epoch. So it is told all
// changes since the entry that began the epoch, also when it is the current
// one. That is right because within an epoch members keep their places, and
// edits say what a member is and not what is different: those that the watcher
// has already change nothing that the later ones do not change back.
func (f *followed) resume(after registry.Epoch) (next uint64, ok bool) {
	if after == f.base {
		return f.first, f.complete
	}
	i, ok := slices.BinarySearchFunc(f.changes, after, func(c *change, after registry.Epoch) int {
		return cmp.Compare(c.event.Change.Pool.Epoch, after)
	})
	return f.first + uint64(i) + 1, ok // the first with that epoch is the one that began it
}

// now gives the pool as the view has it.
func (f *followed) now(view *registry.View) *registry.PoolInfo {
	if f.whole == nil {
		pool, err := view.Pool(f.name)
		if err != nil {
			panic("pool " + string(f.name) + " is followed and is not registered: " + err.Error())
		}
		f.whole = &pool
	}
	return f.whole
}
