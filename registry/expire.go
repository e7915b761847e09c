package registry

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
