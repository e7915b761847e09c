package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
)

// Kind is what an operation asked.
type Kind uint8

// The kinds.
const (
	// RoundRobin takes the next Count turns of the cursor of Pool and Key.
	RoundRobin Kind = iota + 1
	// HRW asks which node of Pool the string Key belongs to.
	HRW
	// Pool asks for a pool: Members and, if Cursors is not nil, its cursors.
	Pool
	// Nodes asks for the layout.
	Nodes
	// Write is any other change: Command.
	Write
)

// Outcome is what its caller knows of an operation.
type Outcome uint8

// The outcomes.
const (
	OK     Outcome = iota + 1
	Failed         // it was surely not done
	Unknown
)

// Never is the return of an operation of which its caller heard no more.
const Never = time.Duration(1<<63 - 1)

// Operation is one call as its caller saw it: all attempts under one request of
// a session are one operation, called with the first and returned with the last.
type Operation struct {
	Client int
	Kind   Kind
	Pool   registry.PoolName
	Key    string
	Count  int
	// Session and Serial are the request's, if its caller knows them. The turns
	// of a caller that does not are told apart by their cursor alone.
	Session registry.SessionID
	Serial  uint64
	// Consistency and AtLeast are a read's.
	Consistency registry.Consistency
	AtLeast     registry.Index
	// Command is what a Write asked for. Who asked, By, is not compared.
	Command registry.Command

	// Answers are those of a RoundRobin, or the one of an HRW; none for an empty
	// one, which has a Reason.
	Answers []registry.Answer
	Reason  registry.EmptyReason
	Epoch   registry.Epoch // of a RoundRobin, an HRW and a Pool
	Members []registry.MemberInfo
	Cursors []registry.Cursor
	Nodes   []registry.NodeInfo
	registry.Position
	ServedBy registry.ReplicaName
	// Age is what a Local answer says of itself: so long before it, it had all that
	// there was. Never is what says nothing of it.
	Age time.Duration

	// Called and Returned are counted from the start of the run.
	Called, Returned time.Duration
	// Doubted is when the first attempt was sent that was left without an answer
	// and may have been done; 0 if there is none, or nobody knows.
	Doubted time.Duration
	Outcome Outcome
	// Err is what a call that is not OK was told, for people.
	Err string
}

// String gives the operation in a line.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d %s..", o.Client, o.Called.Round(time.Microsecond))
	if o.Returned != Never {
		b.WriteString(o.Returned.Round(time.Microsecond).String())
	}
	switch o.Kind {
	case RoundRobin:
		fmt.Fprintf(&b, " rr %s/%q count %d", o.Pool, o.Key, o.Count)
		if o.Session != "" {
			fmt.Fprintf(&b, " request %.8s/%d", o.Session, o.Serial)
		}
	case HRW:
		fmt.Fprintf(&b, " hrw %s/%q %s", o.Pool, o.Key, o.Consistency)
	case Pool:
		fmt.Fprintf(&b, " pool %s %s", o.Pool, o.Consistency)
	case Nodes:
		fmt.Fprintf(&b, " nodes %s", o.Consistency)
	case Write:
		fmt.Fprintf(&b, " %T %+v", o.Command, o.Command)
	}
	switch o.Outcome {
	case OK:
		fmt.Fprintf(&b, ": %s epoch %d index %d term %d by %s", names(o.Answers), o.Epoch, o.Index, o.Term, o.ServedBy)
	case Failed:
		fmt.Fprintf(&b, ": not done: %s", o.Err)
	case Unknown:
		fmt.Fprintf(&b, ": unknown: %s", o.Err)
	}
	return b.String()
}

func names(answers []registry.Answer) string {
	const most = 8
	var list []string
	for i, a := range answers {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(answers)-most))
			break
		}
		list = append(list, string(a.Node))
	}
	return "[" + strings.Join(list, " ") + "]"
}

// linearizable reports whether the answer must be no older than any that was
// given before the call.
func (o *Operation) linearizable() bool {
	return o.Kind == RoundRobin || o.Kind == Write || o.Consistency == registry.Linearizable
}

// request is the operation's identity, zero without one.
func (o *Operation) request() request { return request{o.Session, o.Serial} }

// cursor is what a RoundRobin moves.
func (o *Operation) cursor() cursor { return cursor{o.Pool, o.Key} }

type request struct {
	session registry.SessionID
	serial  uint64
}

type cursor struct {
	pool registry.PoolName
	key  string
}

func (c cursor) String() string { return fmt.Sprintf("cursor %q of pool %s", c.key, c.pool) }

// History collects the operations of many clients.
type History struct {
	mu struct {
		sync.Mutex
		ops []Operation
	}
}

// Record adds an operation that has returned, or of which no more will be heard.
func (h *History) Record(o Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.ops = append(h.mu.ops, o)
}

// Operations gives all that was recorded, by the time of the call.
func (h *History) Operations() []Operation {
	h.mu.Lock()
	ops := slices.Clone(h.mu.ops)
	h.mu.Unlock()
	slices.SortStableFunc(ops, func(a, b Operation) int { return cmp.Compare(a.Called, b.Called) })
	return ops
}

// Violation is one thing that cannot be.
type Violation struct {
	// Check is which check says so: log, witness, order, lost, age, failed, cursor,
	// clock, porcupine, invariant, state, leak.
	Check string
	Text  string
}

// String gives the violation in a line.
func (v Violation) String() string { return v.Check + ": " + v.Text }

// faults collects violations, but no more of one check than anybody reads.
type faults struct {
	list  []Violation
	count map[string]int
}

// perCheck is how many violations of one check are kept: the first ones say what
// is wrong.
const perCheck = 20

func (f *faults) add(check, format string, args ...any) {
	if f.count == nil {
		f.count = map[string]int{}
	}
	if f.count[check]++; f.count[check] <= perCheck {
		f.list = append(f.list, Violation{Check: check, Text: fmt.Sprintf(format, args...)})
	}
}
