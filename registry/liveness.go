package registry

import (
	"maps"
	"slices"
)

const (
	// askEvery is how soon a suspect is asked about again that somebody sees, or
	// of whom too little is known: a small part of the eight seconds in which a
	// silent host is to be found.
	askEvery = Millis(250)

	// A node that fails flapsMax times within flapWindow flaps.
	flapWindow = Millis(10 * 60_000)
	flapsMax   = 3
	// It is held back for holdMin, and twice as long after each further failure.
	holdMin = Millis(30_000)
	holdMax = Millis(10 * 60_000)

	// A type is frozen when freezeMin of its nodes or more, and more than
	// freezePercent of them, would have failed within freezeWindow.
	freezeWindow  = Millis(30_000)
	freezeMin     = 3
	freezePercent = 30
	// freezeProof is how long a freeze lasts at least, whatever the probes say:
	// a network that stood still for a moment answers none either.
	freezeProof = Millis(2_000)
)

// Suspect is a life about which the replicas are to be asked.
type Suspect struct {
	Life
	// Probe asks the replicas to call the life directly. Otherwise they say
	// whether their gossip shows it.
	Probe bool
}

// Sight is what one replica says of a life.
type Sight uint8

// The sights. Unsure is the zero value: who has not looked has seen nothing.
const (
	Unsure Sight = iota // it could not look, and counts neither way
	Sees                // its gossip shows the life, or a probe was answered
	Misses              // it does not, or was not
)

// Said is what the replicas together said of a suspect.
type Said struct {
	Life
	// Probed says that they called the life directly.
	Probed bool
	// SeenBy is a replica that sees the life; empty is none.
	SeenBy ReplicaName
	// Missed is how many replicas do not see it, the leader included. A replica
	// that does not answer is in neither.
	Missed int
}

// proves reports whether it is enough to declare the life failed. Whom gossip
// has lost nobody may see. A lone leader goes by its own view, and so does one
// whose others do not answer, but only when it asks again: a machine that is too
// busy to answer in time makes a leader lose nodes, too. Of whom gossip still
// shows the connection alone is broken, and that takes probes of two replicas,
// where there are two.
func (s Said) proves(seen, again bool, replicas int) bool {
	if s.SeenBy != "" {
		return false
	}
	if seen {
		return s.Probed && s.Missed >= min(2, replicas)
	}
	return s.Missed >= min(2, replicas) || again && s.Missed > 0
}

// outvotes reports whether it is enough even while the type is frozen.
func (s Said) outvotes(replicas int) bool {
	return s.Probed && s.SeenBy == "" && s.Missed > replicas/2
}

// Memory is what a leader remembers between decisions. It is the leader's own
// and begins anew with each leadership; a decision never changes the one that it
// was given.
type Memory struct {
	// Nodes are those of the layout: a node that is forgotten is forgotten here
	// too.
	Nodes  map[NodeName]Sighting
	Frozen map[NodeType]Freeze
	// Thawed says until when a type is not frozen again, on an operator's word.
	Thawed map[NodeType]Millis
	// Buried are lives that probes found dead while gossip showed them, and those
	// that the record has replaced. Gossip goes on showing them for a while: until
	// it does not, or until then, they are taken for nobody's new life, though the
	// record replace another one meanwhile, or be forgotten and made anew.
	Buried map[Life]Millis
}

// Sighting is what a leader remembers of a node.
type Sighting struct {
	// Boot and Joined are the record's present life; one that joins again has a
	// new grace.
	Boot   BootID
	Joined Millis
	// Noticed is when this leader first saw the record with this life.
	Noticed Millis
	// Shown says that gossip has shown this life since.
	Shown bool
	// State is the record's, and Changed when this leader first saw it so.
	State   NodeState
	Changed Millis
	// Gone says that gossip has lost this life, so that it is news when it is
	// shown again.
	Gone bool
	// Lost is since when gossip has not shown it; 0 while it does.
	Lost Millis
	// Broken says that its connection to a replica has broken, and that it has
	// answered no probe since. Probing is when one was first in vain, 0 for not yet:
	// twice the suspicion time later gossip has found out what the probes could not,
	// and the hint is forgotten. They cannot while UDP to it is lost and what is
	// there takes connections.
	Broken  bool
	Probing Millis
	// Doomed says that enough was said of this life to declare it failed, which
	// then only a freeze keeps from happening.
	Doomed bool
	// Unseen says that nobody saw it when the replicas were asked last.
	Unseen bool
	// AskAt is when the replicas may be asked about it again.
	AskAt Millis
	Flaps Flaps
}

// Flaps is how often a node has failed lately, over all of its lives.
//
// A node that flaps moves its keys away and back each time. So it is held back:
// it stays failed for a while though gossip shows it again, and its keys stay
// with the nodes that took them over. It is never declared failed more slowly,
// because keys on a dead node are worse. Nor is it held back while no other node
// of its type, or of one of its pools, is eligible: one that flaps is better than
// none. And not when its process joins anew, which says itself that it lives and
// was promised to be alive then.
type Flaps struct {
	Failures []Millis // the last flapsMax, the newest last
	// Hold is how long it was held back last, and Until when that ends. While
	// Hold is not 0 each further failure doubles it; ten quiet minutes clear it.
	Hold  Millis
	Until Millis
}

// failed is what it is after one more failure.
func (f Flaps) failed(now Millis) Flaps {
	if f.Hold > 0 && now >= max(f.Until, f.last())+flapWindow {
		f.Hold, f.Until = 0, 0
	}
	recent := slices.DeleteFunc(slices.Clone(f.Failures), func(at Millis) bool { return now-at >= flapWindow })
	recent = append(recent, now)
	f.Failures = recent[max(0, len(recent)-flapsMax):]
	switch {
	case f.Hold > 0:
		f.Hold = min(2*f.Hold, holdMax)
	case len(f.Failures) == flapsMax:
		f.Hold = holdMin
	default:
		return f
	}
	f.Until = now + f.Hold
	return f
}

// last is when it failed last, 0 for never.
func (f Flaps) last() Millis {
	if len(f.Failures) == 0 {
		return 0
	}
	return f.Failures[len(f.Failures)-1]
}

// Freeze says that so many nodes of a type would fail at once that it is more
// likely the replicas, or the network before them, that are in trouble; and that
// moving all keys to the few that are left would do harm. While it lasts nobody
// of the type is declared failed, but those whom a majority of the replicas has
// probed in vain.
//
// It ends when all are back, or failed by such probes, or when an operator says
// so.
type Freeze struct {
	Since Millis // on the leader's clock
	// Proof is when probes begin to count.
	Proof Millis
}

// next is the memory that a decision writes: without what an operator thawed.
func (m Memory) next(in *ReconcileInput) Memory {
	out := Memory{Nodes: make(map[NodeName]Sighting, len(in.State.nodes)), Frozen: maps.Clone(m.Frozen), Thawed: make(map[NodeType]Millis), Buried: make(map[Life]Millis)}
	if out.Frozen == nil {
		out.Frozen = make(map[NodeType]Freeze)
	}
	for t, until := range m.Thawed { // any order
		if in.Now < until {
			out.Thawed[t] = until
		}
	}
	for _, seen := range in.View {
		life := Life{seen.Name, seen.Boot}
		if until := m.Buried[life]; in.Now < until {
			out.Buried[life] = until
		}
	}
	for _, t := range in.Thaw {
		if _, frozen := out.Frozen[t]; frozen {
			delete(out.Frozen, t)
			out.Thawed[t] = in.Now + freezeWindow
		}
	}
	return out
}

// freeze begins the freezes that the doomed nodes ask for.
func (p *pass) freeze() {
	doomed := make(map[NodeType]int)
	for _, n := range p.doomed {
		doomed[n.Type]++
	}
	for t, now := range doomed { // any order
		_, frozen := p.out.Memory.Frozen[t]
		_, thawed := p.out.Memory.Thawed[t]
		lost, all := now+p.recent[t], p.alive[t]+p.recent[t]
		if !frozen && !thawed && lost >= freezeMin && 100*lost > freezePercent*all {
			p.out.Memory.Frozen[t] = Freeze{Since: p.Now, Proof: p.Now + freezeProof}
		}
	}
}

// sentence declares a doomed node failed, or has it probed if its type is frozen.
func (p *pass) sentence(n *Node) {
	s := p.out.Memory.Nodes[n.Name]
	said, asked := p.said[Life{n.Name, n.Boot}]
	freeze, frozen := p.out.Memory.Frozen[n.Type]
	if frozen && (!asked || p.Now < freeze.Proof || !said.outvotes(p.Replicas)) {
		p.suspect(n, &s, asked, true)
		p.out.Memory.Nodes[n.Name] = s
		return
	}
	reason := "lost by gossip"
	if shows(p.lives[n.Name], n.Boot) {
		reason = "connection broken and no answer to probes"
		p.out.Memory.Buried[Life{n.Name, n.Boot}] = p.Now + 2*p.Suspicion
	}
	p.change(n, Liveness{Boot: n.Boot, State: Failed, Reason: reason})
}

// thaw ends the freezes of types none of whose nodes is doomed any more.
func (p *pass) thaw() {
	for t := range p.out.Memory.Frozen { // any order
		if !slices.ContainsFunc(p.doomed, func(n *Node) bool { return n.Type == t }) {
			delete(p.out.Memory.Frozen, t)
		}
	}
}

// LivenessReport is what keeps a leader from following its gossip, for people.
type LivenessReport struct {
	Leader ReplicaName  // whose word it is
	Frozen []FrozenType // sorted by type
	Held   []HeldNode   // sorted by name
}

// FrozenType is a type of which nobody is declared failed.
type FrozenType struct {
	Type NodeType
	For  Millis // how long by now
	// Lost are its nodes that would fail, sorted by name.
	Lost []NodeName
	Of   int // nodes of the type that are alive on record
}

// HeldNode is a node that flaps, and so stays failed though gossip may show it.
type HeldNode struct {
	Name     NodeName
	Type     NodeType
	For      Millis // how much longer
	Failures int    // within the last ten minutes, flapsMax at most
}

// Report tells what is frozen and who is held back at a time on the leader's
// clock, of the layout that v shows.
func (m Memory) Report(v *View, now Millis) LivenessReport {
	var out LivenessReport
	frozen := make(map[NodeType]*FrozenType)
	for _, t := range slices.Sorted(maps.Keys(m.Frozen)) {
		out.Frozen = append(out.Frozen, FrozenType{Type: t, For: max(0, now-m.Frozen[t].Since)})
	}
	for i := range out.Frozen {
		frozen[out.Frozen[i].Type] = &out.Frozen[i]
	}
	for _, n := range v.nodes {
		s := m.Nodes[n.Name]
		if f := frozen[n.Type]; f != nil && n.State == Alive {
			f.Of++
			if s.Doomed {
				f.Lost = append(f.Lost, n.Name)
			}
		}
		if n.State == Failed && now < s.Flaps.Until {
			out.Held = append(out.Held, HeldNode{Name: n.Name, Type: n.Type, For: s.Flaps.Until - now, Failures: len(s.Flaps.Failures)})
		}
	}
	return out
}
