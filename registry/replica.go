package registry

// Replica is what the log knows of one replica.
type Replica struct {
	Name    ReplicaName
	StoreID StoreID
	// Addresses where it was last reached, host:port each.
	API, Raft, Gossip string
}

// Consistency is what a read asks for.
type Consistency uint8

// The consistencies. Linearizable is the zero value: who wants less says so.
const (
	// Linearizable reads see every write that was acknowledged before they
	// were asked, on any replica.
	Linearizable Consistency = iota
	// AtLeast reads see the state at an index the caller names, or later.
	AtLeast
	// Local reads see what this replica has now, without asking anyone.
	Local
)

// String gives the consistency's name on the wire.
func (c Consistency) String() string {
	switch c {
	case Linearizable:
		return "linearizable"
	case AtLeast:
		return "at_least"
	case Local:
		return "local"
	}
	return "unknown"
}

// ReadOptions say how fresh a read must be.
type ReadOptions struct {
	Consistency Consistency
	// AtLeastIndex is a lower bound for every consistency; 0 is none.
	AtLeastIndex Index
}

// Position is a place in the log: an index and the term of the entry there.
type Position struct {
	Index Index
	Term  Term
}

// ReadInfo says what a read was answered from.
type ReadInfo struct {
	Position
	// Age is how long ago, in ms, this replica was certainly up to date: it lacks
	// nothing that was acknowledged before. A year is not known: no leader has told it
	// since its start. Only Local reads and watches have it.
	Age Millis
}

// Greeting is what replicas tell each other, and Status tells people.
type Greeting struct {
	Replica
	ClusterID ClusterID
	// Empty says that its store has never held anything: no founding, no vote.
	Empty bool
	// Listed are the API addresses that it was told to found a cluster with,
	// sorted: only those who were told the same found one.
	Listed []string
	// Roster is who belongs to the cluster as this replica knows it, by name
	// and store id: committed, or chosen for a founding under way.
	Roster []Replica
	// Role is leader, follower, candidate, or waiting before Raft has started.
	Role           string
	Voter          bool
	Term           Term
	Leader         ReplicaName
	Applied        Index
	Committed      Index
	Version        string
	GossipMembers  int // alive in its gossip view
	Ready          bool
	NotReadyReason string
	Checkpoints    []Checkpoint // the last few, the newest last
	// FrozenTypes are the leader's, FrozenTypesMax of them at most: see Freeze.
	FrozenTypes []NodeType
	// AppendTime is how long its store takes, in the median of late, to append to
	// the log; 0 is not known.
	AppendTime Micros
}

// Checkpoint is a hash over all commands of the log behind the index From up to
// Index: at equal indexes it is the same on every replica, or their states are
// not.
type Checkpoint struct {
	Index, From Index
	Hash        uint64
}

// Admission is what a node that joins is told.
type Admission struct {
	ClusterID ClusterID
	// Seeds are the gossip addresses of the replicas.
	Seeds []string
	// Servers are the API addresses of the replicas.
	Servers []string
}

// ClusterStatus is what a replica knows of all of them.
type ClusterStatus struct {
	Leader   ReplicaName // empty when there is none
	Term     Term
	Replicas []Greeting // sorted by name; Role "unreachable" for who did not answer
	Warnings []string
}

// What people can do about a replica that must not go on, as the end of an error.
// This release adds and removes none.
const (
	// LeaveOffAdvice is for one whose data is not what it should be.
	LeaveOffAdvice = "leave it off: this release cannot replace a replica, and the others go on while they are a majority of all"
	// LostDataAdvice is for one whose data was lost or damaged.
	LostDataAdvice = "put back a copy of its data directory as it was when it last stopped, for an older one has forgotten what it voted and acknowledged; if there is none " + LeaveOffAdvice
)
