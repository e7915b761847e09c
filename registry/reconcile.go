package registry

import (
	"cmp"
	"slices"
)

// Seen is one life of a node that gossip shows as alive.
type Seen struct {
	Name NodeName
	Boot BootID
	Addr string // host:port of its gossip
}

// ReconcileInput is all that Decide looks at.
type ReconcileInput struct {
	State *View
	// View is what this leader's gossip shows, in any order. It may hold two
	// lives of one node, and nodes that the layout does not know.
	View []Seen
	// Now is the leader's own monotonic clock, on which Memory stands too.
	Now Millis
	// WarmUp says that the view may still be growing, after an election or a
	// start: nobody is declared failed.
	WarmUp bool
	// Suspicion is how long gossip takes to find a node dead, in ms.
	Suspicion Millis
	// Memory is that of the last decision of this leadership; nil at first.
	Memory Memory
	By     ReplicaName
}

// Memory is what a leader remembers of each node between decisions. A node
// that is forgotten is forgotten here too.
type Memory map[NodeName]Sighting

// Sighting is what a leader remembers of a node's present life.
type Sighting struct {
	Boot   BootID
	Joined Millis // of the record; a life that joins again has a new grace
	// Noticed is when this leader first saw the record with this life.
	Noticed Millis
	// Shown says that gossip has shown this life since.
	Shown bool
}

// Decision is what a leader should do about its gossip view.
type Decision struct {
	// Command has no changes when there is nothing to do.
	Command ReportLiveness
	Memory  Memory
	// Wake is when, on the leader's clock, to look again even if nothing
	// happens; 0 is never.
	Wake Millis
}

// Decide compares the gossip view with the layout, both ways, and gives one
// command that makes the layout follow. It compares whole states, never
// events, so a pass that was missed costs nothing; and each change carries the
// record's index, so a command that comes late does nothing.
func Decide(in ReconcileInput) Decision {
	out := Decision{Command: ReportLiveness{By: in.By}, Memory: make(Memory, len(in.State.nodes))}
	view := livesByName(in.View)
	for i := range in.State.nodes {
		n := &in.State.nodes[i].Node
		lives := view[n.Name]
		sighting := in.sighting(n, lives)
		out.Memory[n.Name] = sighting
		change, wait := in.judge(n, lives, sighting)
		if wait > 0 && (out.Wake == 0 || wait < out.Wake) {
			out.Wake = wait
		}
		if change.State == 0 {
			continue
		}
		if len(out.Command.Changes) == LivenessMax {
			out.Wake = in.Now
			continue
		}
		change.Name, change.Since = n.Name, n.Since
		out.Command.Changes = append(out.Command.Changes, change)
	}
	return out
}

// livesByName sorts the lives of each node by boot id, so that a decision does
// not depend on the order of the view. A boot id that cannot be one is left
// out: gossip says what it is told.
func livesByName(view []Seen) map[NodeName][]Seen {
	lives := make(map[NodeName][]Seen)
	sorted := slices.SortedFunc(slices.Values(view), func(a, b Seen) int { return cmp.Compare(a.Boot, b.Boot) })
	for _, seen := range sorted {
		if seen.Boot.Validate() == nil {
			lives[seen.Name] = append(lives[seen.Name], seen)
		}
	}
	return lives
}

// sighting brings what is remembered of the node up to date.
func (in *ReconcileInput) sighting(n *Node, lives []Seen) Sighting {
	s, known := in.Memory[n.Name]
	if !known || s.Boot != n.Boot || s.Joined != n.Joined {
		s = Sighting{Boot: n.Boot, Joined: n.Joined, Noticed: in.Now}
	}
	s.Shown = s.Shown || shows(lives, n.Boot)
	return s
}

// judge gives the change that the view asks for, whose State is 0 if there is
// none, and when to look again if something is only held back for a while.
func (in *ReconcileInput) judge(n *Node, lives []Seen, s Sighting) (change Liveness, wait Millis) {
	if n.Boot != "" && shows(lives, n.Boot) {
		if n.State == Failed {
			return Liveness{Boot: n.Boot, State: Alive, Reason: "seen again by gossip"}, 0
		}
		return Liveness{}, 0 // A life that has left is shown until gossip hears of it.
	}
	other := newLife(n, lives)
	if n.State != Alive {
		if other.Boot == "" {
			return Liveness{}, 0
		}
		return other.takesOver("seen by gossip"), 0
	}
	if in.WarmUp {
		return Liveness{}, 0
	}
	if grace := s.Noticed + 2*in.Suspicion; !s.Shown && in.Now < grace {
		return Liveness{}, grace
	}
	if other.Boot != "" { // At once, instead of failing the old life first.
		return other.takesOver("a new life was seen by gossip"), 0
	}
	return Liveness{Boot: n.Boot, State: Failed, Reason: "lost by gossip"}, 0
}

// newLife picks the life that may take over from the record's own, or none.
// The one that the record replaced never comes back.
func newLife(n *Node, lives []Seen) Seen {
	for _, l := range lives {
		if l.Boot != n.Replaced && l.Boot != n.Boot {
			return l
		}
	}
	return Seen{}
}

func (l Seen) takesOver(reason string) Liveness {
	return Liveness{Boot: l.Boot, State: Alive, Reason: reason, Address: knownAddress(l.Addr)}
}

// knownAddress drops an address that no record could hold: gossip says what it
// is told.
func knownAddress(a string) string {
	if validateAddress(a) != nil {
		return ""
	}
	return a
}

func shows(lives []Seen, b BootID) bool {
	return slices.ContainsFunc(lives, func(l Seen) bool { return l.Boot == b })
}
