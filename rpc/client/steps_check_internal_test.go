package client

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// stepAudit holds what happens against a model that knows no session table and no
// rotation but a list and a number.
type stepAudit struct {
	w       *stepWorld
	machine *fsm.Machine // applies each entry when it is committed
	sums    map[registry.Index]uint64
	taken   map[stepID]stepTaken
	plain   map[string]int // how often the turn of a key was taken that has no session
	cursors map[cursor]int // the member that is next
	heard   registry.Index // the largest that a caller was answered at
}

// stepTaken is a request that was taken, where.
type stepTaken struct {
	at  registry.Position
	res registry.TurnResult
}

func newStepAudit(w *stepWorld) *stepAudit {
	return &stepAudit{
		w: w, machine: fsm.NewMachine(func(err error) { w.fatalf("the audit's machine halts: %v", err) }),
		sums: map[registry.Index]uint64{}, taken: map[stepID]stepTaken{}, plain: map[string]int{}, cursors: map[cursor]int{},
	}
}

// committed is told of every entry, in order.
func (a *stepAudit) committed(l *raft.Log) {
	e, err := fsm.DecodeEntry(l.Data)
	if err != nil {
		a.w.fatalf("entry %d: %v", l.Index, err)
	}
	before, _ := a.machine.View()
	out := a.machine.Apply(l).(*fsm.Outcome)
	switch cmd := e.Command.(type) {
	case registry.RoundRobin:
		a.w.note("entry %d of term %d has %d turns", l.Index, l.Term, len(cmd.Turns))
		for i := range cmd.Turns {
			a.turn(before, &cmd.Turns[i], out.Result.Turns[i], out.At)
		}
	case registry.ReportLiveness:
		a.liveness(before, cmd)
	}
	if l.Index%16 == 0 {
		a.remember(out.At.Index, a.bytes(a.machine))
	}
}

// turn: a request is taken once, and every time after that its answer is the
// first one's.
func (a *stepAudit) turn(view *registry.View, t *registry.Turn, res registry.TurnResult, at registry.Position) {
	id := stepID{t.Request.Session, t.Request.Serial}
	if id == (stepID{}) {
		a.plain[t.Key]++
		a.rotation(view, t, res, at)
		return
	}
	first, known := a.taken[id]
	if res.Err != nil && res.Err.Code == registry.SessionUnknown {
		a.w.count("session forgotten")
		return
	}
	if res.Err != nil && res.Err.Code == registry.Conflict && res.Taken == (registry.Position{}) {
		return // it was acknowledged, and is forgotten
	}
	if res.Taken == (registry.Position{}) {
		if known {
			a.w.fatalf("request %v was taken at %v, and again at %v", id, first.at, at)
		}
		a.taken[id] = stepTaken{at, res}
		if res.Err == nil {
			a.rotation(view, t, res, at)
		}
		return
	}
	if !known || res.Taken != first.at || !sameTurn(res, first.res) {
		a.w.fatalf("request %v, answered with %+v, was taken at %v with %+v", id, res, first.at, first.res)
	}
	a.w.count("retry answered from the table")
	if first.at.Term < at.Term {
		a.w.count("retry answered from the table in a later term")
	}
	if first.at.Index == at.Index {
		a.w.count("twice in one entry")
	}
}

func sameTurn(a, b registry.TurnResult) bool {
	a.Taken, b.Taken = registry.Position{}, registry.Position{}
	return reflect.DeepEqual(a, b)
}

// rotation: the answers are the next who are eligible, one after the other.
func (a *stepAudit) rotation(view *registry.View, t *registry.Turn, res registry.TurnResult, at registry.Position) {
	of := cursor{pool: t.Pool, key: t.Key}
	if t.LogID != "" {
		if res.Count() != 1 || res.At(0).Node != "" {
			a.w.fatalf("log %s was answered with %+v, and there is no logger", t.LogID, res)
		}
		return
	}
	members, eligible := membersOf(view, t.Pool)
	if !anyTrue(eligible) {
		a.w.count("nobody eligible")
		if res.Count() != 0 {
			a.w.fatalf("nobody is eligible in %s, and the answer is %+v", t.Pool, res)
		}
		return
	}
	if res.Count() != t.Count {
		a.w.fatalf("a turn of %d at %v has %d answers", t.Count, at, res.Count())
	}
	next := a.cursors[of]
	for i := range t.Count {
		for !eligible[next] {
			next = (next + 1) % len(members)
		}
		if got := res.At(i).Node; got != members[next] {
			a.w.fatalf("answer %d at %v of %v is %s, want %s: the cursor was moved too often, or not at all", i, at, of, got, members[next])
		}
		next = (next + 1) % len(members)
	}
	a.cursors[of] = next
}

// answered is told of every answer that a replica gives to a request, whether it
// arrives or not: all of them are the one.
func (a *stepAudit) answered(t *registry.Turn, res *registry.TurnResult, at registry.Position) {
	first, known := a.taken[stepID{t.Request.Session, t.Request.Serial}]
	if res.Err != nil && (res.Err.Code == registry.SessionUnknown || res.Err.Code == registry.Conflict) {
		return
	}
	if res.Taken != (registry.Position{}) {
		at = res.Taken
	}
	if !known || first.at != at || !sameTurn(first.res, *res) {
		a.w.fatalf("request %v is answered with %+v at %v; it was taken at %+v", t.Request, res, at, first)
	}
}

// settled is told of every call that is: what it was answered is its part of what
// its request was, and from behind whatever had been answered when it began.
func (a *stepAudit) settled(call *stepCall) {
	err := call.c.err
	if err == nil {
		err = call.answer.err
	}
	if err != nil {
		code := stepCode(err)
		a.w.note("call %d: %v", call.number, code)
		switch code {
		case registry.Deadline, registry.Unavailable, registry.Overloaded:
			a.w.count("said not to be done")
			if code == registry.Deadline {
				a.w.count("deadline")
			}
		case registry.NotFound:
			a.w.count("refused")
		}
		return
	}
	part, answer := call.parts[len(call.parts)-1], call.answer
	first, known := a.taken[part.id]
	if !known || answer.served.Position != first.at {
		a.w.fatalf("call %d is answered at %v, and its request %v was taken at %+v", call.number, answer.served.Position, part.id, first)
	}
	if first.at.Index < call.floor {
		a.w.fatalf("call %d is answered at %d, and before it began another was at %d", call.number, first.at.Index, call.floor)
	}
	a.heard = max(a.heard, first.at.Index)
	if answer.count != first.res.Count() || answer.count > 0 && part.from+call.c.ask.count() > answer.count {
		a.w.fatalf("call %d has %d answers from %d on, of %d", call.number, call.c.ask.count(), part.from, first.res.Count())
	}
	for i := range min(call.c.ask.count(), answer.count) {
		if answer.at(part.from+i) != first.res.At(part.from+i) {
			a.w.fatalf("call %d has answer %+v, want %+v", call.number, answer.at(part.from+i), first.res.At(part.from+i))
		}
	}
	a.w.note("call %d: %d answers at %d", call.number, answer.count, first.at.Index)
}

func stepCode(err error) registry.Code {
	if given, ok := errors.AsType[*givenUp](err); ok {
		return given.code
	}
	return registry.CodeOf(err)
}

// end looks at what is known only when nothing is under way any more.
func (a *stepAudit) end() {
	for _, call := range a.w.calls {
		if call.settled == 0 {
			a.w.fatalf("call %d was never settled", call.number)
		}
		a.outcome(call)
	}
	for i, p := range a.w.plains {
		a.onceAtMost(fmt.Sprint("plain-", i), p)
	}
	for _, r := range a.w.replicas {
		r.apply(len(a.w.log))
		a.compare(r)
	}
	whole := a.bytes(a.machine)
	for _, r := range a.w.replicas {
		if !bytes.Equal(whole, a.bytes(r.machine)) {
			a.w.fatalf("in the end %s holds other bytes", r.name)
		}
	}
	a.layout()
}

// outcome: what a call was told is so.
func (a *stepAudit) outcome(call *stepCall) {
	var done, moved int
	for _, part := range call.parts {
		if t, taken := a.taken[part.id]; taken {
			done++
			if t.res.Err == nil {
				moved++
			}
		}
	}
	err := call.c.err
	if err == nil {
		err = call.answer.err
	}
	code := registry.Code(0)
	if err != nil {
		code = stepCode(err)
	}
	switch {
	case done > 1:
		a.w.fatalf("call %d was taken in %d requests", call.number, done)
	case err == nil && done != 1:
		a.w.fatalf("call %d was answered, and not done", call.number)
	case err == nil: // see settled
	case code == registry.OutcomeUnknown && done == 1:
		a.w.count("unknown, and done")
	case code == registry.OutcomeUnknown:
		a.w.count("unknown, and not done")
	case moved > 0:
		a.w.fatalf("call %d heard %v, and was done", call.number, err)
	}
}

// onceAtMost: without a session a request is proposed once, and its word is true.
func (a *stepAudit) onceAtMost(key string, p *stepPlain) {
	done := a.plain[key]
	switch {
	case !p.answered: // its replica crashed
	case p.heard == registry.OutcomeUnknown && done == 1:
		a.w.count("plain, unknown, and done")
	case p.heard == 0 && done != 1, p.heard != 0 && p.heard != registry.OutcomeUnknown && done > 0:
		a.w.fatalf("%s was done %d times, and its caller heard code %v", key, done, p.heard)
	}
	if done > 1 {
		a.w.fatalf("%s was done %d times", key, done)
	}
}

// compare holds a replica's bytes against those of the others at its index, and
// gives them.
func (a *stepAudit) compare(r *stepReplica) []byte {
	b := a.bytes(r.machine)
	a.remember(r.machine.At().Index, b)
	return b
}

func (a *stepAudit) remember(at registry.Index, b []byte) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	if was, known := a.sums[at]; known && was != h.Sum64() {
		a.w.fatalf("two replicas hold different bytes at index %d", at)
	}
	a.sums[at] = h.Sum64()
}

func (a *stepAudit) bytes(m *fsm.Machine) []byte {
	snap, err := m.Snapshot()
	if err != nil {
		a.w.fatalf("snapshot: %v", err)
	}
	sink := &stepSink{}
	if err := snap.Persist(sink); err != nil {
		a.w.fatalf("snapshot: %v", err)
	}
	return sink.Bytes()
}

// stepSink keeps a snapshot in memory.
type stepSink struct{ bytes.Buffer }

func (*stepSink) ID() string    { return "steps" }
func (*stepSink) Cancel() error { return nil }
func (*stepSink) Close() error  { return nil }

var _ raft.SnapshotSink = (*stepSink)(nil)
