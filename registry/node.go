package registry

// NodeState is where a node is in its life. Values are stored: append only.
type NodeState uint8

// The states.
const (
	Failed NodeState = iota + 1 // gossip lost it, or it has never been seen
	Alive
	Left // it said goodbye; final for its boot id
	// Forgotten is what a change makes of a node that has been failed or left for
	// too long. No record is in this state.
	Forgotten
)

// String gives the state's name on the wire.
func (s NodeState) String() string {
	switch s {
	case Failed:
		return "failed"
	case Alive:
		return "alive"
	case Left:
		return "left"
	case Forgotten:
		return "forgotten"
	}
	return "unknown"
}

// NeverSeen is the reason of a node that was added and has not yet been seen.
const NeverSeen = "never seen"

// Node is the record of one node of the layout.
type Node struct {
	Name    NodeName
	Type    NodeType
	Address string // host:port of its gossip, or what the operator wrote; may be empty
	// Boot is its present or last life; empty if it has never been seen.
	Boot BootID
	// Replaced is the life that Boot took over from. Gossip may go on showing
	// it for a while; it never comes back.
	Replaced BootID
	State    NodeState
	Draining bool
	// DrainReason is what the operator said when draining.
	DrainReason string
	// Static nodes were added or imported, and are never forgotten by time.
	Static bool
	// Since is the entry that brought Boot, State or Draining to what they
	// are, SinceClock and SinceWall its Stamp's.
	Since      Index
	SinceClock Millis
	SinceWall  Millis
	// Joined is the log clock of the JoinNode that brought Boot, or 0: for a
	// while after it gossip need not have seen the node.
	Joined Millis
	Reason string // why it is in its state, for people
	By     string // who said so
}

// ID is the node's present life as gossip names it: name#boot.
func (n *Node) ID() string { return string(n.Name) + "#" + string(n.Boot) }

// Eligible reports whether hrw and rr may answer the node.
func (n *Node) Eligible() bool { return n.State == Alive && !n.Draining }
