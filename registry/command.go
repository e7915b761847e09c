package registry

// Stamp is what the log says of one entry.
type Stamp struct {
	Index Index
	Term  Term
	// Clock is the log clock: the leader's monotonic clock, in ms, carried on
	// from the last entry of the term before. Rules that need time use it; the
	// state keeps the largest it has seen, so it never runs backwards.
	Clock Millis
	// Wall is the leader's wall time, ms since 1970. It is shown to people and
	// decides nothing.
	Wall Millis
}

// Command is one change of the state. The set is closed: fsm gives each a
// number in the log, and a changed meaning is a new command.
type Command interface{ command() }

// TermStart is the first command of each leadership. It changes nothing but
// the log clock; that it was applied says that everything committed in earlier
// terms is applied too.
type TermStart struct{ Leader ReplicaName }

// FoundCluster is the first command of a cluster's life.
type FoundCluster struct {
	ClusterID ClusterID
	Replicas  []Replica
}

// SetReplica commits where a replica is now reached, or a new replica's store.
type SetReplica struct{ Replica Replica }

// RegisterPool makes a pool, or changes one when Replace is set. The spec may
// lack a name or a topic (see Spec).
type RegisterPool struct {
	Spec    Spec
	Replace bool
	// RequireNodes refuses the pool while there are too few nodes for the
	// exclusive pools of its type, as Zeek does at its start.
	RequireNodes bool
	By           string // who asked, for people
}

// UnregisterPool removes a pool and its cursors.
type UnregisterPool struct {
	Name PoolName
	By   string
}

// RebalancePools applies Zeek's whole assignment function to every node type.
type RebalancePools struct{ By string }

// RoundRobin takes turns, in order, each on its own: one that fails does not
// keep the others from theirs.
type RoundRobin struct{ Turns []Turn }

// Turn asks one cursor for the next Count answers.
type Turn struct {
	Pool  PoolName
	Key   string
	Count int
	// LogID makes it Zeek's rr_log_topic(LogID, path): pool and key are those
	// of the logs, and an empty answer becomes the log's own topic. Pool, Key
	// and Count are then not used.
	LogID string
	// Request makes the turn count once however often it is taken. The zero
	// value is none: each turn then counts.
	Request RequestID
}

// RequestID names one request of a session. Whoever gives it to another request
// of the session gets the answer of the first.
type RequestID struct {
	Session SessionID
	// Serial is drawn by the session's owner, 1 for its first request.
	Serial uint64
	// FirstUnacked is the smallest serial whose answer the owner may still ask
	// for: what is below is forgotten. 0 acknowledges nothing.
	FirstUnacked uint64
}

// OpenSession makes a session, under which a retried turn counts once. It is
// forgotten when it has not been used for SessionRetention, or when it is the
// one unused for longest and there are too many sessions or stored answers.
type OpenSession struct{ ID SessionID }

// SetCursor makes the member with index Next the next in the rotation.
type SetCursor struct {
	Pool PoolName
	Key  string
	Next int
	By   string
}

// DeleteCursor forgets a cursor: the rotation of its key starts over at 0.
type DeleteCursor struct {
	Pool PoolName
	Key  string
	By   string
}

// ForgetCursors removes cursors that have not been used for longer than
// CursorRetention, those unused for longest first, and ForgetMax at most.
// Which these are is found when it is applied: so one that was used in the meantime
// stays. A leader proposes it when State.CursorsDue says that there are some.
type ForgetCursors struct{ By ReplicaName }

// SetSettings changes the settings that Change names and leaves the others.
type SetSettings struct {
	Change SettingsChange
	By     string
}

// JoinNode brings a node, or a new life of a known one, into the layout, alive.
type JoinNode struct {
	Name    NodeName
	Type    NodeType
	Address string
	Boot    BootID
	// Replaces is the boot id that the proposer saw in the layout and found
	// dead, empty if there was none. Another one there by now is a conflict.
	Replaces BootID
	By       string
}

// LeaveNode is a node's goodbye. It is final for its boot id.
type LeaveNode struct {
	Name   NodeName
	Boot   BootID
	Reason string
}

// AddNode brings a static node into the layout; until it is seen it is failed.
// A known node becomes static and keeps its life.
type AddNode struct {
	Name    NodeName
	Type    NodeType
	Address string
	By      string
}

// DrainNode sets or takes back the drain mark.
type DrainNode struct {
	Name     NodeName
	Draining bool
	Reason   string
	By       string
}

// ForgetNode removes a node from the layout and from its pools.
type ForgetNode struct {
	Name   NodeName
	Reason string
	By     string
}

// ReportLiveness is what the leader's reconciler commits: one batch a pass. A
// change whose precondition no longer holds is skipped, so that a command that
// arrives twice, or late, is harmless.
type ReportLiveness struct {
	Changes []Liveness
	By      ReplicaName
}

// Liveness is one node found alive or failed, or gone for so long that the layout
// keeps it no longer.
type Liveness struct {
	Name NodeName
	// Boot is the life that was seen, or lost. A node whose boot id in the
	// layout is another one takes this one on when it becomes alive.
	Boot  BootID
	State NodeState // Alive, Failed or Forgotten
	// Since is the precondition: the index at which the node's record stood
	// when the change was decided.
	Since  Index
	Reason string
	// Address is where gossip reaches the life, host:port; a record that takes
	// on a new life takes it too. Empty leaves the record's.
	Address string
}

func (TermStart) command()      {}
func (FoundCluster) command()   {}
func (SetReplica) command()     {}
func (RegisterPool) command()   {}
func (UnregisterPool) command() {}
func (RebalancePools) command() {}
func (RoundRobin) command()     {}
func (SetCursor) command()      {}
func (DeleteCursor) command()   {}
func (ForgetCursors) command()  {}
func (SetSettings) command()    {}
func (JoinNode) command()       {}
func (LeaveNode) command()      {}
func (AddNode) command()        {}
func (DrainNode) command()      {}
func (ForgetNode) command()     {}
func (ReportLiveness) command() {}
func (OpenSession) command()    {}
