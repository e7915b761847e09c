package registry

// Result is what Apply answers to a command.
type Result struct {
	// Changed is false when the state was already as the command wanted it.
	Changed bool
	// Turns are the answers of a RoundRobin, one a turn.
	Turns []TurnResult
	// Moves are what a RebalancePools, or any other command that applies the
	// assignment, did to the members; at most one a pool, in pool order.
	Moves []Move
	// Skipped counts the changes of a ReportLiveness whose precondition no
	// longer held.
	Skipped int
}

// TurnResult is the answer to one Turn.
type TurnResult struct {
	// Answers are one lap of what was asked for, or none when nothing is
	// eligible: a rotation repeats itself, and so do they; see At. They may be
	// shared with others and are never changed.
	Answers []Answer
	// More is how many more there are, which repeat them.
	More  int
	Epoch Epoch
	// Reason says why there are no answers.
	Reason EmptyReason
	Err    *Error // the pool or session is unknown, or a bound was passed
	// Taken is where the turn was taken when it is known already: this is then
	// what was answered there. Zero for a turn that was taken here and now.
	Taken Position
}

// Count is how many answers there are.
func (t *TurnResult) Count() int { return len(t.Answers) + t.More }

// At gives answer i of Count.
func (t *TurnResult) At(i int) Answer { return t.Answers[i%len(t.Answers)] }

// moved reports whether the turn moved its cursor, here and now.
func (t *TurnResult) moved() bool {
	return t.Taken == (Position{}) && len(t.Answers) > 0 && t.Answers[0].Node != ""
}

// Part gives what a RoundRobin of the turns from to to-1 alone would have been
// answered, taken where those turns were; Changed is then that a cursor moved.
func (r Result) Part(from, to int) Result {
	part := Result{Turns: r.Turns[from:to:to]}
	for i := range part.Turns {
		part.Changed = part.Changed || part.Turns[i].moved()
	}
	return part
}

// Answer is one node that hrw or rr chose, with its topic as users see it. For
// a log topic's fallback Node is empty.
type Answer struct {
	Node  NodeName
	Topic string
}

// Choice is the answer of an hrw.
type Choice struct {
	Answer
	Epoch  Epoch
	Reason EmptyReason // set when the answer is empty
}

// Choices are the answers of an hrw to several keys.
type Choices struct {
	// Members are the answers that name the pool's members, in order; shared
	// with others and never changed.
	Members []Answer
	// Picks are the indices of those chosen, one a key; none when nobody is
	// eligible.
	Picks  []int
	Epoch  Epoch
	Reason EmptyReason // set when there are no picks
}

// EmptyReason says why an answer is empty. Values are stored: append only.
type EmptyReason uint8

// The reasons.
const (
	NotEmpty    EmptyReason = iota
	NoMembers               // the pool has none
	AllDraining             // someone is alive, and all who are, are draining
	NoneAlive
)

// String gives the reason's name on the wire; empty for NotEmpty.
func (r EmptyReason) String() string {
	switch r {
	case NoMembers:
		return "no_members"
	case AllDraining:
		return "draining"
	case NoneAlive:
		return "none_alive"
	case NotEmpty:
	}
	return ""
}

// Ranked is one entry of a ranking or an explanation.
type Ranked struct {
	Node     NodeName
	Topic    string
	SiteID   uint32
	Weight   uint32
	Eligible bool
}

// Move says how a pool's members changed. Nodes are in the order of the lists.
type Move struct {
	Pool   PoolName
	Before []NodeName
	After  []NodeName
}

// PoolInfo is a pool as users see it.
type PoolInfo struct {
	Spec          Spec
	Topic         string       // the spec's, as users see it
	Members       []MemberInfo // in order
	AliveCount    int
	EligibleCount int
	Epoch         Epoch
	// Satisfied is false for an exclusive pool with fewer nodes than it wants;
	// Reason then says how many: "wants 2, has 1".
	Satisfied bool
	Reason    string
}

// MemberInfo is a member as users see it.
type MemberInfo struct {
	Name     NodeName
	Alias    string
	SiteID   uint32
	Topic    string
	Alive    bool
	Eligible bool
	State    NodeState
}

// Cursor is a cursor as users see it.
type Cursor struct {
	Key  string
	Next int      // index of the member that is next
	Node NodeName // and its name; empty if the pool has no members
}

// NodeInfo is a node as users see it, with what follows from its record.
type NodeInfo struct {
	Node
	Topic       string // as users see it
	NodeIDTopic string // empty for a node that has never been seen
	Pools       []PoolName
}
