package registry

import "slices"

// Snapshot is the whole state as plain data, every slice sorted: what fsm
// writes and reads.
type Snapshot struct {
	ClusterID ClusterID
	Clock     Millis
	Settings  Settings
	Replicas  []Replica // sorted by name
	Nodes     []Node    // sorted by name
	Pools     []PoolSnapshot
	Sessions  []SessionSnapshot
}

// PoolSnapshot is one pool; pools are sorted by name.
type PoolSnapshot struct {
	Spec    Spec
	Epoch   Epoch
	Members []MemberSnapshot // in order
	Cursors []CursorSnapshot // sorted by key
}

// MemberSnapshot is one member. Eligibility follows from the node's record.
type MemberSnapshot struct {
	Node   NodeName
	Alias  string
	SiteID uint32
}

// CursorSnapshot is one cursor; Used is the log clock of its last use.
type CursorSnapshot struct {
	Key  string
	Next int
	Used Millis
}

// SessionSnapshot is one session; sessions are sorted by id.
type SessionSnapshot struct {
	ID   SessionID
	Used Millis // the log clock of its last use
	// FirstUnacked is the smallest serial that is not acknowledged.
	FirstUnacked uint64
	Stored       []StoredTurn // sorted by serial
}

// StoredTurn is what a request was answered; Taken says where. Its answers are
// the state's own, which are never changed: nobody else may, either.
type StoredTurn struct {
	Serial uint64
	Result TurnResult
}

// Frozen is a state as it was at one moment.
type Frozen struct {
	view     View
	cursors  *cursorTable
	sessions *sessionTable
}

// Freeze gives the state as it is now, in no time, whatever its size: it shares
// all with the state, which copies what it changes from now on, a little at a
// time. Snapshot may be called while the state goes on, Freeze may not.
func (s *State) Freeze() *Frozen {
	return &Frozen{view: s.View, cursors: s.cursors.copy(), sessions: s.sessions.copy()}
}

// Snapshot copies the state out.
func (s *State) Snapshot() Snapshot { return s.Freeze().Snapshot() }

// Snapshot copies out what was frozen.
func (f *Frozen) Snapshot() Snapshot {
	s := &f.view
	snap := Snapshot{
		ClusterID: s.cluster, Clock: s.clock, Settings: s.settings.clone(),
		Replicas: slices.Clone(s.replicas),
	}
	for _, n := range s.nodes {
		snap.Nodes = append(snap.Nodes, n.Node)
	}
	for _, p := range s.pools {
		snap.Pools = append(snap.Pools, f.poolSnapshot(p))
	}
	snap.Sessions = f.sessions.snapshot()
	return snap
}

func (f *Frozen) poolSnapshot(p *pool) PoolSnapshot {
	snap := PoolSnapshot{Spec: p.spec.clone(), Epoch: p.epoch}
	for _, m := range p.members {
		snap.Members = append(snap.Members, MemberSnapshot{Node: m.name, Alias: m.alias, SiteID: m.site})
	}
	for key, c := range f.cursors.sorted(p.spec.Name) {
		snap.Cursors = append(snap.Cursors, CursorSnapshot{Key: key, Next: c.next, Used: c.used})
	}
	return snap
}
