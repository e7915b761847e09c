package client

import (
	"context"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// WatchedNode is a watched pool as one of its nodes sees it, which need not be a
// member at all times.
type WatchedNode struct {
	pool *WatchedPool
	node registry.NodeName
}

// As gives the pool as the node of that name sees it, without asking anyone.
func (w *WatchedPool) As(node registry.NodeName) *WatchedNode {
	return &WatchedNode{pool: w, node: node}
}

// IsMine reports whether hrw gives the key to this node, and the epoch at which
// it does or does not: the fencing token of what is done with the key. It is
// false while there is no pool, after Close, and of a key that HRW refuses. It
// does not allocate.
//
// The answer is as old as the copy, and another node's copy may be newer: see
// "Watched pools" in the package comment before you rely on it.
func (n *WatchedNode) IsMine(key hrw.Key) (bool, registry.Epoch) {
	s := n.pool.now.Load()
	if s.refusal != nil || key.Len() > registry.KeyMax {
		return false, s.view.info.Epoch
	}
	return s.view.owns(n.node, key), s.view.info.Epoch
}

// ShareEvents are called when keys may have moved to or from a node; those that
// are nil are not. For one change OnGap comes first and OnGain last, so that
// what is lost is given up before there is more to do.
type ShareEvents struct {
	// OnGap: there were epochs that this process has not seen. The event is
	// about the keys that the node has had before them and has after them: they
	// may have been another's in between.
	OnGap func(ShareChange)
	// OnLose: keys were the node's and are not any more.
	OnLose func(ShareChange)
	// OnGain: keys are the node's and were not before. The first one, with
	// the copy as it is, is about all keys that are.
	OnGain func(ShareChange)
}

// ShareChange is what one change of a pool's epoch means for the keys of one
// node.
type ShareChange struct {
	Node registry.NodeName
	// From, To, Unseen and Removed are as in EpochChange. To is the fencing
	// token of what was gained.
	From, To registry.Epoch
	Unseen   bool
	Removed  bool
	// Share is how much of all keys this is about, 0 to 1, measured: at worst 1 %
	// off, and less when it is small. An event of share 0 may still be about
	// some.
	Share float64
	// Others are those whom the keys were gained from, or lost to, the largest
	// share first; of a gap there are none.
	Others []NodeShare

	before, after *view
	had, has      bool
}

// Moved reports, exactly, whether the event is about the key. It needs no watch
// and may be asked later.
func (c *ShareChange) Moved(key hrw.Key) bool {
	return key.Len() <= registry.KeyMax && c.before.owns(c.Node, key) == c.had && c.after.owns(c.Node, key) == c.has
}

// Follow calls events for each change of the pool's epoch that may move keys to
// or from the node, beginning with the copy as it is: one at a time, in the
// order of the epochs, from a goroutine of its own. While a call lasts, up to 16
// epochs wait and all further ones become one change; the copy does not wait.
// It ends with the watch, or with stop, which waits for a call under way and so
// must not be called by one.
func (n *WatchedNode) Follow(events ShareEvents) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	run := func() {
		defer close(done)
		before, was := new(view), newOwners(new(view))
		for step := range n.pool.steps(ctx) {
			after := step.after.live()
			t := transit(before, was, after)
			n.tell(events, step, t)
			before, was = after, t.is
		}
	}
	if !n.pool.call(run) {
		close(done)
	}
	return func() {
		cancel()
		<-done
	}
}

// call runs f in a goroutine that the watch waits for at its end; it reports
// false if it has ended.
func (w *WatchedPool) call(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mu.closed {
		w.mu.callbacks.Go(f)
	}
	return !w.mu.closed
}

// live is the pool's view, without members when there is no pool.
func (s *snapshot) live() *view {
	if s.removed {
		return new(view)
	}
	return s.view
}

// tell makes the calls for one step.
func (n *WatchedNode) tell(events ShareEvents, step step, t *transition) {
	was, is := t.before.find(n.node), t.after.find(n.node)
	gained, lost, kept := t.flows(was, is)
	event := ShareChange{
		Node: n.node, From: step.before.epoch(), To: step.after.epoch(), Unseen: step.unseen,
		Removed: step.after.removed, before: t.before, after: t.after,
	}
	if step.unseen && was >= 0 && is >= 0 && events.OnGap != nil {
		event.had, event.has, event.Share = true, true, float64(kept)/samples
		events.OnGap(event)
	}
	if t.losing(was) && events.OnLose != nil {
		event.had, event.has = true, false
		event.Share, event.Others = lost.shares(t.after.nodes)
		events.OnLose(event)
	}
	if t.gaining(is) && events.OnGain != nil {
		event.had, event.has = false, true
		event.Share, event.Others = gained.shares(t.before.nodes)
		events.OnGain(event)
	}
}

// owns reports whether the key belongs to that node.
func (v *view) owns(node registry.NodeName, key hrw.Key) bool {
	at := v.owner(key)
	return at >= 0 && v.nodes[at].Node == node
}

// find is the node's index in nodes, or -1.
func (v *view) find(node registry.NodeName) int {
	for i := range v.nodes {
		if v.nodes[i].Node == node {
			return i
		}
	}
	return -1
}
