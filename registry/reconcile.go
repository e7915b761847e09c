package registry

import (
	"cmp"
	"slices"
)

// Life is one run of a node's process.
type Life struct {
	Name NodeName
	Boot BootID
}

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
	// Clock is the log clock, which goes on while nothing is written.
	Clock Millis
	// WarmUp says that the view may still be growing, after an election or a
	// start: nobody is declared failed.
	WarmUp bool
	// Suspicion is how long gossip takes to find a node dead, in ms.
	Suspicion Millis
	// Rumor is how long gossip may show nobody a life that is there, by a false
	// rumor of its death.
	Rumor Millis
	// Replicas is how many voters there are, this leader included.
	Replicas int
	// Broken are lives whose connection to a replica has broken since the last
	// decision. That is a hint: it makes a suspect, and no more.
	Broken []Life
	// Said is what the replicas said of the suspects of the last decision.
	Said []Said
	// Thaw are the types that an operator has thawed since the last decision.
	Thaw []NodeType
	// Memory is that of the last decision of this leadership; empty at first.
	Memory Memory
	By     ReplicaName
}

// Decision is what a leader should do about its gossip view.
type Decision struct {
	// Command has no changes when there is nothing to do.
	Command ReportLiveness
	// Suspects are lives about which the replicas are to be asked now. What they
	// say goes into the next decision, without which nobody is declared failed.
	Suspects []Suspect
	Memory   Memory
	// Wake is when, on the leader's clock, to look again even if nothing
	// happens; 0 is never.
	Wake Millis
}

// Decide compares the gossip view with the layout, both ways, and gives one
// command that makes the layout follow. It compares whole states, never
// events, so a pass that was missed costs nothing; and each change carries the
// record's index, so a command that comes late does nothing.
//
// It takes two looks to declare a life failed: the first names it a suspect,
// the second has what the other replicas said of it (see Said), and what many
// failures at once ask for (see Freeze). Who leads need not be confirmed
// besides: the command is committed by a majority, or not at all.
func Decide(in ReconcileInput) Decision {
	p := in.begin()
	for i := range in.State.nodes {
		p.look(&in.State.nodes[i].Node)
	}
	p.freeze()
	for _, d := range p.doomed {
		p.sentence(d)
	}
	p.thaw()
	p.choose()
	return p.out
}

// pass is one run of Decide.
type pass struct {
	*ReconcileInput
	out    Decision
	lives  map[NodeName][]Seen
	said   map[Life]Said
	broken map[Life]bool
	alive  map[NodeType]int  // nodes of the layout
	bare   map[NodeName]bool // members of pools of which nobody is eligible; nil: not yet known
	recent map[NodeType]int  // failed ones that did so within freezeWindow
	doomed []*Node           // who would fail now, but for a freeze
	asks   []asking          // who may be asked about now, in the layout's order
	// forgets is how many are forgotten.
	forgets int
}

func (in *ReconcileInput) begin() *pass {
	p := &pass{
		ReconcileInput: in, lives: livesByName(in.View), said: make(map[Life]Said, len(in.Said)), broken: make(map[Life]bool, len(in.Broken)),
		alive: make(map[NodeType]int), recent: make(map[NodeType]int),
	}
	for _, s := range in.Said {
		p.said[s.Life] = s
	}
	for _, l := range in.Broken {
		p.broken[l] = true
	}
	for _, n := range in.State.nodes {
		if n.State == Alive {
			p.alive[n.Type]++
		}
	}
	p.out = Decision{Command: ReportLiveness{By: in.By}, Memory: in.Memory.next(in)}
	return p
}

// look judges one node, and notes it as doomed if it would fail.
func (p *pass) look(n *Node) {
	lives := p.lives[n.Name]
	s := p.sighting(n, lives)
	var change Liveness
	switch {
	case n.State != Alive:
		change = p.judgeGone(n, lives, &s)
	case !p.WarmUp && (s.Broken || !shows(lives, n.Boot)):
		change = p.judgeLost(n, lives, &s)
	}
	p.out.Memory.Nodes[n.Name] = s
	if s.Doomed {
		p.doomed = append(p.doomed, n)
	}
	if change.State == 0 {
		change = p.expired(n, lives)
	}
	if change.State != 0 {
		p.change(n, change)
	}
}

// sighting brings what is remembered of the node up to date.
func (p *pass) sighting(n *Node, lives []Seen) Sighting {
	s, known := p.Memory.Nodes[n.Name]
	if known && s.State == Alive && n.State == Failed {
		s.Flaps = s.Flaps.failed(p.Now)
	}
	if known && s.Boot != n.Boot {
		p.out.Memory.Buried[Life{n.Name, s.Boot}] = p.Now + 2*p.Suspicion
	}
	if !known || s.Boot != n.Boot || s.Joined != n.Joined {
		s = Sighting{Boot: n.Boot, Joined: n.Joined, Noticed: p.Now, State: n.State, Changed: p.Now, Flaps: s.Flaps}
	}
	if s.State != n.State {
		s.State, s.Changed, s.Broken, s.AskAt = n.State, p.Now, false, 0
	}
	seen := shows(lives, n.Boot)
	s.Shown = s.Shown || seen
	if seen {
		s.Lost = 0
	} else if s.Lost == 0 {
		s.Lost = p.Now
	}
	s.Gone = !seen || s.Gone && n.State != Alive
	s.Unseen = s.Unseen && !seen
	if p.broken[Life{n.Name, n.Boot}] {
		s.Broken, s.Probing = true, 0
	}
	s.Broken = s.Broken && n.State == Alive && (s.Probing == 0 || p.Now < s.Probing+2*p.Suspicion)
	s.Doomed = s.Doomed && n.State == Alive && !p.WarmUp && (s.Broken || !seen)
	if n.State == Failed && s.Flaps.last() > p.Now-freezeWindow && s.Flaps.last() > 0 {
		p.recent[n.Type]++
	}
	return s
}

// judgeGone is about a node that is not alive: whether a life of it is.
func (p *pass) judgeGone(n *Node, lives []Seen, s *Sighting) Liveness {
	own := n.Boot != "" && shows(lives, n.Boot)
	if own && n.State == Left {
		return Liveness{} // A life that has left is shown until gossip hears of it.
	}
	other := p.newLife(n, lives)
	if !own && other.Boot == "" {
		return Liveness{}
	}
	if held := s.Flaps.Until; p.Now < held && p.spares(n) {
		p.wake(held)
		return Liveness{}
	}
	if !own {
		return other.takesOver("seen by gossip")
	}
	// Gossip goes on showing for a while who was found dead without it; so it is
	// news only if it had lost the life, and otherwise the life is asked.
	said, asked := p.said[Life{n.Name, n.Boot}]
	trusted := s.Changed + 2*p.Suspicion
	if s.Gone || asked && said.Probed && said.SeenBy != "" || p.Now >= trusted {
		return Liveness{Boot: n.Boot, State: Alive, Reason: "seen again by gossip"}
	}
	p.suspect(n, s, asked, true)
	p.wake(trusted)
	return Liveness{}
}

// spares reports whether one that is not alive is in no pool without others that
// are eligible, and not the only one of its type.
func (p *pass) spares(n *Node) bool {
	if p.bare == nil {
		p.bare = p.State.bare()
	}
	others := func(o *listed) bool { return o.Type == n.Type && o.Eligible() }
	return !p.bare[n.Name] && slices.ContainsFunc(p.State.nodes, others)
}

// judgeLost is about a node that is alive on record, and that gossip does not
// show or whose connection has broken.
func (p *pass) judgeLost(n *Node, lives []Seen, s *Sighting) Liveness {
	if grace := s.Noticed + 2*p.Suspicion; !s.Shown && p.Now < grace {
		p.wake(grace)
		return Liveness{}
	}
	seen := shows(lives, n.Boot)
	if other := p.newLife(n, lives); !seen && other.Boot != "" { // At once, instead of failing the old life first.
		s.Doomed = false
		return other.takesOver("a new life was seen by gossip")
	}
	said, asked := p.said[Life{n.Name, n.Boot}]
	if heard := s.Lost + p.Rumor; !seen && !asked && !s.Doomed && p.Now < heard {
		p.wake(heard)
		return Liveness{}
	}
	switch {
	case asked && said.SeenBy != "":
		s.Doomed, s.Unseen, s.Broken = false, false, s.Broken && !said.Probed
		if !s.Broken && seen {
			return Liveness{}
		}
	case asked:
		s.Doomed = s.Doomed || said.proves(seen, s.Unseen, p.Replicas)
		s.Unseen = true
		if said.Probed && s.Probing == 0 {
			s.Probing = p.Now
		}
	}
	if !s.Doomed { // Else it is asked about again if it does not fail now.
		p.suspect(n, s, asked, s.Broken && seen) // Of whom gossip has lost, the views tell.
	}
	return Liveness{}
}

// suspect has the replicas asked about a node, unless they just were.
func (p *pass) suspect(n *Node, s *Sighting, asked, probe bool) {
	if asked {
		s.AskAt = p.Now + askEvery
	}
	if p.Now < s.AskAt {
		p.wake(s.AskAt)
		return
	}
	p.asks = append(p.asks, asking{s.AskAt, Suspect{Life{n.Name, n.Boot}, probe}})
}

// asking is a suspect that may be asked about since a time.
type asking struct {
	since Millis
	Suspect
}

// choose takes as many suspects as may be asked about at once. Who has waited
// longest comes first: asking may take longer than askEvery, and whoever was asked
// about would always be before the others again.
func (p *pass) choose() {
	slices.SortStableFunc(p.asks, func(a, b asking) int { return cmp.Compare(a.since, b.since) })
	probes := 0
	for _, a := range p.asks {
		if len(p.out.Suspects) == SuspectsMax || a.Probe && probes == ProbesMax {
			p.wake(p.Now)
			continue
		}
		p.out.Suspects = append(p.out.Suspects, a.Suspect)
		if a.Probe {
			probes++
		}
	}
}

func (p *pass) change(n *Node, change Liveness) {
	if len(p.out.Command.Changes) == LivenessMax {
		p.wake(p.Now)
		return
	}
	change.Name, change.Since = n.Name, n.Since
	p.out.Command.Changes = append(p.out.Command.Changes, change)
}

func (p *pass) wake(at Millis) {
	if p.out.Wake == 0 || at < p.out.Wake {
		p.out.Wake = at
	}
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

// newLife picks the life that may take over from the record's own, or none.
// The one that the record replaced never comes back; nor, while it is buried, one
// that was replaced before it or found dead.
func (p *pass) newLife(n *Node, lives []Seen) Seen {
	for _, l := range lives {
		_, buried := p.out.Memory.Buried[Life{n.Name, l.Boot}]
		if !buried && l.Boot != n.Replaced && l.Boot != n.Boot {
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
