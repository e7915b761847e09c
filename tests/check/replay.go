package check

import (
	"fmt"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// Facts are what a log says happened.
type Facts struct {
	Turns  []Taken
	Starts []Start
	// Epochs are those of each pool, in order.
	Epochs map[registry.PoolName][]Epoch
	// rewound are the cursors that a command has set, deleted or forgotten.
	rewound map[cursor]bool
	// moved finds the turn of a request that moved its cursor.
	moved map[request]int
	// commands finds where a command that was asked for stands, by its subject.
	commands map[string]wrote
	// entries are where the log has the changes that were acknowledged, by the
	// operation's place: the first entry that may be its own.
	entries map[int]registry.Index
	// stamps are the log clocks of the entries.
	stamps map[registry.Index]registry.Millis
	last   registry.Position
}

// Taken is one turn of an entry and what it came to.
type Taken struct {
	registry.Position
	Turn   registry.Turn
	Result registry.TurnResult
}

// Moved reports whether the turn moved its cursor, there and then.
func (t *Taken) Moved() bool {
	return t.Result.Err == nil && t.Result.Taken == (registry.Position{}) && len(t.Result.Answers) > 0 && t.Result.Answers[0].Node != ""
}

func (t *Taken) cursor() cursor {
	if t.Turn.LogID != "" {
		return cursor{registry.PoolName(registry.Logger), registry.RoundRobinLogKey}
	}
	return cursor{t.Turn.Pool, t.Turn.Key}
}

func (t *Taken) request() request { return request{t.Turn.Request.Session, t.Turn.Request.Serial} }

// answers are all that the turn gave, laps and all.
func (t *Taken) answers() []registry.Answer {
	list := make([]registry.Answer, t.Result.Count())
	for i := range list {
		list[i] = t.Result.At(i)
	}
	return list
}

// Start is the first command of a leadership.
type Start struct {
	registry.Position
	Leader registry.ReplicaName
	Wall   registry.Millis // by the leader's own clock
}

// Epoch is a pool from one change to the next.
type Epoch struct {
	Epoch   registry.Epoch
	Hash    string
	Members []registry.MemberInfo
	// Fresh says that the pool was registered anew, and has no cursor.
	Fresh bool
}

// Replay puts the log through a state machine and is the witness check: it looks
// at each answer in the state that its index names. What it learns of the log is
// for the other checks.
func Replay(log Log, ops []Operation) (*Facts, []Violation) {
	r := &replay{
		Facts: Facts{
			Epochs: map[registry.PoolName][]Epoch{}, rewound: map[cursor]bool{}, moved: map[request]int{},
			commands: map[string]wrote{}, stamps: map[registry.Index]registry.Millis{},
			entries: map[int]registry.Index{},
		},
		at: map[registry.Index][]*Operation{}, used: uses{},
	}
	r.machine = fsm.NewMachine(func(err error) { r.faults.add("log", "%v", err) })
	r.expect(log, ops)
	for i := range log {
		if !r.apply(&log[i]) {
			break
		}
		for _, o := range r.at[log[i].Index] {
			r.look(&log[i], o)
		}
	}
	r.order(ops)
	r.aged(ops)
	r.notDone(ops)
	return &r.Facts, r.faults.list
}

// replay is a log on its way through a machine.
type replay struct {
	Facts
	machine *fsm.Machine
	pools   pools
	clock   logClock
	used    uses
	at      map[registry.Index][]*Operation
	taken   []Taken // of the entry under way
	spent   map[cursor]map[registry.Answer]int
	command registry.Command // of the entry under way
	faults  faults
}

// expect sorts the answers by the index that they carry.
func (r *replay) expect(log Log, ops []Operation) {
	for i := range ops {
		o := &ops[i]
		if o.Outcome != OK {
			continue
		}
		if _, there := log.At(o.Index); !there {
			r.faults.add("lost", "%s: the log ends at %d, and that answer is not in it", o, len(log))
			continue
		}
		r.at[o.Index] = append(r.at[o.Index], o)
	}
}

// apply gives the machine one entry; it reports whether it could.
func (r *replay) apply(e *Entry) bool {
	r.taken, r.spent, r.command = nil, nil, nil
	r.last = e.Position
	if len(e.Data) == 0 {
		return true
	}
	decoded, err := fsm.DecodeEntry(e.Data)
	if err != nil {
		r.faults.add("log", "index %d of term %d: %v", e.Index, e.Term, err)
		return false
	}
	r.command = decoded.Command
	out := r.machine.Apply(&raft.Log{Index: uint64(e.Index), Term: uint64(e.Term), Type: raft.LogCommand, Data: e.Data}).(*fsm.Outcome)
	r.clocked(&decoded)
	r.used.note(decoded.Command, out, r.clock.highest)
	switch c := decoded.Command.(type) {
	case registry.TermStart:
		r.Starts = append(r.Starts, Start{Position: e.Position, Leader: c.Leader, Wall: decoded.Wall})
	case registry.RoundRobin:
		r.take(e, &c, out)
	case registry.SetCursor:
		r.rewound[cursor{c.Pool, c.Key}] = true
		r.wrote(c, out)
	case registry.DeleteCursor:
		r.rewound[cursor{c.Pool, c.Key}] = true
		r.wrote(c, out)
	case registry.ForgetCursors:
		r.forget()
	case registry.OpenSession:
	default:
		r.wrote(c, out)
		r.observe()
	}
	if e.Index == 1 || len(r.Epochs) == 0 {
		r.observe()
	}
	return true
}

// take notes the turns of an entry.
func (r *replay) take(e *Entry, c *registry.RoundRobin, out *fsm.Outcome) {
	if out.Err != nil || len(out.Result.Turns) != len(c.Turns) {
		r.faults.add("log", "index %d: %d turns were answered with %d: %v", e.Index, len(c.Turns), len(out.Result.Turns), out.Err)
		return
	}
	for i := range c.Turns {
		t := Taken{Position: e.Position, Turn: c.Turns[i], Result: out.Result.Turns[i]}
		if t.Moved() {
			r.used[t.cursor()] = r.clock.highest
		}
		if id := t.request(); id != (request{}) && t.Moved() {
			if before, known := r.moved[id]; known {
				r.faults.add("cursor", "request %.8s/%d moved %s at %d and again at %d", id.session, id.serial, t.cursor(), r.Turns[before].Index, e.Index)
			}
			r.moved[id] = len(r.Turns)
		}
		r.Turns = append(r.Turns, t)
	}
	r.taken = r.Turns[len(r.Turns)-len(c.Turns):]
}

// observe notes the pools' epochs and looks whether they are whole.
func (r *replay) observe() {
	view, at := r.machine.View()
	for _, text := range r.pools.next(view) {
		r.faults.add("invariant", "index %d: %s", at.Index, text)
	}
	for _, p := range view.Pools() {
		known := r.Epochs[p.Spec.Name]
		if n := len(known); n > 0 && known[n-1].Epoch == p.Epoch {
			continue
		}
		_, registered := r.command.(registry.RegisterPool)
		fresh := registered && r.pools.gone[p.Spec.Name]
		delete(r.pools.gone, p.Spec.Name)
		r.Epochs[p.Spec.Name] = append(known, Epoch{Epoch: p.Epoch, Hash: p.Spec.Hash.String(), Members: p.Members, Fresh: fresh})
	}
}

// order holds answers against the clock: whoever was called after another's
// return has an index that is no lower.
func (r *replay) order(ops []Operation) {
	returned := byReturn(ops)
	newest, next := (*Operation)(nil), 0
	for i := range ops {
		o := &ops[i]
		if i > 0 && o.Called < ops[i-1].Called {
			panic(fmt.Sprintf("operations are not sorted by their call: %s", o))
		}
		if o.Outcome != OK {
			continue
		}
		for ; next < len(returned) && returned[next].Returned < o.Called; next++ {
			if newest == nil || returned[next].Index > newest.Index {
				newest = returned[next]
			}
		}
		if o.linearizable() && newest != nil && o.Index < newest.Index {
			r.faults.add("order", "%s: is older than what was answered before it was called: %s", o, newest)
		}
		if o.Kind == Write {
			r.written(i, o, newest)
		}
		if o.Consistency == registry.AtLeast && o.Index < o.AtLeast {
			r.faults.add("order", "%s: asked for index %d or later", o, o.AtLeast)
		}
	}
}

// written looks for the entry of a change: behind all that was answered before the
// call, and no later than its answer, which shows the state that it was read back
// from and may be of a later index.
func (r *replay) written(place int, o, before *Operation) {
	for _, at := range r.commands[subject(o.Command)].done {
		if (before == nil || at.Index > before.Index) && at.Index <= o.Index {
			r.entries[place] = at.Index
			return
		}
	}
	r.faults.add("witness", "%s: the log has no such entry between the call and the answer", o)
}

// notDone finds what was done although its caller was told that it was not.
func (r *replay) notDone(ops []Operation) {
	marked := marks(ops)
	for i := range ops {
		o := &ops[i]
		if o.Outcome != Failed {
			continue
		}
		if at, done := r.moved[o.request()]; done && o.Session != "" {
			r.faults.add("failed", "%s: the log has it at index %d", o, r.Turns[at].Index)
		}
		if at, done := r.doneAs(o, marked); done && o.Kind == Write && !r.refusedLater(o) {
			r.faults.add("failed", "%s: the log has it at index %d", o, at.Index)
		}
	}
}
