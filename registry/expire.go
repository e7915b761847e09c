package registry

import (
	"cmp"
	"slices"
)

// forgetsMax is how many nodes one decision forgets: in the largest state each may
// take milliseconds to apply.
const forgetsMax = 16

// outlived reports whether a node has been failed or left for longer, on the log
// clock, than the layout keeps it. A static node is kept for ever, and so is one that
// drains: the operator's word on it is in its record.
func (s *Settings) outlived(n *Node, clock Millis) bool {
	if n.Static || n.Draining || n.State == Alive {
		return false
	}
	kept := s.FailedRetention
	if n.State == Left {
		kept = s.LeftRetention
	}
	return clock-n.SinceClock > kept
}

// expired is about a node that has nothing else to be changed: whether it is to be
// forgotten. One of which gossip shows a life is not, nor any while the view may
// still be growing.
func (p *pass) expired(n *Node, lives []Seen) Liveness {
	if p.WarmUp || len(lives) > 0 || !p.State.settings.outlived(n, p.Clock) {
		return Liveness{}
	}
	if p.forgets == forgetsMax {
		p.wake(p.Now)
		return Liveness{}
	}
	p.forgets++
	return Liveness{Boot: n.Boot, State: Forgotten, Reason: n.State.String() + " for longer than " + n.State.String() + "_retention"}
}

// unusedCursor is one that is to be forgotten.
type unusedCursor struct {
	used Millis
	pool PoolName
	key  string
}

func (c unusedCursor) compare(o unusedCursor) int {
	return cmp.Or(cmp.Compare(c.used, o.used), cmp.Compare(c.pool, o.pool), cmp.Compare(c.key, o.key))
}

// unused gives the first ForgetMax of the cursors last used before a time,
// in the order of their last use. The list is cut whenever it has twice as many.
func (t *cursorTable) unused(before Millis) []unusedCursor {
	var list []unusedCursor
	cut := func() {
		slices.SortFunc(list, unusedCursor.compare)
		list = list[:min(len(list), ForgetMax)]
	}
	for pool, keys := range t.of { // any order
		for key, c := range keys.all() {
			if c.used >= before {
				continue
			}
			list = append(list, unusedCursor{c.used, pool, key})
			if len(list) == 2*ForgetMax {
				cut()
				before = list[len(list)-1].used + 1 // What was used later would be cut.
			}
		}
	}
	cut()
	return list
}

func (s *State) forgetCursors() Result {
	list := s.cursors.unused(s.clock - CursorRetention)
	for _, c := range list {
		s.cursors.remove(c.pool, c.key)
	}
	return Result{Changed: len(list) > 0}
}

// CursorsDue gives the log clock at which there will be something for ForgetCursors
// to do, if no cursor is used until then; by then nothing can be due any sooner. It
// looks at all of them.
func (s *State) CursorsDue() Millis {
	oldest := s.clock
	for _, keys := range s.cursors.of { // any order
		for _, c := range keys.all() {
			oldest = min(oldest, c.used)
		}
	}
	return oldest + CursorRetention + 1
}
